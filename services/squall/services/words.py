"""Every word that the screen and the page use in a sense of their own, each explained once.

    words.toml ─────────────────────────┐
    patterns ── streams, points ────────┼─► words() ─► squall explain, the page
    other parts (group squall.words) ───┘

The harness brings words for checks and faults; a package may bring its own, by an entry point in the group
``squall.words`` whose value is a function that returns them.
"""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import importlib.resources
from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import msgspec

from squall.services.errors import SpecError
from squall.services.packages import REMEDY
from squall.services.patterns import names, pattern_of
from squall.services.patterns.pattern import Pattern
from squall.services.sentences import sentence

GROUP = "squall.words"

Topic = Literal[
    "who",
    "things",
    "counts",
    "measures",
    "stages",
    "verdicts",
    "series",
    "streams",
    "points",
    "faults",
    "checks",
]
"""What a word is one of, in the order in which they are listed."""


class Word(msgspec.Struct, frozen=True):
    """A word and what it means.

    Attributes:
        text: One or two sentences.
        also: Other words for the same.
        of: The patterns that have it; empty if all have.
    """

    term: str
    topic: Topic
    text: str
    also: tuple[str, ...] = ()
    of: tuple[str, ...] = ()


TABLE = "words.toml"
"""Beside this file."""

PARTS_MAX = 10
"""Of a term that nobody uses, so many words are looked at."""

TOPICS: Sequence[Topic] = get_args(Topic)


@functools.cache
def own() -> Sequence[Word]:
    """The words of this part."""
    text = importlib.resources.files("squall.services").joinpath(TABLE).read_text("utf-8")
    topics = msgspec.toml.decode(text, type=dict[Topic, dict[str, str | tuple[str, ...]]])
    return [
        Word(term, topic, said, ()) if isinstance(said, str) else Word(term, topic, said[0], said[1:])
        for topic, terms in topics.items()
        for term, said in terms.items()
    ]


def words() -> list[Word]:
    """All words there are, in the order of their topics.

    Raises:
        SpecError: A package that brings words is broken.
    """
    found = [*own(), *_of_patterns(), *_brought()]
    return sorted(_merged(found), key=lambda word: TOPICS.index(word.topic))


def find(term: str, among: Sequence[Word]) -> list[Word]:
    """The words of this name; several where patterns mean different things by it."""
    asked = _plain(term)
    return [word for word in among if asked in _names(word)]


def nearest(term: str, among: Sequence[Word]) -> str | None:
    """The term that is most like this: much like it, or in it as a word, or somewhat like it, if any is."""
    known = {name: word.term for word in among for name in _names(word)}
    within = [part for part in _parts(_plain(term)) if part in known]
    alike = [difflib.get_close_matches(_plain(term), known, 1, cutoff=cutoff) for cutoff in (0.8, 0.5)]
    close = alike[0] or within or alike[1]
    return known[close[0]] if close else None


def _parts(term: str) -> Iterator[str]:
    """The words of a term that stand beside each other, the longest first."""
    parts = term.split()[:PARTS_MAX]
    for length in range(len(parts) - 1, 0, -1):
        for first in range(len(parts) - length + 1):
            yield " ".join(parts[first : first + length])


def _names(word: Word) -> set[str]:
    return {_plain(name) for name in (word.term, *word.also)}


def _plain(term: str) -> str:
    return " ".join(term.lower().replace("-", " ").replace("_", " ").split())


def _of_patterns() -> Iterator[Word]:
    """Streams and points of every pattern that can be used here."""
    for name in names():
        try:
            pattern = pattern_of(name)
            points = pattern.points()
        except SpecError:
            continue  # `squall doctor` tells of it
        for stream, text in streams_of(pattern).items():
            yield Word(stream, "streams", sentence(text), of=(name,))
        for point, text in points.items():
            yield Word(point, "points", sentence(text), of=(name,))


def streams_of(pattern: Pattern) -> dict[str, str]:
    """What each stream of a pattern is for, by the last part of its name, as its description says."""
    return {
        str(config["name"]).rpartition("_")[2]: str(config.get("description", ""))
        for config in pattern.streams(pattern.spec(pattern=pattern.name))
    }


def _brought() -> Iterator[Word]:
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            brought = list(entry.load()())
        except ImportError:
            continue  # its own packages are missing, and so is what it has words for
        except Exception as error:
            said = f"the words that {entry.value} brings cannot be used: {type(error).__name__}: {error}"
            raise SpecError(said, REMEDY) from error
        yield from brought


def _merged(found: Sequence[Word]) -> list[Word]:
    """Each meaning once, with all patterns that have it."""
    merged: dict[tuple[str, str], Word] = {}
    for word in found:
        before = merged.get((word.term, word.text))
        if before is not None:
            word = msgspec.structs.replace(word, of=(*before.of, *word.of))
        merged[word.term, word.text] = word
    return list(merged.values())
