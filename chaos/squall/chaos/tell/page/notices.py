"""What has to be known first of a run: what is missing, that it was cut short, what was refused. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from squall.chaos.evidence.doubts import doubts
from squall.chaos.evidence.model import History
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.decide import undrained
from squall.chaos.tell.page import words
from squall.chaos.tell.page.markup import Markup, el
from squall.services.run.result import Result
from squall.services.sentences import sentence

LISTED_MAX = 5

MANY = 0.2
"""From which share of refused tasks on that is said before anything else."""


def refused(result: Result, history: History) -> tuple[int, int] | None:
    """How many tasks were refused for good, and of how many; None if none was, or nothing is known."""
    count = sum(task.outcome == "refused" for task in history.submissions.values())
    return (count, result.offered) if count and result.offered else None


def refusals(result: Result, history: History) -> Markup | None:
    """That tasks were refused, where any was: a verdict is on the others."""
    found = refused(result, history)
    if found is None:
        return None
    count, offered = found
    share = count / offered
    sentence = (
        f"{words.share(share)} of what was offered was refused: {count:,} of {plural(offered, 'task')}. "
        "The swarm was full, or could not be reached, and said so; the verdict is on those it accepted."
    )
    return el("p", sentence, class_="refusals many" if share >= MANY else "refusals")


def notices(history: History) -> Markup | None:
    """What is missing, and what was cut short; None if nothing is."""
    found = [*_cut_short(history), *doubts(history)]
    if undrained(history):
        found.append("it had not drained within its bound")
    if not found:
        return None
    return box("Read this first", found, more="the section on doubts has them all")


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
        return ["this run did not come to its end; what follows is what had happened by then"]
    is_experiment = bool(history.phases) or history.intended is not None
    if history.closing.interrupted and not is_experiment:
        offered, asked = len(history.submissions), history.asked.tasks
        of = f": {offered:,} of {asked:,}" if asked is not None else ""
        return [f"this run was stopped before all of its tasks were offered{of}"]
    return []
