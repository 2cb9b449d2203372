"""What every section of the page is made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from squall.chaos.tell.page import words
from squall.chaos.tell.page.markup import Child, Markup, el, join
from squall.chaos.tell.page.meanings import meaning

Group = tuple[str, Sequence[tuple[str, str, str]]]
"""A title, and of each figure its name, its value and a note."""

ROWS_MAX = 500
"""Rows of a table; a table of more says how many there are."""


def section(title: str, about: str | None, *children: Child, anchor: str | None = None) -> Markup:
    """A part of the page.

    Args:
        anchor: What a link within the page names it by.
    """
    told = el("p", about, class_="about") if about else None
    return el("section", el("h2", title), told, *children, id=anchor)


def nothing(sentence: str) -> Markup:
    return el("p", sentence, class_="nothing")


def legend(keys: Iterable[tuple[str, str]]) -> Markup:
    return el(
        "ul",
        *(el("li", el("span", class_=f"key {kind}", aria_hidden="true"), name) for kind, name in keys),
        class_="legend",
    )


def pairs(facts: Iterable[tuple[str, str]], kind: str) -> Markup:
    return el("dl", *(el("div", el("dt", name), el("dd", value)) for name, value in facts), class_=kind)


def table(
    headers: Sequence[Child], rows: Sequence[Sequence[Child]], kind: str, numeric: Iterable[int] = ()
) -> Markup:
    """A table in a box of its own, which scrolls where the page is too narrow for it."""
    right = set(numeric)

    def cell(tag: str, at: int, content: Child) -> Markup:
        explained = meaning(content) if tag == "th" and type(content) is str else None
        return el(tag, content, class_="num" if at in right else None, title=explained)

    def row(cells: Sequence[Child], tag: str) -> Markup:
        return el("tr", *(cell(tag, at, content) for at, content in enumerate(cells)))

    table = el(
        "table",
        el("thead", row(headers, "th")),
        el("tbody", *(row(cells, "td") for cells in rows[:ROWS_MAX])),
        class_=kind,
    )
    box = el("div", table, class_="scroll", tabindex="0", role="region", aria_label=f"table of {kind}")
    if len(rows) <= ROWS_MAX:
        return box
    return join(box, el("p", f"The first {ROWS_MAX:,} of {len(rows):,}.", class_="about"))


def groups(found: Iterable[Group]) -> Markup:
    """Figures side by side, each group below its title."""
    return el(
        "div",
        *(
            el("div", el("h3", title), el("dl", *(_figure(*figure) for figure in figures)), class_="group")
            for title, figures in found
        ),
        class_="figures",
    )


def zero(name: str, value: int | None) -> tuple[str, str, str]:
    """A figure that must be zero."""
    return name, words.count(value), "wrong: not zero" if value else ""


def _figure(name: str, value: str, note: str) -> Markup:
    kind = "wrong" if note.startswith("wrong") else None
    children: list[Child] = [el("dt", name, title=meaning(name)), el("dd", value, class_="value")]
    if note:
        children.append(el("dd", note, class_="note"))
    return el("div", *children, class_=kind)
