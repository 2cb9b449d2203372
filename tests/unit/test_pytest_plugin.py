"""By which verdicts a test fails that asks for a swarm."""

from __future__ import annotations

from typing import Any

import pytest

from squall.chaos.testing.failures import complaints
from squall.services.run.result import Check, Result, Verdict

GOOD: dict[str, Verdict] = {"H1": "pass", "H2": "pass", "H4": "unknown", "H5": "pass", "U1": "pass"}


def judged(verdicts: dict[str, Verdict]) -> Result:
    checks = [Check(id=i, name=i.lower(), verdict=v, detail=f"{i} says {v}") for i, v in verdicts.items()]
    absent: dict[str, Any] = dict.fromkeys(Result.__struct_fields__)
    return Result(**{**absent, "pattern": "hierarchical", "checks": tuple(checks)})


@pytest.mark.parametrize(
    ("verdicts", "excused", "complained"),
    [
        (GOOD, (), ""),
        ({**GOOD, "H4": "fail"}, (), "H4"),
        ({**GOOD, "H2": "unknown"}, (), "H2"),
        ({**GOOD, "H5": "unknown"}, (), "H5"),
        ({**GOOD, "U1": "fail"}, (), "U1"),
        ({**GOOD, "U1": "fail"}, ("U1",), ""),
        ({**GOOD, "H5": "unknown"}, ("H5",), ""),
        ({**GOOD, "H5": "unknown", "H1": "fail"}, ("H5",), "H1"),
        ({"V0": "unknown"}, (), "V0"),
        ({"M1": "unknown", "H1": "pass"}, (), "M1"),
        ({"H4": "unknown"}, (), "no check passed"),
        ({"H1": "pass"}, ("H1",), "no check passed"),
        ({}, (), "no check passed"),
    ],
)
def test_what_fails_or_cannot_say_fails_the_test_unless_the_test_says_otherwise(
    verdicts: dict[str, Verdict], excused: tuple[str, ...], complained: str
) -> None:
    said = complaints(judged(verdicts), excused)
    assert len(said) == bool(complained), said
    assert complained in "".join(said)
