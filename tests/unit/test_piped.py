"""Tasks through a pipe: kept as they come, never far ahead of who offers them, and left when it is asked."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from squall.bus.tasks import wait_until
from squall.services.errors import SpecError
from squall.services.intake import piped
from squall.services.intake.arrivals import Arrivals, begin
from squall.services.intake.piped import ENDED, PASSED, Piped
from squall.services.intake.source import LINE_BYTES_MAX
from squall.services.intake.store import TASKS_MAX, Stored
from squall.services.run.directory import SET_ASIDE, RunDirectory

pytestmark = pytest.mark.anyio


class Ends(NamedTuple):
    """A pipe, and the folder of a run that reads it."""

    folder: Path
    out: io.FileIO
    into: io.FileIO

    def piped(self, tasks_max: int = TASKS_MAX) -> Piped:
        return Piped(self.folder, tasks_max, ("gpu",), self.out.fileno())

    def tasks(self) -> list[Stored]:
        with Arrivals(self.folder) as arrivals:
            return [own for _, own in arrivals.after(0, 10_000)]

    def fact(self, name: str) -> str:
        with Arrivals(self.folder) as arrivals:
            return arrivals.fact(name)

    async def until(self, look: Callable[[], object], good: Callable[[object], object], what: str) -> None:
        async def seen() -> object:
            return look()

        await wait_until(seen, good, timeout_s=10, what=what, every_s=0.01)


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    begin(RunDirectory(tmp_path))
    out, into = os.pipe()
    with io.FileIO(out) as read, io.FileIO(into, "w") as written:
        yield Ends(tmp_path, read, written)


def line(n: int, size: int = 0) -> bytes:
    return json.dumps({"id": f"t-{n}", "key": f"k {n % 3}", "body": "x" * size or n}).encode() + b"\n"


async def test_a_line_is_a_task_as_soon_as_it_has_ended_and_a_part_of_one_is_none(ends: Ends) -> None:
    with ends.piped() as pipe:
        ends.into.write(line(1) + line(2)[:9])
        await ends.until(ends.tasks, lambda tasks: tasks, "the first task")
        assert [own.id for own in ends.tasks()] == ["t-1"]
        ends.into.write(line(2)[9:])
        await ends.until(ends.tasks, lambda tasks: len(tasks) == 2, "the second task")  # type: ignore[arg-type]
        assert ends.fact(ENDED) == ""
        ends.into.write(line(3)[:-1])  # whose line the end of the pipe ends
        ends.into.close()
        await ends.until(lambda: ends.fact(ENDED), bool, "the end")
        assert [(own.id, own.number) for own in ends.tasks()] == [("t-1", 1), ("t-2", 1), ("t-3", 1)]
    pipe.check()


async def test_who_is_to_read_no_more_ends_at_once_and_keeps_no_part_of_a_line(ends: Ends) -> None:
    with ends.piped() as pipe:
        ends.into.write(line(1) + line(12)[:-2])
        await ends.until(ends.tasks, lambda tasks: tasks, "the first task")
    assert [own.id for own in ends.tasks()] == ["t-1"]
    assert pipe.taken == (1, 0, 0, 0, "")
    pipe.check()


def test_what_is_no_task_is_set_aside_with_its_line_and_the_others_go_on(ends: Ends) -> None:
    other = line(1).replace(b'"body": 1', b'"body": 9')
    able, unable = (line(2).replace(b"}", f', "needs": "{what}"}}'.encode()) for what in ("gpu", "luck"))
    ends.into.write(line(1) + b"nonsense\n\n" + line(1) + other + unable + able)
    ends.into.close()
    with ends.piped() as pipe:
        assert not pipe.holds_none(10)
        pipe._thread.join()
    assert pipe.taken == (2, 0, 1, 3, "line 2 is not JSON: JSON is malformed: invalid character (byte 4)")
    aside = [json.loads(text) for text in (ends.folder / SET_ASIDE).read_text().splitlines()]
    assert [(each["line"], each["record"].encode()) for each in aside] == [
        (2, b"nonsense"),
        (5, other[:-1]),
        (6, unable[:-1]),
    ]
    assert aside[1]["reason"] == "has the id 't-1' of an earlier one, and differs from it"
    assert aside[2]["reason"] == "needs the capability 'luck', which no agent has; there are gpu"
    assert [own.needs for own in ends.tasks()] == ["", "gpu"]


@pytest.mark.parametrize(
    ("said", "why"), [(b"", "holds no task"), (b"\nnonsense\n", "holds no task: line 2 is not JSON")]
)
def test_a_pipe_that_holds_no_task_is_told_at_once(ends: Ends, said: bytes, why: str) -> None:
    ends.into.write(said)
    ends.into.close()
    with ends.piped() as pipe:
        assert pipe.holds_none(10)
    with pytest.raises(SpecError, match=f"the standard input {why}"):
        pipe.check()


def test_what_cannot_be_read_is_told(ends: Ends) -> None:
    folder = os.open(ends.folder, os.O_RDONLY)
    try:
        with Piped(ends.folder, TASKS_MAX, file=folder) as pipe:
            assert pipe.holds_none(10)
    finally:
        os.close(folder)
    with pytest.raises(SpecError, match="the standard input cannot be read: Is a directory"):
        pipe.check()


def test_no_more_tasks_are_read_than_are_wanted(ends: Ends) -> None:
    ends.into.write(b"".join(map(line, range(5))))
    with ends.piped(3) as pipe:
        pipe._thread.join(10)
        assert ends.fact(ENDED)
    assert [own.id for own in ends.tasks()] == ["t-0", "t-1", "t-2"]


def test_what_is_offered_is_noted_while_more_is_kept(ends: Ends) -> None:
    count = 1000
    with ends.piped(count) as pipe, Arrivals(ends.folder) as offering:
        giving = threading.Thread(target=lambda: [ends.into.write(line(n)) for n in range(count)])
        giving.start()
        while pipe._thread.is_alive():
            offering.note(PASSED, str(pipe.taken.tasks))
        giving.join()
    pipe.check()
    assert pipe.taken.tasks == count


async def test_a_pipe_that_gives_fast_is_read_no_further_than_it_is_offered_and_not_into_memory(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piped, "AHEAD_MAX", 10)
    count, size = 60, 100_000
    os.set_blocking(ends.into.fileno(), False)
    lines = memoryview(b"".join(line(n, size) for n in range(count)))
    assert len(line(0, size)) < LINE_BYTES_MAX
    sent = 0

    def send() -> None:
        """Give as much as is taken."""
        nonlocal sent
        while sent < len(lines) and (taken := ends.into.write(lines[sent : sent + 65536])):
            sent += taken
        if sent == len(lines):
            ends.into.close()

    tracemalloc.start()
    begun = tracemalloc.get_traced_memory()[0]
    with ends.piped() as pipe, Arrivals(ends.folder) as offering:
        for passed in (0, 7, 30, count):
            offering.note(PASSED, str(passed))

            def is_ahead(up_to: int = passed + 10) -> bool:
                send()
                return pipe.taken.tasks == min(count, up_to)

            await ends.until(is_ahead, bool, f"{passed + 10} tasks")
            if passed + 10 < count:
                # One line at hand, and what the pipe itself and the buffer of its reader hold.
                most = (passed + 11) * len(line(0, size)) + 64 * 1024 + piped.BUFFER_BYTES + 1000
                await asyncio.sleep(3 * piped.LOOK_S)  # it looks several times whether it may go on
                send()
                assert pipe.taken.tasks == passed + 10
                assert sent <= most
        pipe._thread.join(10)
    peak = tracemalloc.get_traced_memory()[1] - begun
    tracemalloc.stop()
    assert pipe.taken.tasks == count
    assert peak < 10 * size, f"{peak:,} bytes for {count * size:,} that came"
