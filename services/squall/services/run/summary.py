"""A result in words: what a trader wants to know first, from the result document alone. Pure.

    Result ─► Accounts ─► what is wrong, or that all is well ─┐
      └─────► faults, the take-over, a busy broker, verdicts ─┴─► sentences

The counts are those that the checks decide by. Where a check could not be decided it is said that the counts
hold by what is on record, and a check that failed comes first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from squall.services.errors import SpecError
from squall.services.patterns import pattern_of
from squall.services.run.result import (
    SLOW_CALL,
    SLOW_CONSUMER,
    Busy,
    Fault,
    Result,
    Verdict,
    blamed_on_handler,
)

MANY = 0.1
"""From which share of refused tasks on that is said before anything else."""

NAMED_MAX = 3

DETAIL_LENGTH_MAX = 160

BUSY_S = 1.0
"""How long the broker must have been busy to be told of."""

SLOW_AFTER_S = 1.0
"""How long after a fault a client may still not read for its sake."""

SHARES = ((1 / 10, "a tenth"), (1 / 5, "a fifth"), (1 / 4, "a quarter"), (1 / 3, "a third"), (1 / 2, "half"),
          (2 / 3, "two thirds"), (3 / 4, "three quarters"), (9 / 10, "nine tenths"))  # fmt: skip
SHARE_OFF = 0.01
"""How far a share may be from one that has a name."""


class Checked(Protocol):
    """A check of a run, or of a series."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def detail(self) -> str: ...
    @property
    def exercised(self) -> bool: ...


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """What went in and what came of it, of one run or of several; None where it is not known."""

    offered: int | None
    accepted: int | None
    refused: int | None
    effects: int | None
    lost: int | None
    duplicated: int | None
    conflicting: int | None
    dead_letters: int | None
    cancelled: int | None
    refused_effects: int | None
    one_order_each: bool


def accounts(results: Sequence[Result]) -> Accounts:
    """Those of several runs together; what is not known of one is not known of all."""
    found: dict[str, int | None] = {}
    for field in Accounts.__struct_fields__[:-1]:
        counts = [getattr(result, field) for result in results]
        found[field] = None if None in counts or not counts else sum(counts)
    return Accounts(**found, one_order_each=all(result.one_order_each for result in results))


def in_words(result: Result) -> str:
    """What came of a run, in a few sentences."""
    checks, told = result.checks, accounts([result])
    blame = blamed_on_handler(result)  # which is told before all else
    return " ".join(
        [
            *_cut_short(result),
            *wrong(told),
            *failed([check for check in checks if not blame or check.detail != blame]),
            *balance(told, is_certain=not any(map(is_open, checks))),
            *_faults(result),
            *_busy(result),
            *undecided(checks),
        ]
    )


# The accounts.


def balance(told: Accounts, *, is_certain: bool) -> list[str]:
    """What came of what was offered; if much of it was refused, that comes first.

    Args:
        is_certain: Whether no check was left undecided.
    """
    if told.accepted is None or told.offered is None:
        return ["What was offered is not on record."]
    refusals, what = list(_refusals(told)), _good(told)
    if not is_certain and told.lost is not None:
        what = f"{what.removesuffix('.')}, by what is on record."
    is_much = told.offered > 0 and (told.refused or 0) / told.offered >= MANY
    return [*refusals, what] if is_much else [what, *refusals]


def wrong(told: Accounts) -> Iterator[str]:
    """What must never be."""
    if told.lost:
        yield f"{_lost(told.lost, told)} {_were(told.lost)} never filled."
    if told.duplicated:
        yield f"{_count(told.duplicated, 'order')} {_were(told.duplicated)} filled twice, or filled unasked."
    if told.conflicting:
        yield f"{_count(told.conflicting, 'order')} came with two different contents."


def _lost(lost: int, told: Accounts) -> str:
    """How many were lost, and of what: orders, where each task was to have one."""
    if told.accepted is None:
        return f"{lost:,} of what was accepted"
    if _is_one_each(told):
        return f"{_count(lost, 'order')} of {_count(told.accepted, 'accepted task')}"
    return f"{lost:,} of {_count(told.accepted, 'accepted task')} and their orders"


