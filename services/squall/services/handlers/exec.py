"""``exec:COMMAND``: any program as a handler. One line of JSON in, one line of JSON out; see `answers.py`.

    attempt ──► an idle process, or a new one ──one line──► program ──one line──► answer
                  ▲                                            │
                  └── a pause that grows ◄── ended ◄── killed ◄┴── late, garbage, too long, torn

There are as many processes as attempts at a time, each with one attempt in hand. So a program may be written
as a loop over its input, as a shell script is; what it takes down with it, or is killed for, is its own task
alone; and an answer that comes late or twice cannot be taken for another's. A program that is out of step is
killed, as nobody can know what it would answer next.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from squall.bus.backoff import bound_s
from squall.bus.border import printable
from squall.bus.ended import Ended, Failed, NotThere
from squall.bus.messages import RunTask
from squall.services.errors import SpecError
from squall.services.handlers import answers
from squall.services.handlers.port import Handling, Host, Loaded, told_of
from squall.services.handlers.program import Broken, Program, TooLong, Unread

PREFIX = "exec:"

INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SYSTEMROOT")
"""Variables that a program has without being named. What else this process has is not for it to see."""

PAUSE_S = (0.1, 5.0)
"""Of the pauses before a program that ended without an answer is started again, twice running or more: the
first is twice the base, and none is above the cap."""


def load(handling: Handling, origin: Any) -> Loaded:
    """A program that is there, with the variables that it is to have.

    Raises:
        SpecError: It is not there, or one of the variables is not.
    """
    argv = _argv(handling.name)
    environment = environment_of(handling.environment)
    return Loaded(open=lambda host: Pool(argv, environment, host))


def environment_of(names: Sequence[str]) -> Mapping[str, str]:
    """The environment of a program: what every program needs, and what is named.

    Raises:
        SpecError: One that is named is not set.
    """
    for name in names:
        if name not in os.environ:
            raise SpecError(
                f"the handler is to have the variable {name}, which is not set",
                f"set {name}, or do not name it",
            )
    taken = [name for name in os.environ if name in INHERITED or name.startswith("LC_")]
    unbuffered = {"PYTHONUNBUFFERED": "1"}  # an answer that stays in a buffer is none
    return {**unbuffered, **{name: os.environ[name] for name in (*taken, *names)}}


def _argv(handler: str) -> Sequence[str]:
    named = printable(handler, 100)
    try:
        words = shlex.split(handler.removeprefix(PREFIX))
    except ValueError as error:
        raise SpecError(
            f"the handler {named} is no command: {error}", "quote it as a shell would have it"
        ) from error
    if not words:
        raise SpecError(f"the handler {named} names no program", "for instance exec:./agent.sh")
    program = words[0]
    found = shutil.which(program)
    if found is not None:
        return (str(Path(found).absolute()) if "/" in program else found, *words[1:])
    if "/" in program and Path(program).is_file():
        raise SpecError(
            f"the program {printable(program, 100)} of the handler cannot be executed",
            f"make it executable: chmod +x {shlex.quote(program)}",
        )
    if "/" not in program and Path(program).is_file():
        raise SpecError(
            f"the program {printable(program, 100)} of the handler is not on PATH",
            f"name the one of this folder: {PREFIX}./{program}",
        )
    raise SpecError(
        f"there is no program {printable(program, 100)}",
        "check the name; a path is taken from the current folder, any other name from PATH",
    )


class Pool:
    """A program's processes, no more than attempts at a time."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], host: Host) -> None:
        self._argv = argv
        self._environment = environment
        self._host = host
        self._programs: set[Program] = set()
        self._idle: list[Program] = []
        self._failures = 0
        self._again_s = 0.0
        self.health = ""

    async def run(self, task: RunTask, attempt: int) -> Ended:
        """One attempt, in a process of its own for as long as it takes."""
        until_s = time.monotonic() + self._host.timeout_s
        asked = answers.request(task, attempt)
        with told_of(self._host.running, task.task, attempt):
            while True:
                came_of = await self._once(task, asked, until_s)
                if came_of is not None:
                    return came_of

    async def _once(self, task: RunTask, asked: bytes, until_s: float) -> Ended | None:
        """Ask one process; None if it had ended before it could read, so that another is to be asked."""
        wait_s = self._again_s - time.monotonic()
        for over in [each for each in self._idle if each.is_over]:  # ended while it had nothing in hand
            self._idle.remove(over)
            await self._end(over)
        if not self._idle and wait_s > 0:
            return NotThere(f"{self.health}, and it is started again after a pause", wait_s)
        try:
            program = self._idle.pop() if self._idle else self._start()
        except OSError as error:
            return self._absent(f"it cannot be started: {error.strerror or error}")
        was_used = program.answered > 0
        try:
            async with asyncio.timeout(until_s - time.monotonic()):
                text = await program.ask(asked)
                while (answer := answers.read(text)).id != task.task and program.is_repeat(answer.id):
                    text = await program.next()
            if answer.id != task.task:
                raise Broken(answers.of_another(answer.id, task.task))
            program.took(answer.id)
        except TimeoutError:
            await self._end(program)
            return self._failed(answers.late(self._host.timeout_s), counts=False)
        except Unread:
            await self._end(program)
            return (
                None if was_used else self._absent(f"it {program.how_it_ended} before it read its first task")
            )
        except answers.AnswerError as error:
            await self._end(program)
            return self._failed(answers.no_answer(error))
        except TooLong:
            await self._end(program)
            return self._failed(answers.too_long())
        except Broken as error:
            await self._end(program)
            return self._failed(answers.mistake("broke", str(error)))
        except BaseException:
            program.kill()
            raise
        self._failures, self._again_s, self.health = 0, 0.0, ""
        self._idle.append(program)
        return answer.came_of

    def _start(self) -> Program:
        program = Program.start(self._argv, self._environment)
        self._programs.add(program)
        return program

    async def _end(self, program: Program) -> None:
        program.kill()
        self._programs.discard(program)
        await program.ended()

    def _failed(self, mistake: Failed, *, counts: bool = True) -> Failed:
        """A process is gone that had its task; the next is started at once, and the ones after it later."""
        if counts:
            self._failures += 1
            if self._failures > 1:
                self._pause(f"it {mistake.reason.removeprefix('the handler ')}")
        return mistake

    def _absent(self, why: str) -> NotThere:
        self._failures += 1
        return NotThere(why, self._pause(why))

    def _pause(self, why: str) -> float:
        pause_s = bound_s(*PAUSE_S, self._failures - 1)
        self._again_s = time.monotonic() + pause_s
        self.health = printable(why)
        return pause_s

    async def close(self) -> None:
        """End all processes: by the end of their input, and those that take no notice, by force."""
        await asyncio.gather(*(program.close() for program in self._programs))
