"""A number with its noun, as it is said of what was found."""

from __future__ import annotations


def plural(number: int, noun: str) -> str:
    """``1 task``, ``2,000 tasks``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
