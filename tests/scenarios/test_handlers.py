"""A handler that raises, hangs, blocks, returns too much or cannot be imported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios import handlers_under_test
from tests.scenarios.quick import QUICK, starting

from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.trading.workload import independent

pytestmark = pytest.mark.nats

FIELDS = {**QUICK, "tasks": 20, "handler_timeout_s": 2.0}


@pytest.fixture
def run_with(squall_run: Any, tmp_path: Path) -> Any:
    return starting(squall_run, tmp_path, "handlers_under_test", FIELDS)


def ended(run: Any, is_alive: Any) -> dict[str, Any]:
    document: dict[str, Any] = run.end(120)
    assert [pid for pid in run.pids() if is_alive(pid)] == []
    return document


REASONS = {
    "raises": "the handler raised ValueError: this handler always raises",
    "exits": "the handler raised SystemExit",
    "returns_much": "the result is too large",
    "returns_nonsense": "the handler returned what cannot be sent",
    "hangs": "the handler did not return within 2 s",
}
EFFECTS = {"fine": 1, "plain": 2, "prints": 0}


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_handler_has_its_effects_and_one_that_cannot_succeed_ends_in_a_dead_letter_and_one_sentence(
    run_with: Any, is_alive: Any, kind: str
) -> None:
    run = run_with(f"any_{kind}", tasks=40)
    document = ended(run, is_alive)
    assert run.process.returncode == 1
    functions = handlers_under_test.PLAIN if kind == "plain" else handlers_under_test.ASYNC
    accepted = [line["task"] for line in run.lines("submit") if line["type"] == "ok"]
    expected = {task: handlers_under_test.drawn(task, functions).__name__ for task in accepted}
    assert set(expected.values()) == {function.__name__ for function in functions}, "each had its tasks"

    registers = {line["task"]: line for line in run.lines("final") if line.get("what") == "register"}
    for task, function in expected.items():
        if function in EFFECTS:
            assert registers[task]["status"] == "ok", registers[task]
            assert len(registers[task].get("effects", ())) == EFFECTS[function]
        else:
            assert registers[task]["status"] == "dead", registers[task]
            assert REASONS[function] in registers[task]["reason"]
    letters = {line["task"] for line in run.lines("final") if line.get("what") == "dead-letter"}
    assert letters == {task for task, function in expected.items() if function in REASONS}
    assert (document["accepted"], document["lost"], document["dead_letters"]) == (40, 0, len(letters))
    assert document["effects"] == sum(EFFECTS.get(function, 0) for function in expected.values())
    last = run.stderr.read_text().splitlines()[-2]  # then comes where more is told
    assert last.startswith(f"squall: The handler handlers_under_test:any_{kind} failed {len(letters)} of 40 ")
    assert any(reason.removeprefix("the handler ") in last for reason in REASONS.values())


def test_a_plain_handler_that_never_returns_costs_its_worker_and_ends_dead(
    run_with: Any, is_alive: Any
) -> None:
    run = run_with("blocks_for_ever", tasks=3, handler_timeout_s=1.5)
    document = ended(run, is_alive)
    assert (document["dead_letters"], document["lost"]) == (3, 0)
    starts = [json.loads(line) for line in (run.path / "nodes.jsonl").read_text().splitlines()]
    assert max(start["incarnation"] for start in starts if start["role"] == "agent") > 1


@pytest.mark.slow
@pytest.mark.everything
def test_a_handler_that_blocks_for_90_s_still_has_one_result(run_with: Any, is_alive: Any) -> None:
    changes = {"tasks": 2, "slots": 1, "ack_wait_s": 5.0, "handler_timeout_s": 120.0, "attempts": 5}
    runs = {function: run_with(function, **changes) for function in ("blocks", "blocks_the_loop")}
    for run in runs.values():
        document = run.end(280)
        assert [pid for pid in run.pids() if is_alive(pid)] == []
        assert (document["accepted"], document["dead_letters"], document["lost"]) == (2, 0, 0)
    attempts = [line["attempt"] for line in runs["blocks"].lines("run")]
    assert attempts == [1, 1], "a thread that blocks must not cost the lease"


@pytest.mark.parametrize("handler", ["no_such_module:f", "handlers_under_test:no_such_function"])
def test_a_handler_that_cannot_be_imported_is_unusable_input(run_with: Any, handler: str) -> None:
    run = run_with("fine", handler=handler)
    document = run.end(60)
    assert run.process.returncode == 2
    assert document["error"]["kind"] == "input"
    assert handler.split(":")[0] in document["error"]["message"]
    assert not run.path.exists(), "nothing was started, so nothing is left"


def test_a_task_that_kills_every_worker_is_dead_after_its_attempts_and_costs_no_other(
    run_with: Any, is_alive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(independent(HierarchicalSpec().seed, 1))
    poison = f"{first.key}-{first.number}"
    (tmp_path / "poison").write_text(poison)
    monkeypatch.setenv("POISON_FILE", str(tmp_path / "poison"))
    run = run_with("kills_its_worker", tasks=200, attempts=3, slots=1)
    document = ended(run, is_alive)
    dead = [line for line in run.lines("final") if line.get("status") == "dead"]
    assert [line["task"] for line in dead] == [poison]
    assert document["dead_letters"] == 1
    assert [line["attempt"] for line in run.lines("run") if line["task"] == poison] == [1, 2, 3]


LIBRARIES = ("signal", "nats", "random", "uvloop", "secrets", "msgspec", "types", "brotli", "sitecustomize")
"""Names of modules that something in a node imports, or might."""


@pytest.fixture
def liberties(squall_run: Any, tmp_path: Path) -> Any:
    """A run in which certain tasks do certain things, in a folder where files are named like libraries."""

    def start(roles: dict[int, str], **changes: Any) -> tuple[Any, Path, dict[str, str]]:
        folder = tmp_path / "0"
        folder.mkdir()
        shutil.copy(Path(__file__).parent / "handlers_that_take_liberties.py", folder / "liberties.py")
        (folder / "neighbour.py").write_text(
            "def order(task):\n"
            "    return dict(account='a', symbol='s', n=task.number, side='buy', quantity=1, price=1.0)\n"
        )
        for name in LIBRARIES:
            (folder / f"{name}.py").write_text(f"raise RuntimeError('the {name} of the current folder')\n")
        orders = list(independent(HierarchicalSpec().seed, FIELDS["tasks"]))
        named = {f"{orders[n].key}-{orders[n].number}": role for n, role in roles.items()}
        (folder / "roles.json").write_text(json.dumps(named))
        run = squall_run({**FIELDS, "handler": "liberties:decide", **changes})
        return run, folder, {role: task for task, role in named.items()}

    return start


def notes(folder: Path, what: str) -> list[Any]:
    return [json.loads(line) for line in (folder / f"{what}.notes").read_text().splitlines()]


def agents_logs(run: Any) -> str:
    return "".join(path.read_text(errors="replace") for path in (run.path / "logs").glob("agent-*.log"))


def test_what_a_handler_starts_reads_nothing_of_ours_and_ends_with_its_agent(
    liberties: Any, is_alive: Any
) -> None:
    roles = {2: "reads", 4: "forks", 6: "text", 8: "nan", 10: "surrogate", 12: "exits later"}
    run, folder, named = liberties(roles, slots=1)
    document = ended(run, is_alive)
    letters = {line["task"]: line["reason"] for line in run.lines("final") if line.get("status") == "dead"}
    assert letters.keys() == {named[role] for role in ("forks", "text", "nan", "surrogate")}
    assert letters[named["forks"]] == "no result: its workers died or hung"
    assert letters[named["text"]].endswith("Result.value is of type str; give bytes")
    assert letters[named["nan"]].endswith("price is nan, and JSON has no such number")
    assert letters[named["surrogate"]].startswith("the handler raised ValueError: \\ud800, at liberties.py:")
    assert (document["lost"], document["effects"], document["dead_letters"]) == (0, 15, 4)

    assert "something that the handler left behind wanted to exit" in agents_logs(run)

    (said, typed, opened), *_ = notes(folder, "read")
    assert (said, typed) == ("", "")
    assert "/dev/null" in opened
    assert opened.count("pipe:") == 1, "its own output, and nothing of ours"
    assert {tuple(facts) for *facts, _ in notes(folder, "sealed")} == {(0, 0)}
    assert all(arguments == [] for *_, arguments in notes(folder, "sealed"))

    starts = [json.loads(line) for line in (run.path / "nodes.jsonl").read_text().splitlines()]
    assert max(start["incarnation"] for start in starts if start["role"] == "agent") > 1
    assert len(notes(folder, "left")) >= 6
    assert [pid for (pid,) in notes(folder, "left") if is_alive(pid)] == []
    assert [path.stat().st_mode & 0o777 for path in (run.path, run.path / "venue.sqlite")] == [0o700, 0o600]


@pytest.mark.slow
@pytest.mark.everything
def test_a_handler_that_cannot_be_interrupted_is_ended_from_outside(liberties: Any, is_alive: Any) -> None:
    roles = {2: "backtracks", 6: "holds", 10: "swallows"}
    run, _, named = liberties(roles, agents=3, slots=1, handler_timeout_s=1.0)
    document = ended(run, is_alive)
    letters = {line["task"]: line["reason"] for line in run.lines("final") if line.get("status") == "dead"}
    assert letters.keys() == set(named.values())
    for role in ("backtracks", "holds"):
        assert letters[named[role]] == "no result: its workers died or hung"
    assert (document["lost"], document["effects"], document["dead_letters"]) == (0, 17, 3)
    assert "in holds_the_loop" in agents_logs(run), "where it stood"


IMPORTS = {
    "exits": ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
    "parses": (
        "import argparse\nargparse.ArgumentParser(add_help=False).parse_args(['-x'])\n",
        "SystemExit: 2",
    ),
    "ends": ("import os\nos._exit(0)\n", "its module ended with status 0"),
}


@pytest.mark.parametrize("module", IMPORTS)
def test_a_handlers_module_that_ends_its_process_is_unusable_input(
    squall_run: Any, tmp_path: Path, module: str
) -> None:
    source, said = IMPORTS[module]
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / f"{module}.py").write_text(source)
    run = squall_run({**FIELDS, "handler": f"{module}:decide"})
    document = run.end(60)
    assert run.process.returncode == 2
    assert document["error"]["message"].startswith(f"the handler {module}:decide cannot be imported: {said}")
    assert not run.path.exists(), "nothing was started, so nothing is left"
