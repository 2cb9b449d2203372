"""A file of a run's directory that is gone: said as that, whatever is asked for, and it accuses nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.histories import good_run
from tests.unit.star_histories import good_star

from squall.chaos.tell.documents import judge

GONE = {
    "spec.toml": "spec.toml is missing",
    "nodes.jsonl": "nodes.jsonl is missing",
    "history.jsonl": "history.jsonl is missing",
    "faults.jsonl": "faults.jsonl is missing",
    "venue.sqlite": "venue.sqlite is missing",
}


@pytest.mark.parametrize("file", GONE)
@pytest.mark.parametrize("made", [good_run, good_star])
def test_what_cannot_be_said_without_a_file_is_said_with_its_name(
    tmp_path: Path, made: object, file: str
) -> None:
    path = made().write(tmp_path / "run")  # type: ignore[operator]
    (path / file).unlink()
    checks = [
        check for check in judge(path).checks if (made, check.id) != (good_star, "E1")
    ]  # its orders are made up
    assert [check for check in checks if check.verdict == "fail"] == []
    unknown = [check for check in checks if check.verdict == "unknown"]
    assert unknown
    said = [
        check.detail.lower().replace("there is no database of the venue", GONE["venue.sqlite"])
        for check in unknown
    ]
    assert [detail for detail in said if GONE[file] not in detail] == []
    assert [check for check in unknown if "The check itself broke" in check.detail] == []
