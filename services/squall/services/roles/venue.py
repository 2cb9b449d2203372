"""Venue: the outside world and the witness.

    POST /orders ──► journal (every request as received, no constraint) ──commit──► fills ──commit──► answer

An exchange: it fills an order id at most once and refuses a repeat, and one that
says which it follows only behind that (`rules/following.py`). Started
``dumb`` it fills whatever comes, which is how we know that a count of duplicates
can rise. What was lost, doubled, refused or in conflict is counted from its database,
never from what the swarm believes.

It takes orders from whoever knows its token, which is the gateway alone, and only
as JSON, so that no page in a browser can send one. Whatever an order holds, the
answer is about that order: one that it rejects spoils no other of its batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import itertools
import socket
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from squall.bus.border import printable
from squall.services.node.points import Points
from squall.services.node.service import LEAVE_S, Alone
from squall.services.rules.following import Standing, filled, follow
from squall.services.trading.books import SCHEMA
from squall.services.trading.orders import Following, Order, read_following, read_order

POINTS: Final = {
    "venue.journaled": "a request is written down, nothing of it is filled",
    "venue.filled": "what can be filled is, nobody was told",
}
"""Where a fault can strike it, and what has happened there. What it has committed outlives it."""

HEALTH: Final = b"ok".ljust(1000, b".")
"""What it answers to whoever asks whether it is there: enough that a slow way to it shows."""

BATCH_MAX = 1000
BODY_BYTES_MAX = 4 * 1024 * 1024
"""Bounds on one request. They admit what the gateway sends at most (see `rules.effects`), also if something
on the way wrote each byte of the largest effect as an escape of six."""

ORDER_ID_LENGTH_MAX = 280
"""Of an order id, in characters: the longest id of a task, and a number."""


_FILLED = "SELECT 1 FROM fills WHERE order_id = ?"


class Offer(msgspec.Struct, frozen=True):
    """One order as it arrives: its id, and its body untouched."""

    order_id: str
    order: msgspec.Raw


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of it: ``filled``, ``duplicate``, ``passed`` or ``rejected``."""

    order_id: str
    outcome: str
    reason: str = ""


