"""``squall explain``: what a word on the screen or the page means."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.padding import Padding

from squall.services.cli.terminal import Terminal, spaced, styled
from squall.services.errors import SpecError
from squall.services.run import hints
from squall.services.words import Word, find, nearest, words


def explained(term: str) -> list[Word]:
    """What a term means; several where patterns mean different things by it.

    Raises:
        SpecError: Nobody uses that word; the remedy is the nearest.
    """
    known = words()
    found = find(term, known)
    if found:
        return found
    if Path(term).is_dir():
        raise SpecError(
            f"{term} is a directory, and only words are explained yet",
            f"`{hints.command('check', Path(term))}` judges it, "
            f"`{hints.command('report', Path(term))}` writes its page",
        )
    near = nearest(term, known)
    remedy = f"did you mean {near!r}?" if near else "`squall explain` alone lists all words"
    raise SpecError(f"there is no word {term!r}", remedy)


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
