"""What has to be known first of a run: what is missing, that it was cut short, what was refused. Pure.

The words at the top of a page are those of the terminal; this is what they need beside them.
"""

from __future__ import annotations

from collections.abc import Sequence

from squall.bus.border import printable
from squall.chaos.evidence.doubts import doubts
from squall.chaos.evidence.model import History
from squall.chaos.judge.decide import undrained
from squall.chaos.tell.page.lanes import Window
from squall.chaos.tell.page.markup import Markup, el
from squall.services.run.result import SLOW_CALL, Busy, Result
from squall.services.run.summary import unstruck
from squall.services.sentences import sentence

LISTED_MAX = 5

MANY = 0.2
"""From which share of refused tasks on that is said before anything else."""


def refusals(refused: int | None, offered: int | None) -> Markup | None:
    """What it means that tasks were refused for good, where any was."""
    if not refused or not offered:
        return None
    sentence = (
        "Refused: the swarm was full, or out of reach, and said so. The verdict is on what it accepted."
    )
    return el("p", sentence, class_="refusals many" if refused / offered >= MANY else "refusals")


def unwhole(history: History) -> list[str]:
    """What is missing, what cannot be read, and what was cut short, each in words."""
    late = ["it had not drained within its bound"] if undrained(history) else []
    return [*_cut_short(history), *doubts(history), *late]


def notices(history: History) -> Markup | None:
    """What is missing, and what was cut short; None if nothing is."""
    found = unwhole(history)
    return box("Read this first", found, more="the section on doubts has them all") if found else None


def broker(result: Result, seen: Window) -> Markup | None:
    """What the broker's own log says of slowness that no fault is the reason for; None if it says nothing.

    Args:
        seen: Says where on the page's time axis that was.
    """
    found = [_slow(word, seen) for word in unstruck(result.broker, result.faults)]
    more = "result.json has them all, and the trace of a task what fell into its time"
    return box("What the broker's own log says", found, more=more) if found else None


def _slow(word: Busy, seen: Window) -> str:
    start_s = seen.at(word.at_s - (word.took_s or 0.0))
    held = "" if word.took_s is None else f" for {word.took_s:.1f} s"
    what = "busy" if word.what == SLOW_CALL else "a client did not read what it had for it"
    return f"at {start_s:,.1f} s {what}{held}: {printable(word.said)}"


def box(title: str, sentences: Sequence[str], *, more: str) -> Markup:
    """A box of sentences; of many the first."""
    items = [el("li", sentence(text)) for text in sentences[:LISTED_MAX]]
    left = len(sentences) - len(items)
    if left > 0:
        items.append(el("li", f"And {left:,} more; {more}."))
    return el("div", el("strong", title), el("ul", *items), class_="notice", role="note")


def _cut_short(history: History) -> list[str]:
    """That the run has no end, or was stopped; of an experiment, whose load has no end, the doubts tell."""
    if history.closing is None:
        half = ": it ends in half a line" if history.truncated else ""
        return [f"this run did not come to its end, or its record did not{half}"]
    is_experiment = bool(history.phases) or history.intended is not None
    if history.closing.interrupted and not is_experiment:
        offered, asked = len(history.submissions), history.asked.tasks
        of = f": {offered:,} of {asked:,}" if asked is not None else ""
        return [f"this run was stopped before all of its tasks were offered{of}"]
    return []
