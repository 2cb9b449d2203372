"""Tasks that did not end well, and the slowest: each with what happened to it, folded. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from squall.chaos.evidence.plural import plural
from squall.chaos.tell.page import words
from squall.chaos.tell.page.markup import Child, Markup, el, join
from squall.chaos.tell.page.outcomes import MEANINGS, NAMES, WRONG, Chosen, Outcome
from squall.chaos.tell.page.parts import nothing, section, table
from squall.chaos.tell.trace import Timeline

MOMENTS_MAX = 60
"""Rows of one trace; ``squall trace`` tells them all."""

UNTOLD_MAX = 6


def sections(chosen: Chosen, traces: Mapping[str, Timeline], path: str, *, failed: bool) -> Iterator[Markup]:
    """Both sections.

    Args:
        traces: By task; one that is not there is listed without.
        path: The run's directory, as a command would name it.
        failed: Whether the run has, for whatever it was.
    """
    anchors = anchors_of(chosen.tasks)
    told: set[str] = set()

    def row(one: Outcome) -> Markup:
        """A task, with its trace where it is named first."""
        traced = traces.get(one.task) if one.task not in told else None
        is_again = one.task in told
        told.add(one.task)
        return _row(one, anchors[one.task], traced, path, is_again=is_again)

    yield section(
        "Tasks that did not end well",
        "Each with what happened to it; fold it out, or link to it",
        *(
            _group(f"{words.count(total)} {NAMES[kind]}", MEANINGS[kind], total, [row(one) for one in some])
            for kind, (total, some) in chosen.unwell.items()
        ),
        nothing(_all_ended(chosen, failed=failed)) if not chosen.unwell else None,
        anchor="tasks",
    )
    slowest = [row(one) for one in chosen.slowest]
    yield section(
        "The slowest tasks",
        "From the moment each was due to its end",
        el("div", *slowest, class_="tasks") if slowest else nothing("No task is known to have ended."),
        anchor="slowest",
    )


def _all_ended(chosen: Chosen, *, failed: bool) -> str:
    """What is said where no task ended otherwise than well, and what that does not mean."""
    if not chosen.offered:
        return "No task is known to have been offered."
    if chosen.without_order == chosen.offered:
        return "Every task that was offered ended, and none of them came to an order."
    if failed:
        return "No task was lost, refused or given up, as far as is known; what failed is said at the top."
    return "Every task that was offered ended as it should, as far as is known."


def anchors_of(tasks: Sequence[str]) -> dict[str, str]:
    """A name for each task that can stand behind a ``#`` as it is, none twice."""
    found: dict[str, str] = {}
    for task in tasks:
        plain = "task-" + re.sub(r"[^A-Za-z0-9_.-]", "_", task)[:80]
        taken = set(found.values())
        number = 1
        while (name := plain if number == 1 else f"{plain}~{number}") in taken:
            number += 1
        found[task] = name
    return found


def _group(title: str, about: str, total: int, rows: Sequence[Markup]) -> Markup:
    more = total - len(rows)
    return el(
        "div",
        el("h3", title),
        el("p", about, class_="about"),
        *rows,
        el("p", f"and {words.count(more)} more", class_="about") if more else None,
        class_="tasks",
    )


def _row(one: Outcome, anchor: str, traced: Timeline | None, path: str, *, is_again: bool) -> Markup:
    badge = el("span", NAMES[one.kind], class_=f"chip {'wrong' if one.kind in WRONG else one.kind}")
    took = el("span", words.seconds(one.took_s), class_="took") if one.took_s is not None else None
    why = el("span", one.why, class_="soft") if one.why else None
    link: Child = el("a", one.task, href=f"#{anchor}") if is_again else el("code", one.task)
    if traced is None:
        return el("div", link, badge, took, why, class_="task", id=None if is_again else anchor)
    # A link leads to what is folded away, which a browser then folds out.
    inside = el("div", _trace(traced, path), id=anchor, class_="trace")
    return el("details", el("summary", link, badge, took, why), inside, class_="task")


def _trace(traced: Timeline, path: str) -> Markup:
    rows: list[list[Child]] = [
        [f"{(moment.time_s - traced.origin_s) * 1e3:+,.1f}", moment.node, moment.what, moment.detail]
        for moment in traced.moments[:MOMENTS_MAX]
    ]
    since = "the first line" if traced.due_s is None else "due"
    more = len(traced.moments) - len(rows)
    untold = [el("li", f"not recorded: {what}") for what in traced.not_recorded[:UNTOLD_MAX]]
    return join(
        el("p", traced.outcome, class_="outcome-words"),
        table([f"ms since {since}", "node", "what", ""], rows, "moments", numeric={0}),
        el("p", f"and {plural(more, 'moment')} more", class_="about") if more > 0 else None,
        el("ul", *untold, class_="soft") if untold else None,
        el("p", el("code", f"squall trace {shlex.quote(traced.task)} --run {path}"), class_="about"),
    )
