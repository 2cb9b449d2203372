"""A mesh over time, for its page: proposals by outcome, epochs, time without a quorum, suspicions. Pure."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from squall.chaos.evidence.model import History
from squall.chaos.judge.checks.vote_log import EpochCounted, Recount, Standing, recount
from squall.chaos.judge.track import Band, Counts, Level, Stretch, Track

OUTCOMES = {"approve": "approved", "reject": "rejected", "abort": "aborted"}


def tracks(history: History) -> Sequence[Track]:
    """A row for each that there is something to tell of."""
    found = recount(history)
    if not found.every:
        return []
    rows: list[Track] = []
    for outcome, name in OUTCOMES.items():
        times = [ruling.at_s for ruling in found.every if ruling.outcome == outcome]
        if times:
            rows.append(Counts(f"proposals {name}", times))
    rows.append(Level("open proposals", [*_opened(found)]))
    bands = {
        "epoch": [*_epochs(history, found)],
        "without a quorum": [*_undecided(history, found)],
        **{f"{peer}, to the others": [*_suspected(history, peer)] for peer in _peers(history)},
    }
    return [*rows, *(Band(name, stretches) for name, stretches in bands.items() if stretches)]


def _opened(found: Recount) -> Iterator[tuple[float, int]]:
    for ruling in found.every:
        yield ruling.proposal.stored_s, 1
        if ruling.outcome:
            yield ruling.at_s, -1


def _epochs(history: History, found: Recount) -> Iterator[Stretch]:
    """From when the first peer counted each."""
    first_s: dict[int, float] = {}
    for seen in history.of(EpochCounted):
        first_s[seen.epoch] = min(seen.time_s, first_s.get(seen.epoch, math.inf))
    there = [epoch for epoch in found.epochs if epoch.number in first_s]
    for place, (epoch, after) in enumerate(itertools.pairwise([*there, None])):
        assert epoch is not None
        until_s = math.inf if after is None else first_s[after.number]
        about = f"epoch {epoch.number}: {len(epoch.keys)} peers, {epoch.needed} of all votes must be yes"
        yield Stretch(first_s[epoch.number], until_s, "changed" if place % 2 else "well", about)


def _undecided(history: History, found: Recount) -> Iterator[Stretch]:
    """When a proposal was open for longer than its deadline: too few peers could vote, or be heard."""
    deadline_s = history.spec.get("deadline_s")
    if not isinstance(deadline_s, int | float):
        return
    late = (
        (ruling.proposal.stored_s + deadline_s, ruling.at_s if ruling.outcome else math.inf)
        for ruling in found.every
    )
    for since_s, until_s in _joined((since_s, until_s) for since_s, until_s in late if since_s < until_s):
        yield Stretch(since_s, until_s, "away", "undecided: a proposal is open beyond its deadline")


def _joined(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for since_s, until_s in sorted(spans):
        if joined and since_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until_s))
        else:
            joined.append((since_s, until_s))
    return joined


def _peers(history: History) -> list[str]:
    """Those that were ever anything but alive to another."""
    return sorted({seen.agent for seen in history.of(Standing) if seen.standing in ("suspect", "failed")})


def _suspected(history: History, peer: str) -> Iterator[Stretch]:
    """To how many others one was suspect, or failed; each says so whenever that changes for it."""
    standing: dict[str, str] = {}
    changes: defaultdict[float, list[tuple[str, str]]] = defaultdict(list)
    for seen in history.of(Standing):
        if seen.agent == peer:
            changes[seen.time_s].append((seen.node, seen.standing))
    for time_s, after_s in itertools.pairwise([*sorted(changes), math.inf]):
        standing |= dict(changes[time_s])
        failed, suspect = (sum(now == word for now in standing.values()) for word in ("failed", "suspect"))
        if failed or suspect:
            about = f"suspect: to {suspect} of the others, and failed to {failed}"
            yield Stretch(time_s, after_s, "away" if failed else "trying", about)
