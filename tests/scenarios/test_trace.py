"""``squall trace`` on the run of a series in which agents were killed over their work."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.series_once import SQUALL, Series, squall

from squall.chaos.evidence.task import gather
from squall.chaos.plan.varied import sort_of
from squall.chaos.tell.trace import Timeline, timeline


def traced(run: Path, task: str) -> Timeline:
    evidence = gather(run, task)
    assert evidence is not None
    return timeline(evidence)


def lines(run: Path, op: str) -> list[dict[str, Any]]:
    """The lines of an operation in a run's history."""
    found = map(json.loads, (run / "history.jsonl").read_bytes().splitlines())
    return [line for line in found if line["op"] == op]


@pytest.mark.series("hierarchical")
def test_both_attempts_of_a_killed_agents_task_are_told(series: Series) -> None:
    run = series.seed
    starts = [json.loads(line) for line in (run / "nodes.jsonl").read_bytes().splitlines()]
    ended = {(line["task"], line["node"], line["inc"]) for line in lines(run, "commit")}
    begun: dict[str, list[dict[str, Any]]] = {}
    for line in lines(run, "run"):
        begun.setdefault(line["task"], []).append(line)
    # Another agent may have taken the task over, or the same one when it was back; either is right.
    task, attempts, again = next(
        (task, attempts, start)
        for task, attempts in begun.items()
        for start in starts
        if len(attempts) > 1
        and (start["node"], start["incarnation"]) == (attempts[0]["node"], attempts[0]["inc"] + 1)
        and (task, attempts[0]["node"], attempts[0]["inc"]) not in ended
    )
    first = attempts[0]
    said = squall("trace", task, "--run", run)
    seen = json.loads(squall("trace", f"{task}-0", "--run", run, "--json"))
    assert said.splitlines()[-1] == seen["outcome"]
    moments = [(moment["node"], moment["what"]) for moment in seen["moments"]]
    assert ("producer", "due") in moments[:2]
    told = [moments.index((each["node"], f"attempt {n} begun")) for n, each in enumerate(attempts, 1)]
    assert told == sorted(told)
    [(agent, committed)] = [moment for moment in moments if moment[1].endswith(" committed")]
    assert committed != "attempt 1 committed"
    assert [node for node, what in moments if what == "register"] == [agent]
    assert [node for node, what in moments if what == "filled"] == ["venue"]
    assert next(node for node, what in moments if what == "dispatched").startswith("coordinator-")
    of_the_task = [moment for moment in seen["moments"] if moment["what"].startswith(("attempt", "register"))]
    restarted = again["started_s"] <= of_the_task[-1]["time_s"]
    assert ((first["node"], "started again") in moments) is restarted
    words = f"how attempt 1 by {first['node']}, incarnation {first['inc']}, ended"
    assert words in seen["not_recorded"]
    assert seen["outcome"].startswith("Filled once ")


@pytest.mark.series("hierarchical")
def test_every_accepted_task_has_its_fate(series: Series) -> None:
    run, result = series.path / "poison", series.runs["poison"]
    accepted = [line["task"] for line in lines(run, "submit") if line["type"] == "ok"]
    told = [traced(run, task) for task in accepted]
    assert Counter(each.fate for each in told) == {
        "filled": result["effects"],
        "dead": result["dead_letters"],
    }
    filled = [each.outcome for each in told if each.fate == "filled"]
    latest = max(float(outcome.split()[2].replace(",", "")) for outcome in filled)
    assert latest == pytest.approx(result["latency_ms"]["max"], abs=0.1)


def test_a_task_that_the_run_does_not_know_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text(
        '{"time_s":1.0,"node":"producer","inc":1,"i":1,"op":"submit","type":"invoke","task":"a-1","submit_s":1.0}\n'
    )
    ended = subprocess.run(
        [SQUALL, "trace", "a-11", "--run", tmp_path, "--json"], capture_output=True, check=False, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr == f"squall: {tmp_path} knows no task a-11; the nearest are a-1\n"
    assert json.loads(ended.stdout)["error"]["kind"] == "input"


@pytest.mark.series("hierarchical")
def test_what_handlers_wrote_is_told_where_they_write(series: Series) -> None:
    run = series.path / "varied"
    begun = Counter(line["task"] for line in lines(run, "run"))
    failing = next(task for task, times in begun.items() if times > 1 and sort_of(task) == "failing")
    told = traced(run, failing).executions
    assert len(told) == begun[failing]
    assert told[0].witness == "given, wrote of no return"
    why = "failed: the handler raised RuntimeError: the first attempt of this task fails, at "
    assert told[0].end.startswith(why)
    several = next(task for task, times in begun.items() if times == 1 and sort_of(task) == "several")
    assert "given, returned 3 effects" in squall("trace", several, "--run", run)
    of_the_seed = lines(series.seed, "run")[0]["task"]
    assert "the handler wrote" not in squall("trace", of_the_seed, "--run", series.seed)
