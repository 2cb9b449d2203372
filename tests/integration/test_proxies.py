"""Proxies: whose they are, how they are healed, and what is not certain of them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from tests.integration.rigs import HOUR_MS, PATIENCE_S, assert_ordered, linked, rig

from squall.bus.tasks import wait_until
from squall.chaos.errors import FaultError, HarnessBrokenError, UnverifiedError
from squall.chaos.inject.toxiproxy import proxies as proxies_module
from squall.chaos.inject.toxiproxy.api import CONNECT_S, READ_S
from squall.chaos.inject.toxiproxy.proxies import Proxies
from squall.chaos.inject.toxiproxy.toxics import (
    Latency,
    SlowClose,
    Timeout,
)

pytestmark = [pytest.mark.anyio, pytest.mark.toxiproxy]


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
