"""The process of one node: ``python -m squall.services.node ROLE NODE``.

The arguments are for whoever lists processes; what the node is told comes over
its standard input, secrets included. A thread reads that input, so that the
node ends with its parent even while a handler blocks its loop.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from squall.bus.connection import connect
from squall.bus.errors import BusError
from squall.bus.tasks import task_group
from squall.services.errors import ServiceError
from squall.services.history import History
from squall.services.interference import Interference
from squall.services.points import Points
from squall.services.service import Halted, NodeStart, Order, Ready, Service

log = logging.getLogger("squall")

ORPHANED = 70
CONNECT_PATIENCE_S = 20.0

ROLES = {
    "agent": "squall.services.agent",
    "coordinator": "squall.services.coordinator",
    "gateway": "squall.services.gateway",
    "producer": "squall.services.producer",
    "venue": "squall.services.venue",
}


def main() -> None:
    """Run one node until it is told to stop, its work is done, or its parent is gone."""
    answers = _claim_stdout()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    start = msgspec.json.decode(sys.stdin.buffer.readline(), type=NodeStart)
    code = 0
    try:
        _run(_node(start, answers))
    except (ServiceError, BusError) as error:
        log.error("%s", error)
        _answer(
            answers,
            Ready(
                error=str(error),
                remedy=getattr(error, "remedy", ""),
                kind=getattr(error, "kind", "bus"),
                code=getattr(error, "code", 4),
            ),
        )
        code = 1
    except Exception:
        log.exception("%s ended by a defect", start.node)
        code = 1
    # Not sys.exit: a handler's thread that never returns must not keep the process.
    logging.shutdown()
    os._exit(code)


def _claim_stdout() -> BinaryIO:
    """Keep standard output for answers to the parent; whatever a handler prints goes to the log."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return answers


def _answer(answers: BinaryIO, answer: Ready | Halted) -> None:
    try:
        answers.write(msgspec.json.encode(answer) + b"\n")
    except OSError:
        os._exit(ORPHANED)


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


async def _node(start: NodeStart, answers: BinaryIO) -> None:
    loop = asyncio.get_running_loop()
    if start.role == "venue":
        from squall.services import venue

        stop = asyncio.Event()
        _listen(loop, stop.set, lambda _: None)
        serving = asyncio.create_task(
            venue.serve(
                Path(start.path),
                token=start.venue_token.value if start.venue_token is not None else "",
                dumb=start.spec.venue == "dumb",
                port=start.port,
                ready=lambda url: _answer(answers, Ready(url=url)),
            )
        )
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if serving.done():
            serving.result()
        serving.cancel()
        return

    if start.preload:
        importlib.import_module(start.preload).install(start.node, start.role)
    role = importlib.import_module(ROLES[start.role])
    history = History(Path(start.history) if start.history else None, start.node, start.incarnation)
    with history:
        async with (
            connect(start.url, start.node, start.credentials, patience_s=CONNECT_PATIENCE_S) as connection,
            task_group() as tasks,
        ):
            interference = Interference(
                lambda kind, on, struck: history("interfere", "ok", what=kind, on=on, struck=struck)
            )
            connection.interceptor = interference
            points = Points(lambda point: _answer(answers, Halted(point=point)))
            service = Service(start, connection, history, points, lambda: _answer(answers, Ready()))

            def obey(order: Order) -> None:
                if order.credentials is not None:
                    connection.renew(order.credentials)
                if order.halt is not None:
                    points.halt(order.halt.point, order.halt.nth)
                if order.interfere is not None:
                    interference.begin(order.interfere)
                if order.stop:
                    service.stop.set()

            _listen(loop, service.stop.set, obey)
            tasks.daemon(service.beat())
            try:
                await role.serve(service)
            finally:
                history("counters", "ok", counters=service.counted())


def _listen(loop: asyncio.AbstractEventLoop, stop: Callable[[], None], obey: Callable[[Order], None]) -> None:
    """Take orders from the parent, and end with it."""

    def read() -> None:
        for line in sys.stdin.buffer:
            order = msgspec.json.decode(line, type=Order)
            loop.call_soon_threadsafe(obey, order)
            if order.stop:
                loop.call_soon_threadsafe(stop)
        os._exit(ORPHANED)

    threading.Thread(target=read, name="parent", daemon=True).start()
    loop.add_signal_handler(signal.SIGTERM, stop)


if __name__ == "__main__":
    main()
