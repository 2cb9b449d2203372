"""Results: whatever a handler returns, raises or prints ends its own task and hinders no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenarios.attacks.arena import ROOT, fighting
from tests.scenarios.attacks.fuzzed import is_fuzzed

FUZZED = 2000


@pytest.mark.slow
def test_two_thousand_results_of_any_kind_hinder_no_other_task(tmp_path: Path) -> None:
    handler = tmp_path / "fuzzing_handler.py"
    handler.write_text(
        "import sys\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.scenarios.attacks.fuzzed import handler\n"
        "decide = handler(Path(__file__).parent)\n"
    )
    with fighting(tmp_path / "arena", rate_per_s=300.0, attempts=2, handler=f"{handler}:decide") as arena:
        before = arena.world()
        arena.wait(lambda: sum(map(is_fuzzed, arena.accepted())) >= FUZZED, "two thousand fuzzed tasks", 120)
        (tmp_path / "enough").touch()
        arena.recovers()
        arena.unharmed(before)
        begun = arena.accepted()[:]
        arena.spoiled.update(task for task in begun if is_fuzzed(task))
        arena.wait(lambda: not set(begun) & set(arena.progress().open), "end of every task")
        honest = {f"{task}-0" for task in begun if not is_fuzzed(task)}
        arena.wait(lambda: honest <= {row[0] for row in arena.fills()}, "fill of every honest task")
        arena.honest_ledger()
