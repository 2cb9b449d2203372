"""When what an operator said of a breaker is done."""

from __future__ import annotations

import pytest

from squall.services.patterns.operating_breakers import is_done
from squall.services.rules.breaker import TRANSITIONS, VERBS, Verb


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_done_once_the_breaker_stands_so_and_not_before(verb: Verb) -> None:
    stands = {state for state in TRANSITIONS if is_done(verb, state)}
    forced = {"force-open": "forced-open", "disable": "disabled", "observe": "observe"}
    assert stands == ({forced[verb]} if verb in forced else {"closed", "open", "half-open"})
    # Wherever the rule goes by a verb, that is done then.
    assert {TRANSITIONS[state][verb] for state in TRANSITIONS} <= stands
