"""Figures as people read them. What is absent is a dash, never a zero. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

ABSENT = "—"


def count(value: int | None) -> str:
    return ABSENT if value is None else f"{value:,}"


def milliseconds(value: float | None) -> str:
    """Three figures or more, so that 0.04 ms does not become 0."""
    if value is None:
        return ABSENT
    return f"{value:,.0f} ms" if abs(value) >= 100 else f"{value:.3g} ms"


def seconds(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.2f} s"


def per_second(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.1f} /s"


def share(value: float | None) -> str:
    """A percentage that says 100 only of the whole."""
    if value is None:
        return ABSENT
    return f"{value:.0%}" if value in (0.0, 1.0) else f"{min(value, 0.9999):.2%}"


def date(time_s: float | None) -> str:
    """A moment in UTC, to the second."""
    if time_s is None:
        return ABSENT
    try:
        return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, OSError, ValueError):
        return ABSENT


def offset(value: float | None) -> str:
    """Seconds since the first intended submission, with their sign."""
    return ABSENT if value is None else f"{round(value, 2) + 0.0:+,.2f} s".replace("-", "−")
