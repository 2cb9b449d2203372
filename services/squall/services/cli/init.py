"""`squall init`: a swarm of one's own to begin with, which runs as it is."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from squall.bus.border import printable
from squall.services.errors import SpecError

HANDLER = "mine:decide"
"""As the files that all flavours share call it."""


@dataclass(frozen=True)
class Flavour:
    """What an agent is made with.

    Attributes:
        handler: Its name in the swarm.
        server: The broker where it is reached, if it is.
        files: What is written beside the files of all; they are in the folder of the flavour's name.
        before: What has to be done before the swarm runs, as lines for a shell.
    """

    handler: str
    server: str = ""
    files: tuple[str, ...] = ("mine.py",)
    before: tuple[str, ...] = ()


FLAVOURS: Mapping[str, Flavour] = {
    "python": Flavour(HANDLER),
    "exec": Flavour("exec:python3 agent.py", files=("agent.py",)),
    "http": Flavour(
        "http://127.0.0.1:8765/", files=("agent.py", "conftest.py"), before=("python3 agent.py &",)
    ),
    "nats": Flavour(
        "nats:mine.decide",
        server="nats://127.0.0.1:8766",
        files=("agent.py", "conftest.py"),
        before=("nats-server --addr 127.0.0.1 --port 8766 &", "python3 agent.py &"),
    ),
    "pydantic-ai": Flavour("mine:agent", before=("uv pip install pydantic-ai-slim",)),
    "langgraph": Flavour("mine:graph", before=("uv pip install langgraph",)),
}

SHARED = ("swarm.toml", "tasks.jsonl", "test_mine.py")


def flavour_of(name: str) -> Flavour:
    """The flavour of this name.

    Raises:
        SpecError: There is none.
    """
    if name not in FLAVOURS:
        near = difflib.get_close_matches(name, FLAVOURS, 1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(FLAVOURS)}"
        raise SpecError(f"an agent cannot be made with {printable(name, 60)!r}", meant)
    return FLAVOURS[name]


def write(folder: Path, agent: str = "python") -> list[str]:
    """Write them into a folder, which is made if it is not there; their names.

    Args:
        agent: What the agent is made with.

    Raises:
        SpecError: There is no such flavour; one of the files is there already, so none is written; or the
            folder cannot be written to.
    """
    flavour = flavour_of(agent)
    source = resources.files("squall.services") / "starter"
    contents = {name: _named((source / name).read_text(), flavour) for name in SHARED}
    contents |= {name: (source / agent / name).read_text() for name in flavour.files}
    there = [name for name in contents if (folder / name).exists()]
    if there:
        raise SpecError(f"{printable(str(folder / there[0]))} is there already", "name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_text(content)
    except OSError as error:
        raise SpecError(f"{printable(str(folder))} cannot be written: {error.strerror}") from error
    return list(contents)


def _named(text: str, flavour: Flavour) -> str:
    """A file that all flavours share, with the handler of one."""
    if flavour.server:
        in_toml = f'handler = {{use = "{flavour.handler}", server = "{flavour.server}"}}'
        in_python = f'handler="{flavour.handler}", handler_server="{flavour.server}"'
        text = text.replace(f'handler = "{HANDLER}"', in_toml).replace(f'handler="{HANDLER}"', in_python)
    return text.replace(HANDLER, flavour.handler)


def next_steps(folder: Path, agent: str = "python") -> list[str]:
    """What to do with them, as lines for a shell."""
    steps = [*flavour_of(agent).before, "squall run swarm.toml", "pytest test_mine.py"]
    if folder.resolve() != Path.cwd():
        steps.insert(0, shlex.join(["cd", str(folder)]))
    return steps
