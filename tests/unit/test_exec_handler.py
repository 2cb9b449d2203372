"""Programs as handlers: whatever one does ends as an outcome of its own task, in a sentence."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.ported import GOOD, PROGRAM, command, handling, opened, task

from squall.bus.ended import Done, Ended, Failed, NotThere
from squall.bus.tasks import wait_until
from squall.services.errors import SpecError
from squall.services.handlers import port as port_module
from squall.services.handlers.kinds import load

pytestmark = pytest.mark.anyio


def value_of(ended: Ended) -> Any:
    assert isinstance(ended, Done), ended
    return msgspec.json.decode(ended.value)


async def test_what_does_not_answer_in_time_is_killed_with_all_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    async with opened(handling(command("hangs", str(note))), timeout_s=1.0) as port:
        ended = await port.run(task(), 1)
        assert isinstance(ended, Failed)
        assert ended.reason == "the handler did not answer within 1 s"
        pids = [int(pid) for pid in note.read_text().split()]

        async def left() -> list[int]:
            return [pid for pid in pids if is_alive(pid)]

        await wait_until(left, lambda found: not found, timeout_s=20.0, what="the end of all of it")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_an_answer_that_comes_twice_counts_once_and_is_not_anothers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened(handling(command("twice"))) as port:
        ended = [await port.run(task(f"t-{n}"), 1) for n in range(5)]
    assert [each.effects for each in ended if isinstance(each, Done)] == [GOOD] * 5
    assert len({value_of(each)["pid"] for each in ended}) == 1
    assert "again, which is not taken" in caplog.text or "was not asked for" in caplog.text


async def test_a_program_is_kept_running_and_there_are_as_many_as_attempts_at_a_time() -> None:
    async with opened(handling(command("good"))) as port:
        first = [value_of(await port.run(task(f"t-{n}"), 1))["pid"] for n in range(3)]
        together = await asyncio.gather(*(port.run(task(f"u-{n}"), 1) for n in range(4)))
        pids = {value_of(each)["pid"] for each in together}
        assert len(set(first)) == 1
        assert len(pids) == 4
        assert set(first) < pids
    assert not any(is_alive(pid) for pid in pids)


async def test_one_that_ended_between_two_tasks_is_started_anew_and_no_attempt_fails() -> None:
    async with opened(handling(command("good"))) as port:
        pid = value_of(await port.run(task(), 1))["pid"]
        os.kill(pid, 9)

        async def lives() -> bool:
            return is_alive(pid)

        await wait_until(lives, lambda alive: not alive, timeout_s=20.0, what="its end")
        again = await port.run(task("t-2"), 1)
    assert value_of(again)["pid"] != pid


async def test_one_that_ends_before_it_reads_is_not_there_and_is_started_ever_more_rarely() -> None:
    async with opened(handling(command("deaf"))) as port:
        ended = await port.run(task(), 1)
        assert isinstance(ended, NotThere)
        assert ended.reason == "it ended with status 4 before it read its first task"
        assert port.health == ended.reason
        soon = await port.run(task(), 1)
        assert isinstance(soon, NotThere)
        assert soon.reason.startswith(
            "it ended with status 4 before it read its first task, and it is started"
        )
        await asyncio.sleep(soon.after_s)
        later = await port.run(task(), 1)
        assert isinstance(later, NotThere)
        assert later.after_s > ended.after_s


async def test_one_that_is_removed_is_not_there_until_it_is_back(tmp_path: Path) -> None:
    script = tmp_path / "agent.sh"
    text = f"#!/bin/sh\nexec {shlex.join([sys.executable, '-I', '-S', str(PROGRAM), 'good'])}\n"
    script.write_text(text)
    script.chmod(0o700)
    async with opened(handling(f"exec:{script}")) as port:
        script.unlink()
        ended = await port.run(task(), 1)
        assert isinstance(ended, NotThere)
        assert ended.reason == "it cannot be started: No such file or directory"
        script.write_text(text)
        script.chmod(0o700)
        await asyncio.sleep(ended.after_s)
        assert isinstance(await port.run(task(), 1), Done)
        assert port.health == ""


async def test_a_program_that_starts_slowly_is_waited_for() -> None:
    async with opened(handling(command("slow_start"))) as port:
        assert isinstance(await port.run(task(), 1), Done)


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": uv}) for uv in (False, True)])
async def test_a_program_inherits_nothing_but_what_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_CREDS", "/secret.creds")
    monkeypatch.setenv("OTHER_KEY", "secret")
    monkeypatch.setenv("AGENT_KEY", "for it")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        async with opened(handling(command("environment"), ("AGENT_KEY",))) as port:
            found = value_of(await port.run(task(), 1))
            open_ = value_of_open(port)
    finally:
        os.close(reading)
        os.close(writing)
    assert found["AGENT_KEY"] == "for it"
    assert found["PATH"] == os.environ["PATH"]
    assert {"NATS_CREDS", "OTHER_KEY"} & found.keys() == set()
    assert open_ == {"0", "1", "2"}


def value_of_open(port: Any) -> set[str]:
    (program,) = port._programs
    return {entry.name for entry in Path(f"/proc/{program._process.pid}/fd").iterdir()}


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (b'{"a":\n [1,\r\n 2]}', "body", {"a": [1, 2]}),
        (b"7", "body", 7),
        (b"", "body_base64", ""),
        (b"\x82\xa1a\x01", "body_base64", "gqFhAQ=="),
    ],
)
async def test_a_task_is_one_line(body: bytes, field: str, said: object) -> None:
    async with opened(handling(command("asked"))) as port:
        found = value_of(await port.run(task(body=body), 3))
    assert found.pop(field) == said
    assert found == {"id": "t-1", "key": "bad", "job": "j", "number": 7, "attempt": 3, "deadline_s": 0.0}


async def test_what_it_complains_of_is_in_the_log_with_a_bound_and_cannot_act(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "squall")
    async with opened(handling(command("complains"))) as port:
        assert isinstance(await port.run(task(), 1), Done)
    said = [record.getMessage() for record in caplog.records if "complaint" in record.getMessage()]
    assert 0 < len(said) < 500
    assert "lines more in that second" in caplog.text


UNUSABLE = {
    "exec:": ("the handler 'exec:' names nothing", "for instance exec:./agent.sh"),
    "exec:no-such-program --flag": (
        "there is no program no-such-program",
        "check the name; a path is taken from the current folder, any other name from PATH",
    ),
    "exec:./plain.sh": (
        "the program ./plain.sh of the handler cannot be executed",
        "make it executable: chmod +x ./plain.sh",
    ),
    "exec:plain.sh": (
        "the program plain.sh of the handler is not on PATH",
        "name the one of this folder: exec:./plain.sh",
    ),
    "exec:sh -c 'x": (
        "the handler exec:sh -c 'x is no command: No closing quotation",
        "quote it as a shell would have it",
    ),
    "exce:./agent.sh": (
        "the handler 'exce:./agent.sh' is of no kind that there is: exce:",
        "did you mean exec:?",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_work_is_one_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.sh").write_text("#!/bin/sh\n")
    with pytest.raises(SpecError) as raised:
        load(handling(name))
    assert (str(raised.value), raised.value.remedy) == UNUSABLE[name]


def test_a_variable_that_is_not_set_is_told_before_anything_starts() -> None:
    with pytest.raises(SpecError, match="is to have the variable NO_SUCH_KEY, which is not set"):
        load(handling("exec:sh", ("NO_SUCH_KEY",)))


async def test_a_program_whose_output_is_held_open_has_ended_all_the_same(tmp_path: Path) -> None:
    """It left a process behind, in a session of its own, that has its standard output."""
    sleeper = "import time; time.sleep(600)"
    script = tmp_path / "leaves.py"
    script.write_text(
        f"import subprocess, sys\nsys.stdin.readline()\n"
        f"command = [sys.executable, '-I', '-S', '-c', {sleeper!r}]\n"
        f"started = subprocess.Popen(command, start_new_session=True)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(started.pid))\nsys.exit(5)\n"
    )
    name = "exec:" + shlex.join([sys.executable, "-I", "-S", str(script)])
    async with opened(handling(name), timeout_s=20.0) as port:
        ended = await port.run(task(), 1)
        assert isinstance(ended, Failed)
        assert ended.reason == "the handler ended with status 5 before it had answered"
        left = int((tmp_path / "pid").read_text())

        async def lives() -> bool:
            return is_alive(left)

        await wait_until(lives, lambda alive: not alive, timeout_s=20.0, what="the end of what it left")


async def test_an_attempt_that_takes_long_is_told_of_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_module, "RUNNING_S", 0.05)
    told: list[float] = []
    with port_module.told_of(lambda task, attempt, frame, took_s: told.append(took_s), "t-1", 1):
        await asyncio.sleep(0.5)
    assert told == [0.05, 0.1, 0.2, 0.4]
