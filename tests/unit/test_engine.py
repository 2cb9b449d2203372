"""An engine that is not there, does not answer, is too old, or has another image: one sentence each."""

from __future__ import annotations

from pathlib import Path

import pytest

from squall.bus.guard import Guard
from squall.services.errors import SpecError
from squall.services.launch import containers, image
from squall.services.launch.engine import Engine, last_words
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.revision import revision
from squall.services.run.reach import check_reach

pytestmark = pytest.mark.anyio


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command `docker` that a test writes."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv(image.IMAGE_ENV, raising=False)
    return tmp_path / "docker"


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


async def refusal() -> SpecError:
    """What is said of the engine, or else of the image."""
    async with Guard() as guard:

        async def looked() -> str:
            return await image.checked_image(await Engine.found(guard))

        with pytest.raises(SpecError) as raised:
            await looked()
    return raised.value


async def test_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = await refusal()
    assert str(error) == "no container engine is here: there is no command `docker` on PATH"
    assert "leave --on out" in error.remedy
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("script", "says", "remedy"),
    [
        (
            "echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock.' >&2; exit 1",
            "the container engine does not answer: Cannot connect to the Docker daemon",
            "start it",
        ),
        ("sleep 60", "did not answer within 0.5 s", "start it"),
        ("echo 20.10.24", "the container engine is version 20.10.24, which is too old", "25 or newer"),
        ("echo", "the container engine is version , which is too old", "25 or newer"),
        ("printf 'v\\033[31m9'", "too old", "25 or newer"),
    ],
)
async def test_one_that_cannot_be_used_says_why(
    docker: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str, remedy: str
) -> None:
    monkeypatch.setattr(Engine.ask, "__kwdefaults__", {"timeout_s": 0.5})
    write(docker, script)
    error = await refusal()
    assert says in str(error)
    assert "\033" not in str(error)
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("inspected", "ran", "says"),
    [
        (
            "echo 'Error response from daemon: No such image: squall:0.1.0' >&2; exit 1",
            "",
            "there is no image squall:",
        ),
        (
            "echo id",
            "echo 0123456789abcdef",
            "holds another Squall (0123456789abcdef) than this command is of",
        ),
        ("echo id", "echo 'exec: \"python\": not found' >&2; exit 127", "does not run Squall: exec:"),
    ],
)
async def test_an_image_of_other_code_is_refused(docker: Path, inspected: str, ran: str, says: str) -> None:
    write(docker, f'case "$1" in version) echo 26.1.5;; image) {inspected};; run) {ran};; esac')
    error = await refusal()
    assert says in str(error)
    assert "docker build --tag squall:" in error.remedy


async def test_an_image_of_this_code_is_taken(docker: Path) -> None:
    write(docker, f'case "$1" in version) echo 26.1.5;; image) echo id;; run) echo {revision()};; esac')
    async with Guard() as guard:
        assert (await image.checked_image(await Engine.found(guard))).startswith("squall:")


async def test_what_is_of_no_run_of_ours_is_not_swept(docker: Path, tmp_path: Path) -> None:
    gone, removed = tmp_path / "gone", tmp_path / "removed"
    listed = f'printf "a\\t{gone}\\nb\\t\\n\\n"'
    write(
        docker,
        f'case "$1 $2" in "ps --all") {listed};; "network ls") printf "n\\t{gone}\\n";; '
        f'*) echo "$@" >>{removed};; esac',
    )
    async with Guard() as guard:
        assert await containers.sweep(Engine(guard, str(docker))) == 2
    assert removed.read_text().splitlines() == ["rm --force --volumes a", "network rm --force n"]


@pytest.mark.parametrize(
    ("said", "last"),
    [
        (b"", ""),
        (b"docker: Error response from daemon: no space left.\nSee 'docker run --help'.\n", "no space left."),
        (b"Error response from daemon: No such container: x", "No such container: x"),
    ],
)
def test_the_last_words_are_the_engines_own(said: bytes, last: str) -> None:
    assert last_words(said).endswith(last)
    assert "See 'docker" not in last_words(said)


@pytest.mark.parametrize(
    ("changes", "url", "what"),
    [
        ({"handler": "http://127.0.0.1:1/x"}, None, "the handler http:"),
        ({"effects": "none"}, None, ""),
        ({"effects": "https://sink.example/x"}, None, "the sink https:"),
        ({}, "nats://127.0.0.1:4222", "a broker of yours"),
        ({"handler": "exec:./agent.sh"}, None, ""),
        ({}, None, ""),
    ],
)
def test_what_containers_do_not_reach_is_refused(changes: dict[str, str], url: str | None, what: str) -> None:
    spec = HierarchicalSpec(**changes)  # type: ignore[arg-type]
    if what:
        with pytest.raises(SpecError, match=f"nodes on containers cannot have {what}"):
            check_reach(spec, url, "containers")
    else:
        check_reach(spec, url, "containers")
    check_reach(spec, url, "processes")


@pytest.mark.parametrize("folder", ["/", "home"])
def test_a_handler_of_ones_own_shows_agents_no_whole_machine(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home" / "work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / folder)
    spec = HierarchicalSpec(handler="mine:decide")
    with pytest.raises(SpecError, match="would be shown all of"):
        check_reach(spec, None, "containers")
    check_reach(HierarchicalSpec(), None, "containers")
    monkeypatch.chdir(tmp_path / "home" / "work")
    check_reach(spec, None, "containers")
