"""Who leads, as announced: lower terms are refused, silence is noticed, the next announcement ends it."""

from __future__ import annotations

import pytest

from squall.services.rules.degrade import HighestTerm, LeaderWatch


def test_a_lower_term_is_refused_and_the_same_is_not() -> None:
    highest = HighestTerm()
    assert [highest.accepts(term) for term in (3, 3, 2, 5, 4, 5)] == [True, True, False, True, False, True]
    assert highest.term == 5


COURSES = {
    # what happens at which second, with a lease of 1: what it is answered
    "announced in time": (
        [("hear", 1, 0.3), ("look", 1.0), ("hear", 1, 1.9), ("look", 3.8)],
        ["obeyed", False, "obeyed", False],
    ),
    "never announced": ([("look", 1.9), ("look", 2.0), ("look", 2.1)], [False, True, False]),
    "lost and back": (
        [("hear", 1, 1.0), ("look", 2.9), ("look", 3.0), ("hear", 1, 3.5), ("look", 5.4), ("look", 5.5)],
        ["obeyed", False, True, "returned", False, True],
    ),
    "a deposed leader does not end it": (
        [("hear", 7, 1.0), ("look", 3.0), ("hear", 6, 3.1), ("look", 3.2), ("hear", 8, 3.3), ("hear", 8, 4)],
        ["obeyed", True, "refused", False, "returned", "obeyed"],
    ),
    "a deposed leader does not put it off": (
        [("hear", 7, 0.0), ("hear", 6, 1.5), ("look", 2.0)],
        ["obeyed", "refused", True],
    ),
    "late itself": ([("hear", 1, 0.1), ("look", 60.0), ("hear", 1, 60.0)], ["obeyed", True, "returned"]),
}


@pytest.mark.parametrize(("course", "answers"), COURSES.values(), ids=COURSES)
def test_a_leader_is_lost_after_two_leases_of_silence(
    course: list[tuple[str | float, ...]], answers: list[str | bool]
) -> None:
    watch = LeaderWatch(1.0, now_s=0.0)
    given: list[object] = []
    for kind, *facts in course:
        if kind == "hear":
            given.append(watch.announced(int(facts[0]), float(facts[1])))
        else:
            given.append(watch.look(float(facts[0])))
    assert given == answers
