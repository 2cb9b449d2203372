"""HTML and SVG as text in which nothing from a run can become markup. Pure.

What a run holds (names, reasons, ids) was written by handlers and by whoever edits a spec, so text is escaped
where it becomes a child or an attribute, and nowhere else: only an element is ever taken as it is.
"""

from __future__ import annotations

from html import escape

from squall.bus.border import masked

_VOID = frozenset({"meta"})
"""Elements of ours that have no end."""


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | None
Value = str | float | None


def el(name: str, /, *children: Child, **attributes: Value) -> Markup:
    """An element.

    Args:
        name: Its tag.
        children: Elements as they are, other text escaped; None is left out.
        attributes: By name, in which an underscore is a hyphen and one at the end is dropped (``class_``).
            A float is rounded to a tenth: it is a coordinate. None is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Several children without an element around them."""
    return Markup("".join(c if isinstance(c, Markup) else text(c) for c in children if c is not None))


def text(value: str | float) -> str:
    """A value as text that is safe between tags and inside a quoted attribute."""
    if isinstance(value, str):
        return escape(masked(value, lines=True))
    return coordinate(value)


def coordinate(value: float) -> str:
    """A number as short as a tenth of a pixel allows."""
    return f"{value:.1f}".removesuffix(".0")
