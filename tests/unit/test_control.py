"""What the command and its nodes tell each other, and what the command makes of silence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from squall.bus.guard_process import MARK, _marks_of
from squall.services.launch.silence import LOOK_S, Silence
from squall.services.node.control import FORKED, Lines

# What arrives over a pipe.


@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_lines_are_cut_with_a_bound_wherever_the_pieces_end(piece: int) -> None:
    lines = Lines(bytes_max=4)
    sent = b"ab\n\n1234\n12345\n" + b"x" * 100 + b"\ncd\nrest"
    got = [line for at in range(0, len(sent), piece) for line in lines.feed(sent[at : at + piece])]
    assert got == [b"ab", b"", b"1234", None, None, b"cd"]


# Silence.


def silent_after(*looks: tuple[bool, bool], max_s: float = 3 * LOOK_S) -> list[bool]:
    silence = Silence(max_s)
    return [silence.look(place * LOOK_S, heard=heard, held=held) for place, (heard, held) in enumerate(looks)]


def test_a_loop_that_is_heard_is_never_silent() -> None:
    assert not any(silent_after(*[(True, False)] * 20))
    assert not any(silent_after(*[(True, False), (False, False), (False, False)] * 10))


def test_a_loop_that_is_not_heard_is_silent_after_its_time() -> None:
    assert silent_after(*[(False, False)] * 6) == [False, False, False, False, True, True]


def test_a_loop_that_was_made_to_stand_still_is_waited_for() -> None:
    assert not any(silent_after(*[(False, True)] * 100))
    assert silent_after(*[(False, False)] * 2, *[(False, True)] * 10, *[(False, False)] * 3)[-2:] == [
        False,
        True,
    ]


def test_a_listener_that_stood_still_itself_counts_little_of_that_time() -> None:
    silence = Silence(3 * LOOK_S)
    assert not silence.look(0.0, heard=False, held=False)
    assert not silence.look(3600.0, heard=False, held=False)
    assert silence.look(7200.0, heard=False, held=False)


def test_the_marks_of_a_process_are_read_from_its_environment() -> None:
    child = subprocess.Popen(
        ["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={MARK: "outer.3:inner.1", "X": "y"}
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(b"x")
    child.stdin.flush()
    child.stdout.read(1)  # by now it is the program
    try:
        assert _marks_of(child.pid) == {b"outer", b"outer.3", b"inner", b"inner.1"}
    finally:
        child.communicate()


COMES_BACK = """
import asyncio, os, sys
from squall.services.node.control import end_loop_at_fork

async def node():
    child = os.fork()
    await asyncio.sleep(0)
    if child == 0:
        os.write(1, b"a second node")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

loop = asyncio.new_event_loop() if sys.argv[1] == "asyncio" else __import__("uvloop").new_event_loop()
end_loop_at_fork(loop)
asyncio.set_event_loop(loop)
print(loop.run_until_complete(node()))
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_forked_process_ends_where_it_comes_back_to_the_loop(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    done = subprocess.run(
        [sys.executable, "-c", COMES_BACK, loop], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [str(FORKED)]
