"""What the broker's log says of slow calls and slow consumers, as it says so and later."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import T, good_run

from squall.bus.broker_log import Complaint, Tail, complaint
from squall.bus.tasks import wait_until
from squall.chaos.evidence.task import gather
from squall.chaos.tell.documents import history_of, judge
from squall.chaos.tell.trace import timeline
from squall.services.node.history import History
from squall.services.run import watches
from squall.services.run.progress import Notice, Step

AT = "2026/11/27 07:56:43.941584"
AT_S = datetime(2026, 11, 27, 7, 56, 43, 941584).timestamp()  # the log has the local time

CLIENT = (
    '127.0.0.1:51098 - cid:30 - "v2.16.0:python3:observer" - '
    '"ACHNEWJO5K5MAHVTKT73M7/CORE/jwt:UDPKIKTR4HUOHDZIDG233BO6Q7YM" - '
)


@pytest.mark.parametrize(
    ("line", "what", "took_s", "text"),
    [
        (
            '[WRN] Internal subscription on "$JS.API.STREAM.INFO.SQUALL_IN" took too long: 8.003419752s',
            "slow-call",
            8.003419752,
            'Internal subscription on "$JS.API.STREAM.INFO.SQUALL_IN" took too long: 8.003419752s',
        ),
        (
            f"[WRN] {CLIENT}Readloop processing time: 1m2.5s",
            "slow-call",
            62.5,
            "observer: Readloop processing time: 1m2.5s",
        ),
        (
            '[WRN] Took too long to process subscription for "a.b": 250ms',
            "slow-call",
            0.25,
            'Took too long to process subscription for "a.b": 250ms',
        ),
        (
            f"[INF] {CLIENT}Slow Consumer Detected: WriteDeadline of 5s exceeded with 3 chunks.",
            "slow-consumer",
            None,
            "observer: Slow Consumer Detected: WriteDeadline of 5s exceeded with 3 chunks.",
        ),
        (
            f"[INF] {CLIENT}Slow Consumer Recovered: Flush took 3.250s with 3 chunks of 9 total bytes.",
            "slow-consumer",
            3.25,
            "observer: Slow Consumer Recovered: Flush took 3.250s with 3 chunks of 9 total bytes.",
        ),
        ("[INF] Server is ready", None, None, ""),
        ("[WRN] Filestore [SQUALL_IN] Stream state outdated, will rebuild", None, None, ""),
        ("[WRN] x took too long: soon", None, None, ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_line_of_the_log_is_read(line: str, what: str | None, took_s: float | None, text: str) -> None:
    found = complaint(f"[26060] {AT} {line}")
    wanted = None if what is None else Complaint(what=what, at_s=AT_S, took_s=took_s, text=text)  # type: ignore[arg-type]
    assert found == wanted


@pytest.mark.parametrize(
    "line", ["", "took too long: 2s", "[1] 2026/13/45 07:56:43.941584 [WRN] took too long: 2s"]
)
def test_what_is_no_line_of_the_log_says_nothing(line: str) -> None:
    assert complaint(line) is None


def test_a_line_counts_once_it_is_whole() -> None:
    tail, line = Tail(), f"[1] {AT} [WRN] x took too long: 2s\n".encode()
    assert list(tail.feed(line[:30])) == []
    assert [found.took_s for found in tail.feed(line[30:] + line[:9])] == [2.0]


async def _watched(path: Path, log: Path, steps: list[Step]) -> None:
    with History(path, "squall", 1) as history:
        watching = asyncio.create_task(watches.broker_log(log, history, steps.append))
        with log.open("a") as file:
            file.write(f"[1] {AT} [INF] Server is ready\n[1] {AT} [WRN] x took too long: 2.23s\n")
        await wait_until(
            lambda: asyncio.to_thread(path.read_text), bool, timeout_s=10, what="what was said to be noted"
        )
        with log.open("a") as file:  # and nobody waits for what is said last
            file.write(f"[1] {AT} [WRN] y took too long: 500ms\n")
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def test_it_is_noted_as_it_is_said_and_to_the_last_word(tmp_path: Path) -> None:
    path, steps = tmp_path / "history.jsonl", list[Step]()
    path.touch()
    asyncio.run(_watched(path, tmp_path / "broker.log", steps))
    lines = path.read_text().splitlines()
    assert ['"took_s":2.23' in lines[0], '"took_s":0.5' in lines[1], len(lines)] == [True, True, 2]
    assert steps == [Notice("the broker was busy for 2.2 s")], "what is short is noted only"


def test_a_flood_of_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "COMPLAINTS_MAX", 3)
    noted: list[Any] = []
    log = tmp_path / "broker.log"
    log.write_text(f"[1] {AT} [WRN] x took too long: 20ms\n" * 50)

    async def watched() -> None:
        watching = asyncio.create_task(
            watches.broker_log(log, lambda *_, **facts: noted.append(facts), lambda step: None)  # type: ignore[arg-type]
        )
        await asyncio.sleep(0)
        watching.cancel()
        await asyncio.wait({watching})

    asyncio.run(watched())
    assert len(noted) == 3


def test_it_is_in_the_result_and_in_the_trace(tmp_path: Path) -> None:
    run = good_run()
    for what, at_s, took_s, said in (
        ("slow-call", 2.0, 1.5, "x took too long"),
        ("slow-consumer", 1.1, None, "agent-1: y"),
        ("slow-call", 90.0, 0.1, "after it all"),
    ):
        row = run.line(9.0, "squall", "broker", "ok", what=what, took_s=took_s, said=said)
        row["at_s"] = T + at_s
    path = run.write(tmp_path)
    assert len(history_of(path).busy) == 3
    result = judge(path, keep=False)
    assert [(busy.what, busy.took_s) for busy in result.broker] == [
        ("slow-call", 1.5), ("slow-consumer", None), ("slow-call", 0.1),
    ]  # fmt: skip
    task = next(iter(history_of(path).submissions))
    evidence = gather(path, task)
    assert evidence is not None
    told = [(moment.what, moment.detail) for moment in timeline(evidence).moments if moment.node == "broker"]
    assert ("busy", "for 1,500.0 ms, x took too long") in told
    assert ("slow consumer", "agent-1: y") in told
    assert len(told) == 2, "nothing of what came after the task had ended"
