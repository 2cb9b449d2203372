"""What an operator's command makes of who answers at the socket of a run, or does not."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import typer
from typer.testing import CliRunner

from squall.bus.identity import Credentials
from squall.chaos.cli.dlq import dlq
from squall.chaos.evidence.registers import so_far
from squall.services.errors import LaunchError, ServiceError, SpecError
from squall.services.node.history import History
from squall.services.run import operating
from squall.services.run.directory import RunDirectory, claim
from squall.services.run.operating import LINE_BYTES_MAX, SOCKET, invited, listening, say
from squall.services.run.registers import REGISTERS, TARGET, VERB, operator
from squall.services.run.spec import Spec

LONG = "a-folder-with-a-long-name-" * 8


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Any]:
    """``answering(data)``: somebody else's socket in a directory, which says that and hangs up."""
    servers: list[socket.socket] = []

    def make(data: bytes) -> Path:
        server = socket.socket(socket.AF_UNIX)
        servers.append(server)
        server.bind(str(tmp_path / SOCKET))
        server.listen(1)

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(LINE_BYTES_MAX)
                connection.sendall(data)

        threading.Thread(target=answer, daemon=True).start()
        return tmp_path

    yield make
    for server in servers:
        server.close()


@pytest.mark.parametrize("folder", ["", "not/there"])
def test_where_no_swarm_runs_that_is_said(tmp_path: Path, folder: str) -> None:
    with pytest.raises(SpecError, match="no swarm runs in"):
        say(tmp_path / folder, "stage-1", "resume")


def test_a_socket_that_nobody_listens_at_any_more_is_no_swarm(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET))
    with pytest.raises(SpecError, match="no swarm runs in"):
        say(tmp_path, "stage-1", "resume")


@pytest.mark.parametrize("data", [b"", b"yes\n", b"[]\n", b"x" * 3 * LINE_BYTES_MAX])
def test_an_answer_that_is_none_is_unknown(answering: Any, data: bytes) -> None:
    with pytest.raises(LaunchError):
        say(answering(data), "stage-1", "resume")


def test_who_does_not_answer_in_time_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating, "ANSWERED_S", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / SOCKET))
        silent.listen(1)
        with pytest.raises(LaunchError, match="does not answer"):
            say(tmp_path, "stage-1", "resume")


async def operated(target: str, verb: str) -> str:
    """As a pattern does it: what it knows, what it does not, and what nobody did."""
    if verb == "never":
        raise SpecError("it is not known", "say another")
    if verb == "later":
        raise LaunchError("nobody did it", "say it again")
    return f"{target} is {verb}"


def said(folder: Path, target: str, verb: str) -> str | ServiceError:
    """What is answered to an operator by the end that a running swarm has."""

    async def live() -> str:
        async with listening(folder, operated):
            return await asyncio.to_thread(say, folder, target, verb)

    try:
        return asyncio.run(live())
    except ServiceError as error:
        return error


def test_what_a_pattern_makes_of_it_is_what_the_operator_hears(tmp_path: Path) -> None:
    assert said(tmp_path, "stage-1", "open") == "stage-1 is open"
    assert not (tmp_path / SOCKET).exists()
    unknown, undone = (
        said(tmp_path, "stage-1", "never"),
        said(tmp_path, "stage-1", "later"),
    )
    assert (type(unknown), str(unknown)) == (SpecError, "it is not known")
    assert (type(undone), str(undone)) == (LaunchError, "nobody did it")
    assert "cannot be read" in str(said(tmp_path, "s" * 101, "open"))


def test_a_directory_may_have_a_name_longer_than_a_socket_may(tmp_path: Path) -> None:
    folder = tmp_path / LONG
    folder.mkdir()
    assert said(folder, "stage-1", "open") == "stage-1 is open"


def test_who_says_nothing_keeps_others_waiting_for_so_long_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operating, "READ_S", 0.1)

    async def live() -> str:
        async with listening(tmp_path, operated):
            _, silent = await asyncio.open_unix_connection(str(tmp_path / SOCKET))
            try:
                return await asyncio.to_thread(say, tmp_path, "stage-1", "open")
            finally:
                silent.close()

    assert asyncio.run(live()) == "stage-1 is open"


@pytest.mark.anyio
async def test_a_guest_is_invited_through_the_socket_and_its_secret_is_shown_nowhere(tmp_path: Path) -> None:
    made = Credentials(name="pricer", jwt="j.w.t", seed="SUSECRET", inbox="_INBOX.x", expires_s=1_800_000_000)

    async def operate(target: str, verb: str) -> str:
        raise AssertionError("nothing is to be operated")

    def invite(guest: str, life_s: float) -> Credentials:
        if guest != "pricer":
            raise SpecError(f"there is no {guest}", "use pricer")
        assert life_s == 60.0
        return made

    async with listening(tmp_path, operate, invite, "nats://127.0.0.1:4222"):
        answered = await asyncio.to_thread(invited, tmp_path, "pricer", 60.0)
        assert (answered.creds, answered.expires_s) == (made.creds_file(), made.expires_s)
        assert answered.url == "nats://127.0.0.1:4222"
        assert "SECRET" not in f"{answered} {answered!r} {answered.__rich_repr__()}"
        with pytest.raises(SpecError, match="there is no other"):
            await asyncio.to_thread(invited, tmp_path, "other", 60.0)


def test_where_nothing_can_be_written_who_asks_for_dead_letters_hears_that(tmp_path: Path) -> None:
    gone = RunDirectory(tmp_path / "gone")

    async def live() -> str:
        async with listening(tmp_path, operator(cast(Any, None), gone)):
            return await asyncio.to_thread(say, tmp_path, TARGET, VERB)

    with pytest.raises(LaunchError, match="gone cannot be written: No such file"):
        asyncio.run(live())


def test_a_swarm_that_is_starting_is_not_said_to_be_killed(tmp_path: Path) -> None:
    with claim(Spec(pattern="hierarchical"), tmp_path / "run") as run:
        with pytest.raises(LaunchError, match="is starting or ending") as caught:
            so_far(run.path)
        assert caught.value.remedy == "ask again in a moment"
    with pytest.raises(SpecError, match="the run was killed"):
        so_far(run.path)


def test_of_a_run_that_was_killed_what_it_last_told_is_told_as_such(tmp_path: Path) -> None:
    facts = {"key": "k", "job": "j", "status": "dead", "effects": [], "attempt": 3, "term": 1}
    facts |= {"task": "t-1", "agent": "agent-1", "reason": "no price", "time_s_stored": 1.0}
    with claim(Spec(pattern="hierarchical"), tmp_path / "run") as run:
        with History(run.path / REGISTERS, "squall", 1) as history:
            history("final", "ok", what="register", **facts)
        command = typer.Typer()
        command.command()(dlq)
    told = CliRunner().invoke(command, ["list", "--run", str(run.path)])
    assert (told.exit_code, "t-1" in told.stdout, "no price" in told.stdout) == (0, True, True), (
        told.exception
    )
    assert "was killed; its dead letters are those of when it was last asked" in " ".join(told.stderr.split())