def _good(told: Accounts) -> str:
    """What was accepted, and what came of it."""
    assert told.accepted is not None
    flawed = bool(told.lost or told.duplicated or told.conflicting)
    if not told.accepted:
        return "No task was accepted."
    if told.effects is None or told.lost is None:
        return f"{_count(told.accepted, 'task')} accepted; what became of them is not on record."
    spoiled = told.dead_letters or told.cancelled or told.refused_effects
    if told.one_order_each and told.effects == told.accepted and not flawed and not spoiled:
        return f"{_count(told.accepted, 'order')} accepted, each filled once."
    each = "" if flawed or not told.effects else ", each once" if told.effects > 1 else ", once"
    filled = _count(told.effects, "order") if told.effects else "no order"
    text = f"{_count(told.accepted, 'task')} accepted, {filled} filled{each}"
    aside = [
        f"{count:,} {said}"
        for count, said in (
            (told.dead_letters, "given up as dead letters"),
            (told.cancelled, "called off"),
            (told.refused_effects, "refused"),
        )
        if count
    ]
    return f"{text}; {', '.join(aside)}." if aside else f"{text}."


def _is_one_each(told: Accounts) -> bool:
    """Whether the counts are those of one order for each accepted task."""
    parts = (told.effects, told.lost, told.dead_letters, told.cancelled, told.refused_effects)
    return None not in parts and sum(part or 0 for part in parts) == told.accepted


def _refusals(told: Accounts) -> Iterator[str]:
    """What was not accepted."""
    assert told.offered is not None
    assert told.accepted is not None
    refused = told.refused or 0
    if refused:
        share = _share(refused / told.offered)
        counts = f"{refused:,} of {told.offered:,}"
        yield (
            f"{share} of what was offered was refused: {counts}."
            if share
            else f"{counts} offered were refused."
        )
    unknown = told.offered - told.accepted - refused
    if unknown > 0 and told.refused is not None:
        yield f"Whether {_count(unknown, 'more')} {_were(unknown)} accepted is not known."


def _share(share: float) -> str:
    """A share that is large enough for words."""
    if share < MANY - SHARE_OFF:
        return ""
    near, name = min(SHARES, key=lambda each: abs(each[0] - share))
    if abs(near - share) <= SHARE_OFF:
        return name[:1].upper() + name[1:]
    return "All" if share == 1.0 else f"{math.floor(share * 100)} %"


# Faults and who led.


def _faults(result: Result) -> Iterator[str]:
    detect = result.recovery_s.detect
    faults = result.faults
    if len(faults) == 1 and (faults[0].kind, faults[0].target) == ("pause", "leader"):
        yield _frozen(result, faults[0])
        return
    if faults:
        yield struck([fault.verified for fault in faults], len({fault.kind for fault in faults}))
    if detect is not None:
        yield f"A lost leader was followed within {detect:.1f} s."


def _frozen(result: Result, fault: Fault) -> str:
    detect = result.recovery_s.detect
    if not fault.verified:
        return "That the leader was frozen was not seen."
    held = "" if fault.end_s is None else f" for {fault.end_s - fault.start_s:.1f} s"
    after = "that another took over is not on record"
    if detect is not None:
        after = f"another took over after {detect:.1f} s"
    return f"The {_leading(result.pattern)} was frozen{held}; {after}."


def _leading(pattern: str | None) -> str:
    """Who leads, by the name of its role where that is known."""
    try:
        role = pattern_of(pattern or "").leader
    except SpecError:
        role = ""
    return f"leading {role}" if role else "leader"


def struck(verified: Sequence[bool], kinds: int) -> str:
    """How many faults there were, and whether they were seen in force."""
    count, seen = len(verified), sum(verified)
    of = f" of {kinds} kinds" if kinds > 1 else ""
    what = f"{_count(count, 'fault')}{of}"
    if seen == count:
        return f"{what} struck, {'each' if count > 1 else 'and'} seen in force."
    return f"{what} planned, {seen:,} of them seen in force."


# The broker.


