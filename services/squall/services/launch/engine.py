"""The container engine of this machine, asked through its own command ``docker``.

Each question has a deadline. What an engine says no to is one sentence; what it says is never believed to be
ours unless it carries our label.
"""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from pathlib import Path

from squall.bus.border import printable
from squall.bus.guard import Guard
from squall.services.errors import LaunchError, SpecError

LABEL = "squall"
"""What all that is made here carries; its value is the directory of the run that it is of."""

VERSION_MIN = (25,)
"""The first that starts a container on several networks at once."""

ANSWER_S = 30.0
"""How long an answer may take. A busy engine takes a second for what is one of milliseconds otherwise."""


class EngineError(LaunchError):
    """The engine said no, or nothing."""


class Engine:
    """Made by `found`.

    Args:
        guard: Ends the commands that ask if this process dies.
        program: Where the command is.
    """

    def __init__(self, guard: Guard, program: str) -> None:
        self.guard = guard
        self.program = program

    @classmethod
    async def found(cls, guard: Guard) -> Engine:
        """The engine of this machine.

        Raises:
            SpecError: There is none, or it does not answer, or it is too old.
        """
        program = shutil.which("docker")
        if program is None:
            raise SpecError(
                "no container engine is here: there is no command `docker` on PATH",
                "install Docker Engine 25 or newer, or leave --on out to run nodes as processes",
            )
        engine = cls(guard, program)
        try:
            version = (await engine.ask("version", "--format", "{{.Server.Version}}")).strip()
        except EngineError as error:
            raise SpecError(
                f"the container engine does not answer: {error}",
                "start it, for instance with `systemctl start docker`",
            ) from error
        major = version.partition(".")[0]
        if not major.isdigit() or (int(major),) < VERSION_MIN:
            wanted = ".".join(map(str, VERSION_MIN))
            raise SpecError(
                f"the container engine is version {printable(version, 40)}, which is too old",
                f"install Docker Engine {wanted} or newer",
            )
        return engine

    async def ask(self, *argv: str, timeout_s: float = ANSWER_S) -> str:
        """What the engine says to a command.

        Raises:
            EngineError: It says no, or nothing in time.
        """
        process = await self.guard.spawn(self.program, *argv, stdout=PIPE, stderr=PIPE)
        try:
            async with asyncio.timeout(timeout_s):
                said, complained = await process.communicate()
        except TimeoutError as error:
            raise EngineError(
                f"`docker {argv[0]}` did not answer within {timeout_s:g} s", "see whether the engine is well"
            ) from error
        finally:
            self.guard.release(process.pid)
        if process.returncode:
            raise EngineError(last_words(complained) or f"`docker {argv[0]}` failed without a word")
        return said.decode(errors="replace")

    async def labelled(self) -> dict[str, list[tuple[str, Path]]]:
        """What there is of ours: by ``container`` and ``network``, the id of each and the run that it is of.

        Raises:
            EngineError: It does not say.
        """
        asked = {"container": ("ps", "--all"), "network": ("network", "ls")}
        return {
            kind: [
                (name, Path(run))
                for line in (await self._listed(words)).splitlines()
                if (parts := line.partition("\t")) and (name := parts[0]) and (run := parts[2])
            ]
            for kind, words in asked.items()
        }

    async def _listed(self, words: Sequence[str]) -> str:
        form = '{{.ID}}\t{{.Label "' + LABEL + '"}}'
        return await self.ask(*words, "--no-trunc", "--filter", f"label={LABEL}", "--format", form)

    async def remove(self, kind: str, names: Sequence[str]) -> None:
        """Remove containers or networks, whatever their state; what is not there any more is.

        Raises:
            EngineError: Something is still there.
        """
        for name in names:
            words = ("rm", "--force", "--volumes") if kind == "container" else ("network", "rm", "--force")
            try:
                await self.ask(*words, name)
            except EngineError as error:
                if "No such" not in str(error) and "in progress" not in str(error):
                    raise


def last_words(said: bytes) -> str:
    """The last line that was said, without what every line of the command begins with."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    # The command ends with where its help is.
    lines = [line for line in lines if not line.startswith(("See 'docker", "Run 'docker"))]
    last = lines[-1] if lines else ""
    return printable(last.removeprefix("Error response from daemon: ").removeprefix("docker: "), 300)
