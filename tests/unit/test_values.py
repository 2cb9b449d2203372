"""Values that no swarm can be run with are refused in the words of the file."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from squall.chaos.errors import FaultError
from squall.chaos.inject.schedule_file import parse
from squall.services.patterns import PATTERNS
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.spec import SEED_MAX, Seconds
from squall.services.run.swarm_toml import load
from squall.services.run.values import refusal


class Some(msgspec.Struct):
    count: Annotated[int, Meta(ge=1, le=200)] = 4
    offset: Annotated[int, Meta(ge=-5, le=5)] = 0
    wait_s: Seconds = 1.0
    life_s: Annotated[float, Meta(ge=3)] = 5.0
    patience_s: Annotated[float, Meta(ge=0)] = 1.0
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    on: bool = False
    name: str = ""
    venue: Literal["kind", "rough"] = "kind"
    more: dict[str, int] = {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"count": 0}, "count = 0 is too few: at least 1"),
        ({"count": 201}, "count = 201 is too many: at most 200"),
        ({"count": "four"}, 'count = "four" is no whole number'),
        ({"count": 2.0}, "count = 2.0 is no whole number"),
        ({"count": True}, "count = true is no whole number"),
        ({"count": [1]}, "count = [1] is no whole number"),
        ({"count": datetime.date(1979, 5, 27)}, 'count = "1979-05-27" is no whole number'),
        ({"offset": -6}, "offset = -6 is too small: at least -5"),
        ({"wait_s": float("inf")}, "wait_s = inf is no finite number"),
        ({"wait_s": float("nan")}, "wait_s = nan is no finite number"),
        ({"wait_s": 1e-300}, "wait_s = 1e-300 is too small: at least 0.001"),
        ({"wait_s": 0}, "wait_s = 0 is too small: at least 0.001"),
        ({"wait_s": -1.5}, "wait_s = -1.5 is too small: at least 0.001"),
        ({"wait_s": 10**25}, "wait_s = 10000000000000000000000000 is too large: at most 1,000,000,000"),
        ({"wait_s": "1"}, 'wait_s = "1" is no number'),
        ({"life_s": 1}, "life_s = 1 is too small: at least 3"),
        ({"patience_s": 1e-9}, "patience_s = 1e-9 is too small: 0, or at least 0.001"),
        ({"patience_s": 0}, None),
        ({"share": 1}, "share = 1 is too large: less than 1"),
        ({"share": 1e-9}, None),
        ({"on": 1}, "on = 1 is neither true nor false"),
        ({"name": 3}, "name = 3 is no text, which stands in quotes"),
        ({"venue": "dumb"}, 'venue = "dumb" is no choice: there is "kind", "rough"'),
        ({"count": 4, "wait_s": 0.001, "life_s": 3, "more": {"a": 1}}, None),
        ({"unknown": 4}, None),
    ],
)
def test_a_value_is_refused_in_the_words_of_the_file(values: dict[str, Any], said: str | None) -> None:
    assert refusal(values, Some) == said


def test_what_is_refused_is_cut_and_never_breaks_the_sentence() -> None:
    said = refusal({"count": "\ud800" + "x" * 1000}, Some)
    assert said is not None
    assert len(said) < 120
    assert said.endswith("is no whole number")


@pytest.mark.parametrize("name", PATTERNS)
def test_every_default_of_a_pattern_is_a_value_that_it_takes(name: str) -> None:
    kind = PATTERNS[name].spec
    assert refusal(msgspec.structs.asdict(kind()), kind) is None


def test_a_seed_beyond_what_a_node_can_read_is_refused() -> None:
    assert refusal({"seed": SEED_MAX}, HierarchicalSpec) is None
    assert "is too large" in str(refusal({"seed": SEED_MAX + 1}, HierarchicalSpec))


def test_a_mark_at_the_beginning_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "swarm.toml"
    path.write_bytes(b"\xef\xbb\xbfagents = 7\n")
    assert load(path) == HierarchicalSpec(agents=7)


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ("at_s = inf", "in interval 2, at_s = inf is no finite number"),
        ("for_s = 601", "in interval 2, for_s = 601 is too large: at most 600"),
        ("nth = 0", "in interval 2, nth = 0 is too few: at least 1"),
        ("magnitude = { latency_ms = 1.5 }", "in interval 2, latency_ms = 1.5 is no whole number"),
        ("fault = 3", "in interval 2, fault = 3 is no text"),
    ],
)
def test_a_schedule_is_refused_in_the_words_of_its_file(interval: str, said: str) -> None:
    fault = "" if interval.startswith("fault") else 'fault = "latency"\n'
    good = '[[interval]]\nfault = "crash"\ntarget = "leader"\n'
    text = f'seed = 1\n{good}[[interval]]\n{fault}target = "leader"\n{interval}\n'
    with pytest.raises(FaultError, match=said):
        parse(text, HierarchicalSpec())