class Venue:
    """The exchange behind the door.

    Args:
        path: Its database; made if missing, continued if not.
        dumb: Fill repeats too.
        sequenced: Whether orders may follow each other. Else what they say of that is nothing to it.
    """

    def __init__(self, path: Path, *, dumb: bool = False, sequenced: bool = False) -> None:
        self._dumb = dumb
        self._read = read_following if sequenced else read_order
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.executescript(SCHEMA)
        index = "INDEX" if dumb else "UNIQUE INDEX"
        self._database.execute(f"CREATE {index} IF NOT EXISTS fills_by_id ON fills (order_id)")

    def close(self) -> None:
        self._database.close()

    async def take(self, offers: Sequence[Offer], at: Points) -> list[Answer]:
        """Journal orders, but for what is only passed, then fill them.

        A kill in between is repaired by the sender's repeat.
        """
        read = [_read(offer, self._read) for offer in offers]
        self.journal(offers, read)
        await at("venue.journaled")
        answers = self.fill(offers, read)
        await at("venue.filled")
        return answers

    def journal(self, offers: Sequence[Offer], read: Sequence[Order | str]) -> None:
        """Write down what was received, and commit."""
        now_s = time.time()
        rows = [
            (now_s, _shown(offer.order_id), *_columns(order), bytes(offer.order).decode(errors="replace"))
            for offer, order in zip(offers, read, strict=True)
            if not (isinstance(order, Following) and order.passed)
        ]
        with self._transaction():
            self._database.executemany(
                "INSERT INTO journal (time_s, order_id, account, symbol, n, side, quantity, price, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def fill(self, offers: Sequence[Offer], read: Sequence[Order | str]) -> list[Answer]:
        """Fill what can be filled, write down why the rest cannot be, and commit."""
        now_s = time.time()
        answers = []
        with self._transaction():
            for offer, order in zip(offers, read, strict=True):
                answers.append(self._fill(offer.order_id, order, now_s))
        return answers

    def _fill(self, order_id: str, order: Order | str, now_s: float) -> Answer:
        if isinstance(order, Following) and order.after is not None:
            return self._fill_following(order_id, order, now_s)
        if isinstance(order, str):
            return self._reject(_shown(order_id), order, now_s)
        return Answer(order_id, "filled" if self._insert(order_id, order, now_s) else "duplicate")

    def _fill_following(self, order_id: str, order: Following, now_s: float) -> Answer:
        """Fill an order behind the one that it follows, or pass its place; refuse it where it is not next."""
        if why := self._one("SELECT reason FROM refusals WHERE order_id = ?", order_id):
            return Answer(order_id, "rejected", *why)  # also where the one before it has come meanwhile
        of = order.account, order.symbol
        at = Standing(*self._one("SELECT n, units FROM standings WHERE account = ? AND symbol = ?", *of))
        before = order.n <= at.n if order.passed else bool(self._one(_FILLED, order_id))
        if before and not self._dumb:
            return Answer(order_id, "duplicate")
        followed = filled(order, at) if self._dumb else follow(order, at)
        if isinstance(followed, str):
            return self._reject(order_id, followed, now_s)
        order, at = followed
        self._database.execute("INSERT OR REPLACE INTO standings VALUES (?, ?, ?, ?)", (*of, *at))
        if order.passed:
            return Answer(order_id, "passed")
        self._insert(order_id, order, now_s)
        return Answer(order_id, "filled")

    def _reject(self, order_id: str, why: str, now_s: float) -> Answer:
        self._database.execute("INSERT OR IGNORE INTO refusals VALUES (?, ?, ?)", (order_id, now_s, why))
        return Answer(order_id, "rejected", why)

    def _insert(self, order_id: str, order: Order, now_s: float) -> int:
        """Write a fill down; 0 if there is one of this id."""
        return self._database.execute(
            "INSERT OR IGNORE INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (order_id, *_columns(order), now_s),
        ).rowcount

    def _one(self, question: str, *of: str) -> tuple[Any, ...]:
        """The one row that answers; empty if there is none."""
        return self._database.execute(question, of).fetchone() or ()

    @contextlib.contextmanager
    def _transaction(self):  # type: ignore[no-untyped-def]
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


_offers = msgspec.json.Decoder(list[Offer])


def _read(offer: Offer, read: Callable[[bytes], Order | str] = read_order) -> Order | str:
    """The order in an offer, or in a sentence why there is none."""
    if not offer.order_id or offer.order_id != _shown(offer.order_id):
        return f"an order id has 1 to {ORDER_ID_LENGTH_MAX} printable characters"
    return read(bytes(offer.order))


def _shown(order_id: str) -> str:
    """The id as it can be written down; itself, if it is one."""
    return printable(order_id, ORDER_ID_LENGTH_MAX)


def _columns(order: Order | str) -> tuple[object, ...]:
    if isinstance(order, str):
        return (None,) * 6
    return (order.account, order.symbol, order.n, order.side, order.quantity, order.price)


BROKEN = "the venue is out of order"


class Desk:
    """Takes the body of a request, and gives the status and the body of the answer.

    A batch is taken on the loop itself: 256 orders take a few milliseconds, and one at a time is what a
    database with one writer can do anyway.

    Args:
        at: Passed the name of each point that it reaches.
        failing: While this is set, the answer is an error: of every other request before it is looked at, and
            of the others once they are taken. To whoever sent them the two look the same.
    """

    def __init__(self, venue: Venue, at: Points, failing: asyncio.Event) -> None:
        self._venue = venue
        self._at = at
        self._failing = failing
        self._looked_at = itertools.cycle((False, True))

    def health(self) -> tuple[int, bytes]:
        """The answer to whoever asks whether it is there: the status, and the body."""
        return (503, BROKEN.encode()) if self._failing.is_set() else (200, HEALTH)

    async def orders(self, body: bytes | bytearray) -> tuple[int, bytes]:
        """Take orders; the status of the answer, and its body, which is JSON where all is well."""
        try:
            offers = _offers.decode(body)
        except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
            return 400, printable(f"not a list of orders: {error}").encode()
        if len(offers) > BATCH_MAX:
            return 413, f"a batch has at most {BATCH_MAX} orders".encode()
        if self._failing.is_set() and not next(self._looked_at):
            return 503, BROKEN.encode()
        answers = await self._venue.take(offers, self._at)
        if self._failing.is_set():
            return 500, BROKEN.encode()
        return 200, msgspec.json.encode(answers)


def application(
    venue: Venue, token: str, *, at: Points | None = None, failing: asyncio.Event | None = None
) -> Starlette:
    """The venue's HTTP side.

    Args:
        token: What the ``Authorization`` header must carry as its bearer; not empty.
        at, failing: See `Desk`.

    Raises:
        ValueError: The token is empty.
    """
    if not token:
        raise ValueError("a venue needs a token")
    expected = f"Bearer {token}".encode()
    desk = Desk(venue, at or Points(lambda point: None), failing or asyncio.Event())

    async def orders(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode(errors="replace")
        if not hmac.compare_digest(given, expected):
            return Response("orders are taken from the gateway alone", 401, {"WWW-Authenticate": "Bearer"})
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return Response("orders are application/json", 415)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                return Response(f"a body has at most {BODY_BYTES_MAX} bytes", 413)
        status, answer = await desk.orders(body)
        return Response(answer, status, media_type="application/json" if status == 200 else None)

    async def healthy(request: Request) -> Response:
        status, answer = desk.health()
        return Response(answer, status)

    return Starlette(
        routes=[Route("/orders", orders, methods=["POST"]), Route("/healthz", healthy, methods=["GET"])]
    )


class _Server(uvicorn.Server):
    """Leaves signals to the process it runs in."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


async def serve_alone(alone: Alone) -> None:
    """Take orders until asked to stop."""
    start = alone.start
    serving = asyncio.create_task(
        serve(
            Path(start.path),
            token=start.venue_token.value if start.venue_token is not None else "",
            dumb=start.spec.venue == "dumb",
            sequenced=start.spec.is_sequenced,
            host=start.host,
            port=start.port,
            ready=alone.ready,
            at=alone.at,
            failing=alone.failing,
        )
    )
    stopping = asyncio.create_task(alone.stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if serving.done():
        serving.result()
    serving.cancel()
    await asyncio.wait({serving}, timeout=LEAVE_S)


async def serve(
    path: Path,
    *,
    token: str,
    dumb: bool = False,
    sequenced: bool = False,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], None],
    at: Points | None = None,
    failing: asyncio.Event | None = None,
) -> None:
    """Take orders until cancelled.

    Args:
        path: The database.
        token: Known to the gateway alone; see `application`.
        port: 0 chooses a free one.
        ready: Told the URL once orders are taken.
        at, failing: See `application`.
    """
    venue = Venue(path, dumb=dumb, sequenced=sequenced)
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            # Nothing but plain HTTP is spoken, and no header says who a peer is.
            config = uvicorn.Config(
                application(venue, token, at=at, failing=failing),
                log_level="warning",
                access_log=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
            )
            server = _Server(config)
            serving = asyncio.ensure_future(server.serve(sockets=[listener]))
            try:
                while not server.started and not serving.done():
                    await asyncio.sleep(0.005)
                if not serving.done():
                    ready(f"http://{host}:{listener.getsockname()[1]}")
                await asyncio.shield(serving)
            finally:
                server.should_exit = True
                with contextlib.suppress(asyncio.CancelledError):
                    await serving
    finally:
        venue.close()
