"""The registers of a run that has not ended: its swarm is asked for them, and keeps them in a file."""

from __future__ import annotations

import contextlib
from pathlib import Path

from squall.chaos.evidence import lines
from squall.chaos.evidence.facts import Register
from squall.chaos.evidence.files import Files
from squall.services.errors import SpecError
from squall.services.jsonl import decode
from squall.services.run.operating import SOCKET, say
from squall.services.run.registers import REGISTERS, TARGET, VERB


def so_far(run: Path) -> tuple[Register, ...]:
    """The registers that a swarm holds now; of one that was killed, those it was last asked for.

    Raises:
        SpecError: It was killed before anybody asked.
        LaunchError: It does not answer.
    """
    if (run / SOCKET).exists():
        with contextlib.suppress(SpecError):  # it was killed, and left its socket
            say(run, TARGET, VERB)
    if not (run / REGISTERS).exists():
        raise SpecError(
            "the run was killed before what became of its tasks was read from its broker",
            "start it again with the same tasks and --results, which goes on where it ended",
        )
    found = []
    for _, line in Files(run).lines(REGISTERS):
        if decode(lines.line, line).type == "ok":
            found.append(decode(lines.register, line))
    return tuple(found)
