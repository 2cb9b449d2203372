"""A decision waits for its peer to read the log that far: while it reads on, and not for ever."""

from __future__ import annotations

from squall.services.roles.executor import LONGEST_S, PATIENCE_S, Patience

BEGUN_S = 100.0
TICK_S = PATIENCE_S / 4


def waited_s(reads_until_s: float) -> float:
    """How long a decision waits for a peer that reads a record each tick until then."""
    patience, now_s, read = Patience(7, BEGUN_S), BEGUN_S, 7
    while not patience.is_over(read, now_s):
        now_s += TICK_S
        read += now_s - BEGUN_S <= reads_until_s
    return now_s - BEGUN_S


def test_who_reads_nothing_gives_it_back_soon() -> None:
    assert waited_s(0.0) == PATIENCE_S


def test_who_reads_on_keeps_it() -> None:
    assert waited_s(3 * PATIENCE_S) == 4 * PATIENCE_S


def test_who_reads_on_for_ever_does_not() -> None:
    assert waited_s(2 * LONGEST_S) == LONGEST_S
