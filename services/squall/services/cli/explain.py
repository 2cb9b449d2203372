"""``squall explain``: what a word on the screen or the page means."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.padding import Padding

from squall.bus.border import printable
from squall.services.cli.terminal import Terminal, spaced, styled
from squall.services.errors import SpecError
from squall.services.run import hints
from squall.services.words import Word, find, nearest, words

LISTS = "`squall explain` alone lists all words"

TERM_LENGTH_MAX = 60


def explained(term: str) -> list[Word]:
    """What a term means; several where patterns mean different things by it.

    Raises:
        SpecError: Nobody uses that word; the remedy is the nearest.
    """
    if not term.strip():
        raise SpecError("no word is named", LISTS)
    known = words()
    found = find(term, known)
    if found:
        return found
    if _is_folder(term):
        raise SpecError(
            f"{term} is a directory, and only words are explained yet",
            f"`{hints.command('check', Path(term))}` judges it, "
            f"`{hints.command('report', Path(term))}` writes its page",
        )
    near = nearest(term, known)
    remedy = f"did you mean {near!r}?" if near else LISTS
    raise SpecError(f"there is no word {printable(term, TERM_LENGTH_MAX)!r}", remedy)


def _is_folder(text: str) -> bool:
    try:
        return Path(text).is_dir()
    except OSError:
        return False  # no file can have that name, for instance because it is too long


def show(found: Sequence[Word], console: Terminal) -> None:
    """Print what some words mean."""
    for word in found:
        console.print(spaced(styled(word.term, "bold"), styled(", ".join(word.of) or word.topic, "dim")))
        console.print(Padding(styled(word.text), (0, 0, 0, 2)))


def show_all(found: Sequence[Word], console: Terminal) -> None:
    """Print which words there are."""
    for topic, together in groupby(found, lambda word: word.topic):
        terms = dict.fromkeys(word.term for word in together)
        console.print(styled(topic, "bold"))
        console.print(Padding(styled(", ".join(terms)), (0, 0, 0, 2)))
    console.print("", styled("squall explain TERM says what one of them means", "dim"), sep="\n")
