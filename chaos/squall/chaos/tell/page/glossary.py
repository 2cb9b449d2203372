"""What the words on a page mean, as `squall explain` says it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from squall.chaos.tell.page.markup import Markup, el
from squall.chaos.tell.page.parts import section, table
from squall.services.words import Topic, own

TOPICS: Sequence[Topic] = ("counts", "measures", "verdicts", "who", "things", "series")


def glossary() -> Markup:
    """Each word once, folded away until somebody wants it."""
    told = [[word.term, word.text] for topic in TOPICS for word in own() if word.topic == topic]
    return section(
        "Words",
        "What the words on this page mean; the command squall explain says the same",
        el("details", el("summary", f"{len(told)} words"), table(["word", "means"], told, "words")),
        anchor="words",
    )
