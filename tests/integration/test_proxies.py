"""Proxies and their toxics: each is felt by bytes, read back, and gone after the run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from squall.bus.guard import Guard
from squall.bus.tasks import wait_until
from squall.chaos.errors import FaultError, HarnessBrokenError, UnverifiedError
from squall.chaos.inject.toxiproxy import Toxiproxy
from squall.chaos.inject.toxiproxy import proxies as proxies_module
from squall.chaos.inject.toxiproxy.api import CONNECT_S, READ_S
from squall.chaos.inject.toxiproxy.proxies import Change, Proxies, Proxy
from squall.chaos.inject.toxiproxy.toxics import (
    Bandwidth,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Stream,
    Timeout,
    Toxic,
)

pytestmark = [pytest.mark.anyio, pytest.mark.toxiproxy]

PATIENCE_S = 10.0
HOUR_MS = 3_600_000


@dataclass
class Echo:
    """A peer that sends back what it gets.

    Attributes:
        address: As ``host:port``.
        heard: What each of its connections has got, in the order they were opened.
        ended_s: When each of those ended that did.
    """

    address: str = ""
    heard: list[bytearray] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = bytearray()
        self.heard.append(heard)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                heard += data
                writer.write(data)
                await writer.drain()
        self.ended_s.append(time.monotonic())
        writer.close()


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[Echo]:
    echo = Echo()
    async with await asyncio.start_server(echo.serve, "127.0.0.1", 0) as listener:
        echo.address = "{}:{}".format(*listener.sockets[0].getsockname())
        yield echo


class Link:
    """A client's connection to a proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def echoed(self, data: bytes) -> bytes:
        self.writer.write(data)
        return await self.get(len(data))

    async def get(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """What still comes before the other end closes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()


@contextlib.asynccontextmanager
async def linked(proxy: Proxy) -> AsyncIterator[Link]:
    host, port = proxy.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Link(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@dataclass
class Rig:
    """A server, our proxies on it, an echo and a proxy that leads to it."""

    toxiproxy: Toxiproxy
    proxies: Proxies
    echo: Echo
    proxy: Proxy

    def ask(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """What anybody else may ask of the same server."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        data = None if body is None else json.dumps(body).encode()
        with opener.open(urllib.request.Request(self.toxiproxy.url + path, data), timeout=5.0) as answer:
            return json.loads(answer.read())


@contextlib.asynccontextmanager
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with (
        echoing() as echo,
        Guard() as guard,
        Toxiproxy.running(guard=guard, log=tmp_path / "toxiproxy.log") as toxiproxy,
        Proxies(toxiproxy.url, prefix="r1") as proxies,
    ):
        yield Rig(toxiproxy, proxies, echo, await proxies.create("echo", echo.address))


def assert_ordered(change: Change, since_s: float) -> None:
    assert since_s <= change.sent_s <= change.acknowledged_s <= change.verified_s <= time.time()


async def echo_ended(echo: Echo) -> float:
    async def ended() -> list[float]:
        return echo.ended_s

    return (await wait_until(ended, bool, timeout_s=PATIENCE_S, what="the end at the echo", every_s=0.01))[0]


# Every toxic is what was asked for.


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
@pytest.mark.parametrize(
    ("kind", "first", "then"),
    [
        (Latency, {"latency_ms": 5, "jitter_ms": 3}, {"latency_ms": 7, "jitter_ms": 0}),
        (Bandwidth, {"rate_kb_per_s": 100}, {"rate_kb_per_s": 0}),
        (SlowClose, {"delay_ms": 5}, {"delay_ms": 7}),
        (Timeout, {"timeout_ms": 0}, {"timeout_ms": HOUR_MS}),
        (ResetPeer, {"timeout_ms": 0}, {"timeout_ms": 7}),
        (Slicer, {"average_bytes": 5}, {"average_bytes": 7, "variation_bytes": 7, "delay_us": 1}),
        (LimitData, {"limit_bytes": 0}, {"limit_bytes": 7}),
    ],
    ids=lambda value: value.type if isinstance(value, type) else "",
)
async def test_a_toxic_is_added_changed_and_removed_as_asked(
    tmp_path: Path, kind: type[Toxic], first: dict[str, int], then: dict[str, int], stream: Stream
) -> None:
    async with rig(tmp_path) as r:

        async def seen() -> list[tuple[str, str, str, float, dict[str, int]]]:
            return [msgspec.structs.astuple(toxic) for toxic in (await r.proxy.state()).toxics]

        for act, toxicity, values in ((r.proxy.add, 1, first), (r.proxy.update, 0, then)):
            toxic = msgspec.convert({"stream": stream, "toxicity": toxicity, **values}, kind)
            since_s = time.time()
            assert_ordered(await act(toxic), since_s)
            name = f"{kind.type}_{stream}"
            assert await seen() == [(name, kind.type, stream, float(toxicity), toxic.attributes())]
        since_s = time.time()
        assert_ordered(await r.proxy.remove(toxic), since_s)
        assert await seen() == []
        await r.proxy.remove(toxic)  # once more does no harm


async def test_nothing_is_sent_that_must_not_be(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        toxic = Bandwidth(stream="upstream", rate_kb_per_s=-1)
        for act in (r.proxy.add, r.proxy.update):
            with pytest.raises(FaultError, match="rate_kb_per_s is -1"):
                await act(toxic)
        assert (await r.proxy.state()).toxics == ()


async def test_a_refusal_is_definite(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        toxic = Latency(stream="upstream", latency_ms=1)
        with pytest.raises(FaultError, match="latency_upstream of r1-echo: toxic not found"):
            await r.proxy.update(toxic)
        await r.proxy.add(toxic)
        with pytest.raises(FaultError, match="latency_upstream of r1-echo: toxic already exists"):
            await r.proxy.add(toxic)
        with pytest.raises(FaultError, match="a proxy r1-echo already"):
            await r.proxies.create("echo", r.echo.address)
        with pytest.raises(FaultError, match=r"the name 'a/b' holds something other"):
            await r.proxies.create("a/b", r.echo.address)


# Every toxic is felt: traffic flows, the toxic acts, healing restores.


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
async def test_latency_delays(tmp_path: Path, stream: Stream) -> None:
    async with rig(tmp_path) as r, linked(r.proxy) as link:
        assert await link.echoed(b"before") == b"before"
        await r.proxy.add(Latency(stream=stream, latency_ms=200))
        sent_s = time.monotonic()
        assert await link.echoed(b"slowly") == b"slowly"
        assert time.monotonic() - sent_s >= 0.2

        held = Latency(stream=stream, latency_ms=HOUR_MS)
        await r.proxy.update(held)
        link.writer.write(b"held")
        await r.proxy.remove(held)
        assert await link.get(4) == b"held"


async def test_a_toxic_for_no_connection_does_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path) as r, linked(r.proxy) as link:
        await r.proxy.add(Latency(stream="upstream", latency_ms=HOUR_MS, toxicity=0))
        assert await link.echoed(b"at once") == b"at once"


async def test_no_bandwidth_holds_everything_and_loses_nothing(tmp_path: Path) -> None:
    data = os.urandom(200_000)
    stall = Bandwidth(stream="upstream", rate_kb_per_s=0)
    async with rig(tmp_path) as r, linked(r.proxy) as link:
        other = await r.proxies.create("other", r.echo.address)
        assert await link.echoed(b"before") == b"before"
        await r.proxy.add(stall)
        link.writer.write(data)
        async with linked(other) as beside:  # the marker; there is none behind held bytes
            assert await beside.echoed(data) == data
        assert bytes(r.echo.heard[0]) == b"before"

        await r.proxy.remove(stall)
        assert await link.get(len(data)) == data
        assert bytes(r.echo.heard[0]) == b"before" + data


async def test_bandwidth_is_bounded_from_above(tmp_path: Path) -> None:
    data = os.urandom(60_000)
    async with rig(tmp_path) as r, linked(r.proxy) as link:
        await r.proxy.add(Bandwidth(stream="downstream", rate_kb_per_s=100))
        sent_s = time.monotonic()
        assert await link.echoed(data) == data
        assert time.monotonic() - sent_s >= 0.8 * len(data) / 100_000  # its last piece is not waited for


async def test_a_timeout_swallows_and_its_removal_closes(tmp_path: Path) -> None:
    blackhole = Timeout(stream="upstream", timeout_ms=0)
    async with rig(tmp_path) as r:
        async with linked(r.proxy) as link:
            assert await link.echoed(b"before") == b"before"
            await r.proxy.add(blackhole)
            link.writer.write(b"lost")
            await r.proxy.remove(blackhole)
            assert await link.rest() == b""
        assert bytes(r.echo.heard[0]) == b"before"
        async with linked(r.proxy) as link:
            assert await link.echoed(b"after") == b"after"


async def test_a_timeout_closes_after_its_time(tmp_path: Path) -> None:
    async with rig(tmp_path) as r, linked(r.proxy) as link:
        assert await link.echoed(b"before") == b"before"
        added_s = time.monotonic()
        await r.proxy.add(Timeout(stream="downstream", timeout_ms=200))
        assert await link.rest() == b""
        assert time.monotonic() - added_s >= 0.2


async def test_a_limit_cuts_in_the_middle(tmp_path: Path) -> None:
    limit = LimitData(stream="upstream", limit_bytes=1000)
    async with rig(tmp_path) as r:
        async with linked(r.proxy) as link:
            assert await link.echoed(b"before") == b"before"
            await r.proxy.add(limit)
            link.writer.write(bytes(5000))
            assert set(await link.rest()) <= {0}
        await echo_ended(r.echo)
        assert bytes(r.echo.heard[0]) == b"before" + bytes(1000)
        await r.proxy.remove(limit)
        async with linked(r.proxy) as link:
            assert await link.echoed(bytes(5000)) == bytes(5000)


async def test_a_slicer_keeps_every_byte_in_order(tmp_path: Path) -> None:
    data = os.urandom(10_000)
    async with rig(tmp_path) as r, linked(r.proxy) as link:
        await r.proxy.add(Slicer(stream="upstream", average_bytes=10, variation_bytes=10))
        assert await link.echoed(data) == data


async def test_a_slow_close_passes_bytes_and_delays_the_end(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        await r.proxy.add(SlowClose(stream="upstream", delay_ms=300))
        async with linked(r.proxy) as link:
            assert await link.echoed(b"passes") == b"passes"
            closed_s = time.monotonic()
        assert await echo_ended(r.echo) - closed_s >= 0.3


async def test_a_reset_reaches_a_connection_that_began_under_it(tmp_path: Path) -> None:
    reset = ResetPeer(stream="upstream", timeout_ms=0)
    async with rig(tmp_path) as r:
        await r.proxy.add(reset)
        async with linked(r.proxy) as link:
            link.writer.write(b"lost")
            with pytest.raises(ConnectionResetError):
                await link.rest()
        assert b"lost" not in b"".join(r.echo.heard)
        await r.proxy.remove(reset)
        async with linked(r.proxy) as link:
            assert await link.echoed(b"after") == b"after"


async def test_a_disabled_proxy_cuts_and_refuses_until_it_is_enabled(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        address = r.proxy.address
        async with linked(r.proxy) as link:
            assert await link.echoed(b"before") == b"before"
            since_s = time.time()
            assert_ordered(await r.proxy.disable(), since_s)
            with contextlib.suppress(ConnectionResetError):
                assert await link.rest() == b""
        assert not (await r.proxy.state()).enabled
        with pytest.raises(ConnectionRefusedError):
            async with linked(r.proxy):
                pytest.fail("connected to a disabled proxy")
        await r.proxy.enable()
        assert r.proxy.address == address
        async with linked(r.proxy) as link:
            assert await link.echoed(b"after") == b"after"


# Healing.


async def test_recreating_heals_what_makes_the_server_panic_otherwise(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        address = r.proxy.address
        await r.proxy.add(Latency(stream="upstream", latency_ms=1))
        await r.proxy.add(SlowClose(stream="upstream", delay_ms=HOUR_MS))
        async with linked(r.proxy) as link:
            assert await link.echoed(b"before") == b"before"
        # The client has gone and its link waits to close: removing both toxics now, and then adding one,
        # is the end of a 2.12.
        since_s = time.time()
        assert_ordered(await r.proxy.recreate(), since_s)
        await r.proxy.add(Latency(stream="upstream", latency_ms=1))
        assert r.proxy.address == address
        async with linked(r.proxy) as link:
            assert await link.echoed(b"after") == b"after"


async def test_resetting_heals_all_of_ours_and_nothing_else(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        slow, off, well = [await r.proxies.create(name, r.echo.address) for name in ("slow", "off", "well")]
        r.ask("/proxies", {"name": "theirs", "upstream": r.echo.address, "listen": "127.0.0.1:0"})
        r.ask("/proxies/theirs/toxics", {"type": "latency", "attributes": {"latency": 1}})
        await slow.add(SlowClose(stream="upstream", delay_ms=HOUR_MS))
        await off.add(Timeout(stream="downstream", timeout_ms=0))
        await off.disable()
        await r.proxy.add(Latency(stream="upstream", latency_ms=HOUR_MS))
        await r.proxy.add(Latency(stream="downstream", latency_ms=HOUR_MS))
        async with linked(well) as kept:
            assert await kept.echoed(b"before") == b"before"
            since_s = time.time()
            assert_ordered(await r.proxies.reset_ours(), since_s)
            assert await kept.echoed(b"after") == b"after"  # its connection was none of their business
        for proxy in (slow, off, r.proxy):
            async with linked(proxy) as link:
                assert await link.echoed(b"after") == b"after"
        assert len(r.ask("/proxies/theirs")["toxics"]) == 1


# What is ours and what is not.


async def test_leaving_removes_ours_and_no_other(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        theirs = {"upstream": "127.0.0.1:1", "listen": "127.0.0.1:0"}
        for name in ("theirs", "r2-theirs"):
            r.ask("/proxies", {"name": name, **theirs})
        async with Proxies(r.toxiproxy.url, prefix="r2") as ours:
            await ours.create("a", r.echo.address)
            await ours.create("b", r.echo.address)
            with pytest.raises(FaultError, match="proxy already exists"):
                await ours.create("theirs", r.echo.address)
            assert set(r.ask("/proxies")) == {"theirs", "r2-theirs", "r2-a", "r2-b", "r1-echo"}
        assert set(r.ask("/proxies")) == {"theirs", "r2-theirs", "r1-echo"}


async def test_two_servers_are_not_mixed_up(tmp_path: Path) -> None:
    async with rig(tmp_path / "one") as one, rig(tmp_path / "two") as two:
        await one.proxy.add(Latency(stream="upstream", latency_ms=1))
        await two.proxy.disable()
        assert (await one.proxy.state()).enabled
        assert (await two.proxy.state()).toxics == ()


async def test_a_proxy_that_somebody_removed_breaks_the_harness(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        async with Proxies(r.toxiproxy.url, prefix="r1") as other:
            await other._run(lambda: other._api.call("", "delete", "/proxies/r1-echo", ""))
        with pytest.raises(HarnessBrokenError, match="somebody removed r1-echo"):
            await r.proxy.add(Latency(stream="upstream", latency_ms=1))


async def test_a_taken_port_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig(tmp_path) as r:
        taken, free = int(r.proxy.address.split(":")[1]), 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free = probe.getsockname()[1]
        monkeypatch.setattr(proxies_module, "PORTS", [taken] * 49 + [free])
        proxy = await r.proxies.create("other", r.echo.address)
        assert proxy.address == f"127.0.0.1:{free}"
        monkeypatch.setattr(proxies_module, "PORTS", [taken] * 50)
        with pytest.raises(HarnessBrokenError, match=r"no free port in .*address already in use"):
            await r.proxies.create("third", r.echo.address)


async def test_a_proxy_of_the_environment_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with rig(tmp_path) as r:
        assert (await r.proxy.state()).enabled


# What is not certain.


async def test_a_port_lost_while_disabled_is_no_success(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        await r.proxy.disable()
        host, port = r.proxy.address.split(":")
        with socket.create_server((host, int(port))):
            with pytest.raises(UnverifiedError, match=r"enabling r1-echo: .* 500: .*address already in use"):
                await r.proxy.enable()
            with pytest.raises(UnverifiedError, match="deleted and not created again") as unverified:
                await r.proxy.recreate()
        assert (unverified.value.proxy, unverified.value.exit_code) == ("r1-echo", 4)
        await r.proxy.recreate()
        async with linked(r.proxy) as link:
            assert await link.echoed(b"after") == b"after"


async def test_a_receiver_that_does_not_read_makes_its_proxy_uncertain_alone(tmp_path: Path) -> None:
    """Toxiproxy waits 25 s for the receiver before it changes its link, and may apply the change later."""
    async with rig(tmp_path) as r:
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            proxy = await r.proxies.create("deaf", "{}:{}".format(*deaf.getsockname()))
            host, port = proxy.address.split(":")
            with socket.create_connection((host, int(port))) as sender:
                sender.setblocking(False)
                looks_full = 0

                async def full() -> int:
                    nonlocal looks_full
                    with contextlib.suppress(BlockingIOError):
                        while sender.send(bytes(65536)):
                            looks_full = 0
                    looks_full += 1
                    return looks_full

                await wait_until(
                    full, lambda n: n > 20, timeout_s=PATIENCE_S, what="full buffers", every_s=0.01
                )
                asked_s = time.monotonic()
                with pytest.raises(
                    UnverifiedError, match="latency_upstream of r1-deaf: no answer: ReadTimeout"
                ):
                    await proxy.add(Latency(stream="upstream", latency_ms=1))
                assert time.monotonic() - asked_s < CONNECT_S + 2 * READ_S
                await r.proxy.add(Latency(stream="upstream", latency_ms=1))
                await proxy.recreate()
                assert (await proxy.state()).toxics == ()


async def test_a_paused_server_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        os.kill(r.toxiproxy.pid, signal.SIGSTOP)
        asked_s = time.monotonic()
        with pytest.raises(
            HarnessBrokenError, match=r"does not answer at http://127\.[\d.]+:\d+: ReadTimeout"
        ):
            await r.proxy.disable()
        assert time.monotonic() - asked_s < 2 * (CONNECT_S + READ_S)
        os.kill(r.toxiproxy.pid, signal.SIGCONT)


async def test_a_killed_server_is_one_error(tmp_path: Path) -> None:
    async def lose_it() -> None:
        async with rig(tmp_path) as r:
            os.kill(r.toxiproxy.pid, signal.SIGKILL)
            while True:
                await r.proxy.state()

    with pytest.raises(HarnessBrokenError, match=r"does not answer|was killed by signal 9"):
        await lose_it()
