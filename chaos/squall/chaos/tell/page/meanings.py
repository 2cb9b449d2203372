"""What a word on a page means, for who rests on it: as `squall explain` says it. Pure."""

from __future__ import annotations

import functools

from squall.services.words import find, own


@functools.cache
def meaning(term: str) -> str | None:
    """The text of a word; None of one that is used in no sense of its own."""
    return next((word.text for word in find(term, own())), None)