def _busy(result: Result) -> Iterator[str]:
    """When the broker, or a client of it, was slow though nobody struck it.

    Of the times that do not overlap the longest is told.
    """
    spans = spans_busy(result.broker, result.faults)
    if spans:
        start_s, end_s = max(spans, key=lambda span: span[1] - span[0])
        more = f", and {_count(len(spans) - 1, 'more time')}" if len(spans) > 1 else ""
        yield f"The broker was busy for {end_s - start_s:.1f} s at {_clock(start_s)}{more}."
    slow = sum(word.what == SLOW_CONSUMER for word in unstruck(result.broker, result.faults))
    if slow:
        often = "once" if slow == 1 else f"{slow:,} times"
        yield f"A client was too slow for the broker {often}, though nothing was struck then."


def unstruck(broker: Sequence[Busy], faults: Sequence[Fault]) -> list[Busy]:
    """What of the broker's words matters: no fault is the reason for it, and it lasted. In order of time.

    What the broker is slow at may be for a fault of its own, and that a client does not read for any fault.
    """
    found = []
    for word in sorted(broker, key=lambda word: word.at_s - (word.took_s or 0.0)):
        start_s, is_slow_call = word.at_s - (word.took_s or 0.0), word.what == SLOW_CALL
        if is_slow_call and word.at_s - start_s < BUSY_S:
            continue
        after_s = 0.0 if is_slow_call else SLOW_AFTER_S
        if not any(
            fault.start_s <= word.at_s and (fault.end_s is None or start_s <= fault.end_s + after_s)
            for fault in faults
            if fault.target == "broker" or not is_slow_call
        ):
            found.append(word)
    return found


def spans_busy(broker: Sequence[Busy], faults: Sequence[Fault]) -> list[tuple[float, float]]:
    """From when to when the broker was busy, without the times at which it was struck itself."""
    found: list[tuple[float, float]] = []
    for word in unstruck(broker, faults):
        start_s, end_s = word.at_s - (word.took_s or 0.0), word.at_s
        if word.what != SLOW_CALL:
            continue
        if found and start_s <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end_s))
        else:
            found.append((start_s, end_s))
    return found


def _clock(time_s: float) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%H:%M:%S} UTC"


# What the checks say.


def is_open(check: Checked) -> bool:
    """Whether it could not be decided, though it had to be."""
    return check.verdict == "unknown" and check.exercised


def failed(checks: Sequence[Checked]) -> list[str]:
    """Which checks failed, and why the first did."""
    found = [check for check in checks if check.verdict == "fail"]
    if not found:
        return []
    first = found[0]
    why = f": {_brief(first.detail)}" if first.detail else ""
    more = f" Also failed: {_named(found[1:])}." if found[1:] else ""
    return [f"{first.id} {first.name} failed{why}.{more}"]


def _brief(detail: str) -> str:
    """The first sentence of a detail, or its beginning."""
    first = " ".join(detail.partition(". ")[0].rstrip(".").split())
    return first if len(first) <= DETAIL_LENGTH_MAX else f"{first[: DETAIL_LENGTH_MAX - 1]}…"


def undecided(checks: Sequence[Checked]) -> list[str]:
    """Which checks could not be decided, and which had nothing to be decided on."""
    found = [check for check in checks if is_open(check)]
    idle = [check for check in checks if check.verdict == "unknown" and not check.exercised]
    said = [f"Not decided: {_named(found)}."] if found else []
    if not checks:
        said.append("No check was made.")
    return [*said, f"Not exercised: {_named(idle)}."] if idle else said


def _named(checks: Sequence[Checked]) -> str:
    more = f" and {len(checks) - NAMED_MAX} more" if len(checks) > NAMED_MAX else ""
    return ", ".join(f"{check.id} {check.name}" for check in checks[:NAMED_MAX]) + more


# The end.


def _cut_short(result: Result) -> list[str]:
    if result.interrupted:
        return ["Interrupted before its end."]
    if result.interrupted is None and result.offered is not None:
        return ["The run did not come to its end, or its record did not."]
    return []


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 or noun == 'more' else 's'}"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
