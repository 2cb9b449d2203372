"""The words that the harness adds to those of `squall.services.words`: its faults, and every check. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from squall.chaos.judge.checks import promises_of
from squall.chaos.plan.kinds import DOES
from squall.services.errors import SpecError
from squall.services.patterns import names
from squall.services.sentences import sentence
from squall.services.words import Word

OF_A_SERIES: Mapping[str, tuple[str, str]] = {
    "V1": ("coverage", "Every step on a task's way to its effect is killed, paused and cut."),
    "V2": ("completeness", "Every planned run is there, as it was planned, and came to its end."),
}
"""What is promised of a series as a whole: by its id, its name and what must hold."""

NO_CHECKS = Word("V0", "checks", "There is nothing to hold this run to: no checks of its pattern are known.")


def words() -> Iterator[Word]:
    """A word for each kind of fault, and one for each check of each pattern."""
    for kind, does in DOES.items():
        yield Word(kind, "faults", sentence(does))
    for pattern in names():
        try:
            promises = promises_of(pattern)
        except SpecError:
            continue  # `squall doctor` tells of it
        for promise in promises.promises if promises is not None else ():
            term, also = f"{promise.id} {promise.name}", (promise.id, promise.name)
            yield Word(term, "checks", promise.text, also, of=(pattern,))
    for check, (name, text) in OF_A_SERIES.items():
        yield Word(f"{check} {name}", "checks", text, (check, name))
    yield NO_CHECKS
