"""What no simulated world has: sockets, threads and processes of the operating system.

A process of the world that asks for one is told so in a sentence. Where that is a handler's doing it is an
exception of the handler, and told as that, with its line.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Any

from squall.chaos.simulation.loop import WORLD, current


class OutsideError(Exception):
    """Something of a simulated process reaches for the outside."""


def refusals() -> Sequence[tuple[Any, str, Callable[..., object]]]:
    """What is put in place of what, for as long as a world runs: an owner, a name, and the function."""
    return (
        (socket.socket, "__init__", _refusing(socket.socket.__init__, "opens a socket")),
        (threading.Thread, "start", _refusing(threading.Thread.start, "starts a thread")),
        (subprocess.Popen, "__init__", _refusing(subprocess.Popen.__init__, "starts a program")),
    )


def _refusing(real: Callable[..., object], does: str) -> Callable[..., object]:
    def refused(*args: Any, **kwargs: Any) -> object:
        if current() is WORLD:
            return real(*args, **kwargs)
        raise OutsideError(f"this {does}, and a simulated world has none; try it with `squall chaos`")

    return refused
