"""Every toxic is what was asked for, and is felt: traffic flows, the toxic acts, healing restores."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import msgspec
import pytest
from tests.integration.rigs import HOUR_MS, assert_ordered, echo_ended, linked, rig

from squall.chaos.errors import FaultError
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
