"""The process of one node: ``python -m squall.services.node.process ROLE NODE``.

The arguments are for whoever lists processes; what the node is told comes over
its standard input, secrets included. A thread reads that input, so that the
node ends with its parent even while a handler blocks its loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

from squall.bus.border import printable
from squall.bus.errors import SquallError
from squall.bus.guard_process import seal
from squall.bus.subjects import GATEWAY
from squall.bus.tasks import task_group
from squall.services.effects.kinds import load as load_sink
from squall.services.errors import SpecError
from squall.services.handlers.kinds import load
from squall.services.handlers.port import Loaded
from squall.services.node.control import ORPHANED, Control, end_loop_at_fork, leave_broker_at_fork
from squall.services.node.history import History
from squall.services.node.logs import log_to_file
from squall.services.node.points import Points
from squall.services.node.service import Alone, Asking, Halted, Loading, NodeStart, Order, Ready
from squall.services.node.serving import serving
from squall.services.node.surroundings import end_within
from squall.services.patterns import Pattern, pattern_of
from squall.services.patterns.pattern import AGENT, VENUE

log = logging.getLogger("squall")

ENDING_S = 20.0
"""How long a node whose work has ended may take to close what it has open: no defect may keep it for ever,
doing nothing and not started again."""

TOLD_S = 60.0
"""How long a node waits to be told what it is. A container may begin when whoever asked for it is gone, and
then its input never ends."""

ALIVE_S = 1.0
"""Between two words to the parent that the loop turns."""


def main() -> None:
    """Run one node until it is told to stop, its work is done, or its parent is gone."""
    seal()
    os.umask(0o077)
    faulthandler.enable()  # a node that is held up is ended so that its log says where it stood
    control = Control.claim()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    log_to_file()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.setitimer(signal.ITIMER_REAL, TOLD_S)  # which ends the process
    control.answer(Asking())
    line = next(control.lines(), None)
    signal.setitimer(signal.ITIMER_REAL, 0)
    if line is None:
        os._exit(ORPHANED)
    try:
        start, pattern = told(line)
    except SpecError as error:
        _end(_refused(control, error))
    del sys.argv[1:]  # a handler's module may look for arguments of its own
    loop = _new_loop()
    handler = None
    if start.role == AGENT:
        handling = pattern.handling(start.spec, start.node)
        control.answer(Loading(handler=handling.name))
        leave_broker_at_fork(start.url)
        end_loop_at_fork(loop)
        # Before the loop runs, so that the module may run one of its own.
        try:
            handler = load(handling, start.origin)
            if pattern.roster is not None and pattern.roster.votes:
                handler.vote()
        except SpecError as error:
            _end(_refused(control, error))
        if not start.url:  # this was to try the handler, before there is a broker
            control.answer(Ready())
            _end(0)
        control.alive()
    if start.role == GATEWAY and not start.url:  # this was to try the sink, before there is a broker
        try:
            load_sink(start.spec.sending, start.origin)
        except SpecError as error:
            _end(_refused(control, error))
        control.answer(Ready())
        _end(0)
    asyncio.set_event_loop(loop)
    life = loop.create_task(_live(start, pattern, control, handler))
    while True:
        try:
            loop.run_until_complete(life)
        except (SystemExit, KeyboardInterrupt):
            # Not ours: a task or callback that a handler left behind raised it, and the loop passes it on.
            log.warning("something that the handler left behind wanted to exit", exc_info=True)


def told(line: bytes | None) -> tuple[NodeStart, Pattern]:
    """What a node was told to be, and the pattern that its spec is of.

    Raises:
        SpecError: There is no such pattern.
        ValueError: It is no `NodeStart`.
    """
    if line is None:
        raise ValueError("a node was told too much")
    sent = msgspec.json.decode(line, type=_Sent)
    pattern = pattern_of(msgspec.json.decode(sent.spec, type=_Named).pattern)
    facts = {**msgspec.structs.asdict(sent), "spec": msgspec.json.decode(sent.spec, type=pattern.spec)}
    return NodeStart(**facts), pattern


class _Named(msgspec.Struct):
    pattern: str


class _Sent(NodeStart, frozen=True, kw_only=True):
    """As it travels: what the spec holds is known once its pattern is."""

    spec: msgspec.Raw  # type: ignore[assignment]


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _live(start: NodeStart, pattern: Pattern, control: Control, handler: Loaded | None) -> None:
    """The node's life, and the end of its process: what a handler left running is not waited for."""
    code = 1
    try:
        await _node(start, pattern, control, handler)
        code = 0
    except SquallError as error:
        code = _refused(control, error)
    except Exception:
        log.exception("%s ended by a defect", start.node)
    finally:
        _end(code)


def _refused(control: Control, error: SquallError) -> int:
    """Say why the node does not serve."""
    log.error("%s", error)
    control.answer(
        Ready(
            error=str(error),
            remedy=error.remedy,
            kind=error.kind,
            code=error.exit_code,
        )
    )
    return 1


def _end(code: int) -> NoReturn:
    """Not by `sys.exit`: a handler's thread that never returns must not keep the process."""
    logging.shutdown()
    os._exit(code)


async def _node(start: NodeStart, pattern: Pattern, control: Control, handler: Loaded | None) -> None:
    loop = asyncio.get_running_loop()
    if start.role == VENUE:
        await _node_alone(loop, start, pattern, control)
        return

    if start.preload:
        importlib.import_module(start.preload).install(start.node, start.role)
    history = History(Path(start.history) if start.history else None, start.node, start.incarnation)
    with history:
        async with (
            serving(start, pattern, history, answer=control.answer, handler=handler) as node,
            task_group() as tasks,
        ):
            if handler is not None:
                tasks.daemon(_say_alive(control))
            loop.add_signal_handler(signal.SIGTERM, node.obey, Order(stop=True))
            _listen(loop, control, node.obey)
            try:
                await node.ended()
            finally:
                end_within(ENDING_S)


async def _node_alone(
    loop: asyncio.AbstractEventLoop, start: NodeStart, pattern: Pattern, control: Control
) -> None:
    """A node that has no way to the broker."""
    points = Points(lambda point: control.answer(Halted(point=point)))
    alone = Alone(start=start, at=points, ready=lambda url: control.answer(Ready(url=url)))

    _listen(loop, control, alone.obey)
    loop.add_signal_handler(signal.SIGTERM, alone.stop.set)
    await pattern.module(start.role).serve_alone(alone)


async def _say_alive(control: Control) -> None:
    while True:
        control.alive()
        await asyncio.sleep(ALIVE_S)


def _listen(loop: asyncio.AbstractEventLoop, control: Control, obey: Callable[[Order], None]) -> None:
    """Take orders from the parent, and end with it. What is no order is skipped."""

    def read() -> None:
        for line in control.lines():
            try:
                if line is None:
                    raise ValueError("too long")
                order = msgspec.json.decode(line, type=Order)
            except (ValueError, RecursionError) as error:
                log.warning("a line that is no order is skipped: %s", printable(str(error)))
                continue
            with contextlib.suppress(RuntimeError):  # the loop is closed: the node ends
                loop.call_soon_threadsafe(obey, order)
        os._exit(ORPHANED)

    threading.Thread(target=read, name="parent", daemon=True).start()


if __name__ == "__main__":
    main()
