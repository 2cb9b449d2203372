"""Stages that are closed: what is copied where, who counts laps, what may go round, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from squall.bus.codec import encode
from squall.bus.ended import Done, told_of
from squall.bus.errors import DecodeError
from squall.bus.messages import RunTask, TaskResult
from squall.bus.queue import Place
from squall.bus.stages import HOP_BOUND, LAPS_MAX, Stages, at_stage, read_either
from squall.bus.subjects import Subjects, lap_of
from squall.bus.topology.ring import ring
from squall.services.errors import SpecError
from squall.services.handlers import Result, Task, answers
from squall.services.handlers.loading import load
from squall.services.handlers.mistakes import Mistake
from squall.services.handlers.outcome import NO_WAY_ROUND, gone_round, returned
from squall.services.patterns import closing
from squall.services.patterns import ring as pattern
from squall.services.patterns.ring import RingSpec
from squall.services.trading import rounds
from squall.services.trading.orders import Order
from squall.services.trading.strategies import TradingTask
from squall.services.trading.strategies import order as in_one_go
from squall.services.trading.workload import independent

SWARM = Subjects("demo")
CHAIN = Stages(swarm=SWARM, count=3, laps=3)
RESULT = TaskResult(task="t", key="k", job="j", lane="7", lap=2, status="ok", value=b"more")


def sources(config: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {
        source["name"]: {each["src"]: each["dest"] for each in source["subject_transforms"]}
        for source in config["sources"]
    }


def test_the_broker_copies_what_went_round_in_one_lap_to_the_next_and_nothing_out_of_the_last() -> None:
    made = {config["name"]: config for config in CHAIN.streams(queue_bytes_max=1, register_bytes_max=2)}
    assert [*made] == ["DEMO_D3", "DEMO_D0", "DEMO_S1", "DEMO_D1", "DEMO_S2", "DEMO_D2", "DEMO_S3"]
    assert made["DEMO_D3"]["subjects"] == ["sw.demo.d3.*.*.*.*"]
    assert "subjects" not in made["DEMO_D0"]
    assert sources(made["DEMO_D0"]) == {
        "DEMO_IN": {"sw.demo.in.*.*.*": "sw.demo.d0.{{partition(100,2)}}.1.{{wildcard(3)}}"},
        "DEMO_D3": {
            "sw.demo.d3.*.again.1.*": "sw.demo.d0.{{wildcard(1)}}.2.{{wildcard(2)}}",
            "sw.demo.d3.*.again.2.*": "sw.demo.d0.{{wildcard(1)}}.3.{{wildcard(2)}}",
        },
    }
    across = "sw.demo.s{}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}"
    assert sources(made["DEMO_S1"]) == {"DEMO_D0": {"sw.demo.d0.*.*.*": across.format(1)}}
    assert sources(made["DEMO_S3"]) == {"DEMO_D2": {"sw.demo.d2.*.*.*": across.format(3)}}
    ended = CHAIN.results(bytes_max=1)
    assert sources(ended) == {
        "DEMO_D3": {"sw.demo.d3.*.end.*.*": "sw.demo.res.{{wildcard(1)}}.{{wildcard(3)}}"}
    }
    assert "subjects" not in ended


def test_no_stream_that_forgets_is_fed_from_two() -> None:
    spec = RingSpec(agents=4, closed=True, laps_max=3)
    for config in pattern.streams(spec):
        if config.get("retention") == "workqueue":
            assert len(config["sources"]) == 1


def test_what_comes_twice_holds_up_nothing_that_the_broker_copies() -> None:
    for config in pattern.streams(RingSpec(agents=4, closed=True, laps_max=2)):
        if "sources" in config:
            assert not config.get("discard_new_per_subject"), config["name"]
            assert config.get("max_msgs_per_subject", -1) == -1, config["name"]


def test_one_lap_has_no_way_round() -> None:
    made = Stages(swarm=SWARM, count=2, laps=1).streams(queue_bytes_max=1, register_bytes_max=2)
    assert [*sources(next(config for config in made if config["name"] == "DEMO_D0"))] == ["DEMO_IN"]


def test_each_lap_has_registers_and_attempts_of_its_own() -> None:
    first = CHAIN.queue(1, "agent-1")
    assert first.place(RESULT) == Place("sw.demo.d1.7.2.t")
    waits = CHAIN.tasks(1, "7", "t", 2)
    assert (waits, first.lap(waits), first.counted(waits)) == ("sw.demo.s1.7.2.t", 2, "7-2")
    last = CHAIN.queue(3, "agent-3")
    assert last.place(RESULT) == Place("sw.demo.d3.7.end.2.t", "sw.demo.d3.7.*.2.t")
    again = msgspec.structs.replace(RESULT, again=True)
    assert last.place(again) == Place("sw.demo.d3.7.again.2.t", "sw.demo.d3.7.*.2.t")
    open_one = Stages(swarm=SWARM, count=3).queue(3, "agent-3")
    assert open_one.place(RESULT) == Place("sw.demo.res.7.t")
    assert (open_one.lap("sw.demo.s3.7.t"), open_one.counted("sw.demo.s3.7.t")) == (0, "7")
    assert lap_of("sw.demo.d3.7.again.x.t") == 0  # whatever somebody wrote there
    assert told_of(RunTask(task="t", key="k", job="j", lap=2), 1) == {"task": "t", "attempt": 1, "lap": 2}
    assert told_of(RunTask(task="t", key="k", job="j"), 1) == {"task": "t", "attempt": 1}


@pytest.mark.parametrize(
    ("stage", "lap", "again", "status", "goes_on"),
    [
        (3, 1, True, "ok", True),
        (3, 2, True, "ok", True),
        (3, 3, True, "dead", False),
        (3, 4, True, "dead", False),  # a lap that there is not, whoever wrote it there
        (3, 3, False, "ok", False),
        (2, 3, False, "ok", False),
    ],
)
def test_what_would_go_round_after_its_last_lap_is_dead(
    stage: int, lap: int, again: bool, status: str, goes_on: bool
) -> None:
    came = msgspec.structs.replace(RESULT, lap=lap, again=again)
    made = at_stage(came, stage, 3, 3)
    assert (made.status, made.again) == (status, goes_on)
    if status == "dead":
        assert made.reason == f"{HOP_BOUND}: it has made 3 laps, and was to go round again"
        assert (made.effects, made.value) == ((), b"")


def test_the_first_stage_reads_what_comes_in_and_what_comes_round() -> None:
    task = RunTask(task="t", key="k", job="j", body=b"more")
    assert read_either(encode(task)) == (task, "")
    assert read_either(encode(msgspec.structs.replace(RESULT, again=True))) == (task, "")
    with pytest.raises(DecodeError):
        read_either(b"junk")


def test_the_last_stage_alone_may_have_a_task_go_round_and_who_has_ended_is_copied() -> None:
    topology = ring("demo", stages=3, instances=1, laps=3)
    own = {"sw.demo.d3.*.end.*.*", "sw.demo.d3.*.again.*.*"}
    assert own <= {*topology.permissions["agent-3"].publish}
    assert "sw.demo.d1.*.*.*" in topology.permissions["agent-1"].publish
    for name, rights in topology.permissions.items():
        assert "sw.demo.res.*.*" not in rights.publish, name
        assert not [each for each in rights.publish if each.startswith(("sw.demo.d0", "sw.demo.s"))], name
        assert name == "agent-3" or not own & {*rights.publish}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"laps_max": 2}, "laps_max = 2 in stages that are not closed"),
        ({"closed": True, "stages": rounds.STAGES[:1], "agents": 2}, "one stage alone cannot be closed"),
        ({"closed": True, "workload": "sequenced"}, "what goes round again is overtaken"),
    ],
)
def test_what_cannot_be_closed_is_refused_in_a_sentence(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        pattern.check(RingSpec(**changes))


@pytest.mark.parametrize("laps", [0, LAPS_MAX + 1, "two"])
def test_a_number_of_laps_that_there_cannot_be_is_no_spec(laps: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"closed": True, "laps_max": laps}, RingSpec)


def test_closed_stages_are_as_they_were_said_to_be() -> None:
    spec = RingSpec(closed=True, laps_max=4, stages=rounds.STAGES)
    pattern.check(spec)
    assert (closing.laps(spec), pattern.chain(spec).laps) == (4, 4)
    assert closing.laps(RingSpec()) == 0
    assert closing.why_not_again(spec, 4) == ""
    assert "only the last stage" in closing.why_not_again(spec, 3)
    assert "and these are not" in closing.why_not_again(RingSpec(), 4)


def test_a_handler_that_sends_its_task_round_where_it_cannot_is_told_so() -> None:
    sent = returned(Result(value=b"x", again=True))
    assert sent == Done((), b"x", again=True)
    assert gone_round(sent, "") is sent
    refused = gone_round(sent)
    assert isinstance(refused, Mistake)
    assert refused.final
    assert refused.reason == f"the handler returned again=True, and {NO_WAY_ROUND}"
    assert gone_round(Done()) == Done()


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (Result(effects=({},), again=True), "only what ends has effects"),
        (Result(again=1), "Result.again is of type int"),  # type: ignore[arg-type]
    ],
)
def test_what_goes_round_has_no_effects(result: Result, said: str) -> None:
    ended = returned(result)
    assert isinstance(ended, Mistake)
    assert said in ended.reason


def test_a_program_says_again_in_its_answer() -> None:
    assert answers.read(b'{"id": "t", "value": 3, "again": true}').came_of == Done((), b"3", again=True)
    with pytest.raises(answers.AnswerError, match="neither true nor false"):
        answers.read(b'{"again": "yes"}')
    with pytest.raises(answers.AnswerError, match="an error, and effects, a value or again too"):
        answers.read(b'{"error": "why", "again": true}')


def test_half_of_the_tasks_go_round_and_all_come_to_the_same_order_as_one_handler() -> None:
    assert [rounds.laps_of(number) for number in range(9)] == [1, 1, 2, 1, 3, 1, 2, 1, 4]
    stages = [load(name) for name in rounds.STAGES]

    async def through(body: bytes, number: int) -> tuple[Order, int]:
        laps = 0
        while True:
            laps += 1
            for stage in stages:
                given = Task(id="t", key="k", job="j", number=number, attempt=1, deadline_s=0.0, body=body)
                result = await stage(given)
                body = result.value
            if not result.again:
                [made] = result.effects
                return made, laps
            assert result.effects == ()

    for number, submission in enumerate(independent(7, 40, accounts=4), 1):
        expected = in_one_go(msgspec.msgpack.decode(submission.body, type=TradingTask))
        assert asyncio.run(through(submission.body, number)) == (expected, rounds.laps_of(number))
