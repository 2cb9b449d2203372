"""What a handler does wrong in a run is told as the handler's, first, and nothing else fails for it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.handlers_to_blame import kind_of
from tests.scenarios.quick import QUICK, starting

from squall.services.run.result import HANDLER_CHECK

pytestmark = pytest.mark.nats

SQUALL = Path(sys.executable).parent / "squall"

FIELDS: dict[str, Any] = {**QUICK, "tasks": 80, "rate_per_s": 80}


@pytest.fixture
def run_with(squall_run: Any, tmp_path: Path) -> Any:
    return starting(squall_run, tmp_path, "handlers_to_blame", FIELDS)


def checks_of(document: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {check["id"]: (check["verdict"], check["detail"]) for check in document["checks"]}


def told(run: Any, *arguments: str | Path) -> list[str]:
    """What a command prints of the run, its lines joined where they were broken."""
    ended = subprocess.run(
        [SQUALL, *arguments],
        cwd=run.path.parent,
        capture_output=True,
        text=True,
        check=False,
        env={"COLUMNS": "2000", "PATH": "/usr/bin:/bin", "HOME": str(run.path)},
    )
    return ended.stdout.splitlines()


def submitted(run: Any) -> list[dict[str, Any]]:
    return [line for line in run.lines("submit") if line["type"] == "ok"]


def line_of(source: str) -> int:
    """Which line of the module of handlers has this."""
    lines = (Path(__file__).parent / "handlers_to_blame.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if source in line)


def held_against_the_swarm(checks: Mapping[str, tuple[str, str]]) -> list[str]:
    return [check for check, (verdict, _) in checks.items() if verdict == "fail" and check != HANDLER_CHECK]


def test_each_mistake_of_a_run_is_told_as_the_handlers_wherever_it_is_told(run_with: Any) -> None:
    run = run_with("several")
    document = run.end(120)
    assert run.process.returncode == 1
    checks = checks_of(document)
    assert held_against_the_swarm(checks) == []
    assert (document["lost"], document["duplicated"]) == (0, 0)

    tasks = [line["task"] for line in submitted(run)]
    of_kind = {kind: [task for task in tasks if kind_of(task) == kind] for kind in range(8)}
    assert all(of_kind.values()), "each had its tasks"
    failed = sum(len(of_kind[kind]) for kind in (0, 1, 2, 3))
    verdict, detail = checks[HANDLER_CHECK]
    assert verdict == "fail"
    assert detail.startswith(f"The handler handlers_to_blame:several failed {failed} of 80 tasks: it r")
    inner = f"handlers_to_blame.py:{line_of('100 / risk')} in sized"
    outer = f"handlers_to_blame.py:{line_of('sized(0)')} in several"
    parts = [
        f"raised ZeroDivisionError: division by zero, at {inner}: return 100 / risk",
        "price is missing",
        "this is the text 'buy'",
        "a generator; return a list of effects instead of yielding them",
    ]
    assert [part for part in parts if part not in detail] == []
    assert f"It gave up {len(of_kind[6])} tasks itself, the first" in detail
    assert f"{len(of_kind[5])} attempts failed, and their tasks ended well after that" in detail
    assert document["refused_effects"] == len(of_kind[1]) + len(of_kind[2])
    assert document["dead_letters"] == len(of_kind[0]) + len(of_kind[3]) + len(of_kind[6])

    first = next(check["task"] for check in document["checks"] if check["id"] == HANDLER_CHECK)
    hint = f"see `squall trace {first} --run {run.path.name}`"
    assert run.stderr.read_text().splitlines()[-2:] == [f"squall: {detail}", f"squall: {hint}"]
    shown = told(run, "check", run.path)
    assert shown[0].strip() == detail
    pasted = shlex.split(shown[1].removeprefix("see `").removesuffix("`"))
    assert pasted[:2] == ["squall", "trace"]
    assert told(run, *pasted[1:])[0].startswith(first)

    letters = {line["task"]: line for line in run.lines("final") if line.get("what") == "dead-letter"}
    for task in of_kind[0]:
        assert letters[task]["reason"] == (
            f"the handler raised ZeroDivisionError: division by zero, at {inner}, called at {outer}"
        )
    traced = "\n".join(told(run, "trace", of_kind[0][0], "--run", run.path))
    assert f"{outer}: return order(task, quantity=sized(0)); {inner}: return 100 / risk" in traced

    logs = [path.read_text().splitlines() for path in (run.path / "logs").glob("agent-*.log")]
    lines = [line for log in logs for line in log]
    assert {f"deciding {task}" for task in tasks} <= set(lines), "what it prints is in its log, line by line"
    assert any(line.endswith(f"  {inner}: return 100 / risk") for line in lines)
    page = (run.path / "report.html").read_text()
    assert "The handler handlers_to_blame:several failed" in page


STAR = {"pattern": "star", "agents": 3}


@pytest.mark.parametrize("changes", [{}, STAR], ids=["hierarchical", "star"])
def test_what_a_handler_gives_up_is_no_failure_of_anybody(run_with: Any, changes: dict[str, Any]) -> None:
    run = run_with("gives_up", **changes)
    document = run.end(120)
    checks = checks_of(document)
    assert held_against_the_swarm(checks) == []
    assert run.process.returncode in (0, 3)
    given_up = [line["task"] for line in run.lines("handler")]
    assert document["dead_letters"] == len(given_up) > 0
    verdict, detail = checks[HANDLER_CHECK]
    assert verdict == "pass"
    assert f"it gave up {len(given_up)} tasks itself, the first" in detail


def test_in_a_star_too_what_is_no_order_is_the_handlers(run_with: Any) -> None:
    run = run_with("several", **STAR)
    document = run.end(120)
    checks = checks_of(document)
    assert run.process.returncode == 1
    assert held_against_the_swarm(checks) == []
    assert checks[HANDLER_CHECK][0] == "fail"
    assert document["refused_effects"] == sum(kind_of(line["task"]) in (1, 2) for line in submitted(run))


def test_a_handler_that_ends_its_process_is_told_and_nothing_else_is_held_against(run_with: Any) -> None:
    run = run_with("ends_its_process", slots=1, tasks=40)
    document = run.end(120)
    checks = checks_of(document)
    assert run.process.returncode == 1
    assert held_against_the_swarm(checks) == []
    ending = [line["task"] for line in submitted(run) if kind_of(line["task"]) == 0]
    verdict, detail = checks[HANDLER_CHECK]
    assert verdict == "fail"
    assert f"failed {len(ending)} of 40 tasks: it ended its agent's process with status 9" in detail
    assert document["dead_letters"] == len(ending) > 0


def test_a_handler_that_blocks_its_loop_is_told_with_where(run_with: Any) -> None:
    run = run_with("blocks_its_loop", tasks=40)
    checks = checks_of(run.end(120))
    assert held_against_the_swarm(checks) == []
    assert run.process.returncode == 1
    verdict, detail = checks[HANDLER_CHECK]
    assert verdict == "fail"
    assert detail.startswith("The handler handlers_to_blame:blocks_its_loop held up its agents ")
    assert f"s at most, at handlers_to_blame.py:{line_of('time.sleep(0.8)')} in blocks_its_loop" in detail
    assert "make it a plain function, or await what takes long" in detail
    logs = "".join(path.read_text() for path in (run.path / "logs").glob("agent-*.log"))
    assert "handlers_to_blame:blocks_its_loop held up its agent for " in logs
