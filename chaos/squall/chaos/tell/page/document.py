"""What every page has: its head and style sheet, the verdict at its top, its checks. Pure.

A page holds no script and refers to nothing outside; a policy in its head has the browser see to that.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterable, Mapping, Sequence

from squall.chaos.judge.checks import promises_of
from squall.chaos.judge.series import SeriesCheck
from squall.chaos.tell.page import words
from squall.chaos.tell.page.markup import Child, Markup, el
from squall.chaos.tell.page.parts import pairs, table
from squall.chaos.tell.words import OF_A_SERIES
from squall.services.run.result import Check, Verdict

SIGNS: Mapping[Verdict, str] = {"pass": "✓", "fail": "✕", "unknown": "?"}
TITLES: Mapping[Verdict, str] = {"pass": "Passed", "fail": "Failed", "unknown": "Unknown"}

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, *children: Child) -> bytes:
    """The file's content."""
    style = importlib.resources.files("squall.chaos.tell.page").joinpath("page.css").read_text()
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        # Ours alone: nothing from a run is ever put into the style sheet.
        el("style", Markup(style)),
    )
    return f"<!doctype html>\n{el('html', head, el('body', *children), lang='en')}\n".encode()


def heading(
    verdict: Verdict, said: str, facts: Iterable[tuple[str, str]], *first: Child, blame: str = ""
) -> Markup:
    """The verdict, what there is to say of it in words, and what it is of.

    Args:
        said: The words that a terminal prints.
        first: What has to be known beside the verdict.
        blame: What the user's own handler did wrong, which is said before all else; empty if nothing.
    """
    return el(
        "header",
        el(
            "h1",
            el("span", SIGNS[verdict], class_="sign", aria_hidden="true"),
            TITLES[verdict],
            class_=verdict,
        ),
        el("p", blame, class_="why blame") if blame else None,
        el("p", said, class_="why"),
        *first,
        pairs(facts, "facts"),
    )


def anchor_of(check: Check | SeriesCheck) -> str:
    """What a link names a check by: its id; on the page of a series with its pattern before it."""
    pattern = f"{check.pattern}-" if isinstance(check, SeriesCheck) and check.pattern else ""
    return "check-" + re.sub(r"[^A-Za-z0-9_.-]", "_", f"{pattern}{check.id}")


def badge(verdict: Verdict, said: str | None = None) -> Markup:
    """A verdict with its sign, in other words if they are given: those of what does not matter are quiet."""
    quiet = said not in (None, verdict)
    return el(
        "span",
        el("span", "–" if quiet else SIGNS[verdict], aria_hidden="true"),
        f" {said or verdict}",
        class_=f"badge {'quiet' if quiet else verdict}",
    )


def checks(pattern: str | None, told: Sequence[Check | SeriesCheck]) -> Markup:
    """A row a check: what was promised, and what happened."""
    promises = promises_of(pattern)
    whole = {check: text for check, (_, text) in OF_A_SERIES.items()}
    texts = whole | ({} if promises is None else {p.id: p.text for p in promises.promises})
    rows = [
        [
            el("span", check.id, class_="id", id=anchor_of(check)),
            check.name,
            texts.get(check.id, words.ABSENT),
            badge(check.verdict, check.said),
            check.detail,
        ]
        for check in told
    ]
    return table(["", "check", "promise", "verdict", "what happened"], rows, "checks")
