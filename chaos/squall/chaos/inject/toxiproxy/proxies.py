"""Proxies of a toxiproxy-server: made, changed, read back, removed.

    await ──► one worker thread: change ──► acknowledged ──► read back ──► compared ──► Change

One thread for all calls keeps faults in order, and a call that is stuck blocks
nobody else.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from squall.bus.border import printable
from squall.chaos.errors import ChaosError, FaultError, HarnessBrokenError, UnverifiedError
from squall.chaos.inject.toxiproxy.access import Access
from squall.chaos.inject.toxiproxy.api import Api, Method, PortInUseError
from squall.chaos.inject.toxiproxy.proxy_state import ProxyState, ToxicState, differences
from squall.chaos.inject.toxiproxy.toxics import SlowClose, Toxic, validate

HOST = "127.0.0.1"

PORTS = range(20_000, 30_000)
"""Where proxies listen: below the ports that clients are given, one of which could otherwise take the port of
a proxy that is disabled for a while."""

PORTS_TRIED_MAX = 50

_NAME = re.compile(r"[A-Za-z0-9_-]+")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change:
    """When a change was made, in seconds since the epoch.

    Attributes:
        sent_s: It was not in force before.
        acknowledged_s: The server said that it is in force.
        verified_s: It was read back as it was asked for.
    """

    sent_s: float
    acknowledged_s: float
    verified_s: float


class Proxies:
    """The proxies of one run, removed in the end; no other proxy is ever touched."""

    def __init__(self, url: str, *, prefix: str, access: Access | None = None) -> None:
        """
        Args:
            url: Of the server's API.
            access: Told of each request, and names the harness in it.
            prefix: Begins the name of each proxy; letters, digits, dashes and underscores.

        Raises:
            FaultError: The prefix cannot be part of a name.
        """
        self._prefix = _checked("prefix", prefix)
        self._api = Api(url, access)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="toxiproxy")
        self._made: dict[str, Proxy] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # One job, so that it goes on in its thread where this wait is cancelled.
            await self._run(self._remove_all)
        except ChaosError:
            if error is None:
                raise
        finally:
            self._worker.shutdown(wait=False)

    async def create(self, name: str, upstream: str, host: str = HOST) -> Proxy:
        """A new proxy, enabled and without toxics.

        Args:
            name: Of the node behind it; the prefix is put before it.
            upstream: Where it leads, as ``host:port``.
            host: The address of this machine at which it listens.

        Raises:
            FaultError: The name cannot be one, or is in use.
            UnverifiedError: It may exist, or not.
            HarnessBrokenError: The server does not answer.
        """
        proxy = Proxy(self, f"{self._prefix}-{_checked('name', name)}", upstream, host)
        await self._run(lambda: self._create(proxy))
        return proxy

    async def reset_ours(self) -> Change:
        """Heal every proxy: enabled, and no toxics.

        Raises:
            UnverifiedError: Something may be left; the other proxies are healed all the same.
            HarnessBrokenError: The server does not answer.
        """
        return await self._run(self._reset_all)

    async def differences(self) -> list[str]:
        """What the server has other than as it was told by us, each in words.

        Raises:
            UnverifiedError, HarnessBrokenError: It does not say.
        """
        return await self._run(self._differences)

    # In the worker thread.

    def _differences(self) -> list[str]:
        what = "reading all proxies"
        answer = self._api.call(self._prefix, "get", "/proxies", what)
        try:
            there = msgspec.json.decode(answer, type=dict[str, ProxyState])
        except msgspec.DecodeError as error:
            raise UnverifiedError(self._prefix, f"{what}: the answer is none: {error}") from error
        ours = {proxy.name: proxy for proxy in self._made.values()}
        found = [
            f"there is a proxy {printable(name, 60)} of somebody else's, which leads from "
            f"{printable(state.listen, 60)} to {printable(state.upstream, 60)}"
            for name, state in there.items()
            if name not in ours
        ]
        for name, proxy in ours.items():
            found += proxy._differences(there.get(name))
        return found

    async def _run(self, job: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, job)

    def _create(self, proxy: Proxy) -> None:
        if proxy.name in self._made:
            raise FaultError(f"there is a proxy {proxy.name} already", "choose another name")
        ports = random.sample(PORTS, PORTS_TRIED_MAX)
        for last, port in enumerate(ports, start=1 - len(ports)):
            proxy.address = f"{proxy.host}:{port}"
            self._made[proxy.name] = proxy  # before it is: the answer may be lost
            try:
                proxy._create()
            except PortInUseError as error:
                del self._made[proxy.name]
                if last == 0:
                    raise HarnessBrokenError(f"no free port in {PORTS}: {error}") from error
            except FaultError:
                del self._made[proxy.name]  # one of that name is somebody else's
                raise
            else:
                return

    def _reset_all(self) -> Change:
        sent_s = time.time()
        changes = self._each(lambda proxy: proxy._heal())
        return Change(
            sent_s,
            max((change.acknowledged_s for change in changes), default=sent_s),
            max((change.verified_s for change in changes), default=sent_s),
        )

    def _remove_all(self) -> None:
        self._each(lambda proxy: proxy._delete())
        self._made.clear()

    def _each(self, act: Callable[[Proxy], T]) -> list[T]:
        """Do it to all of ours; one that is stuck does not spare the others."""
        results: list[T] = []
        failed: UnverifiedError | None = None
        for proxy in list(self._made.values()):
            try:
                results.append(act(proxy))
            except UnverifiedError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return results


class Proxy:
    """One proxy, and the changes to it. Made by `Proxies.create`.

    Each change returns once it was read back, and raises:

    - FaultError: it cannot be asked for; nothing was changed.
    - UnverifiedError: it may be in force, or may yet come.
    - HarnessBrokenError: the server does not answer, or somebody removed the proxy.

    Attributes:
        name: The prefix and the node.
        upstream: Where it leads.
        host: The address of this machine at which it listens.
        address: The same with its port; the same over all changes.
    """

    def __init__(self, proxies: Proxies, name: str, upstream: str, host: str) -> None:
        self._proxies = proxies
        self._api = proxies._api
        self._path = f"/proxies/{name}"
        self._toxics: dict[str, ToxicState] = {}
        self._enabled = True
        self._certain = False
        self.name = name
        self.upstream = upstream
        self.host = host
        self.address = ""

    async def differences(self) -> list[str]:
        """How it is other than as it was told to be, each in words; nothing while a change is uncertain.

        Raises:
            UnverifiedError, HarnessBrokenError: The server does not say.
        """
        return await self._proxies._run(lambda: self._differences(self._state()))

    async def state(self) -> ProxyState:
        """What the server says of it."""
        return await self._proxies._run(self._state)

    async def add(self, toxic: Toxic) -> Change:
        """Add a toxic, behind the others of its direction."""
        validate(toxic)
        return await self._proxies._run(lambda: self._put(toxic, f"{self._path}/toxics"))

    async def update(self, toxic: Toxic) -> Change:
        """Change the toxic of that type and direction."""
        validate(toxic)
        return await self._proxies._run(lambda: self._put(toxic, f"{self._path}/toxics/{toxic.name}"))

    async def remove(self, toxic: Toxic) -> Change:
        """Remove the toxic of that type and direction; it may be gone already."""
        return await self._proxies._run(lambda: self._remove(toxic.name))

    async def enable(self) -> Change:
        """Listen again. The toxics are still there."""
        return await self._proxies._run(lambda: self._enable(True))

    async def disable(self) -> Change:
        """Refuse connections, and close those there are."""
        return await self._proxies._run(lambda: self._enable(False))

    async def recreate(self) -> Change:
        """Delete it, and create it at the same address: certain to heal, and closes its connections."""
        return await self._proxies._run(self._recreate)

    # In the worker thread.

    def _state(self) -> ProxyState:
        what = f"reading {self.name}"
        answer = self._call("get", self._path, what)
        try:
            return msgspec.json.decode(answer, type=ProxyState)
        except msgspec.DecodeError as error:
            raise UnverifiedError(self.name, f"{what}: the answer is no proxy: {error}") from error

    def _differences(self, state: ProxyState | None) -> list[str]:
        if not self._certain:
            return []
        wanted = ProxyState(
            self.name, self.address, self.upstream, self._enabled, tuple(self._toxics.values())
        )
        return differences(wanted, state)

    def _put(self, toxic: Toxic, path: str) -> Change:
        wanted = ToxicState(toxic.name, toxic.type, toxic.stream, float(toxic.toxicity), toxic.attributes())
        what = f"{toxic.name} of {self.name}"
        return self._change(
            what,
            lambda: self._call("post", path, what, msgspec.structs.asdict(wanted)),
            lambda state: wanted in state.toxics,
            lambda: self._toxics.update({toxic.name: wanted}),
        )

    def _remove(self, toxic: str) -> Change:
        what = f"removing {toxic} of {self.name}"
        return self._change(
            what,
            lambda: self._call("delete", f"{self._path}/toxics/{toxic}", what),
            lambda state: all(other.name != toxic for other in state.toxics),
            lambda: self._toxics.pop(toxic, None),
        )

    def _enable(self, enabled: bool) -> Change:
        what = f"{'enabling' if enabled else 'disabling'} {self.name}"
        return self._change(
            what,
            lambda: self._call("post", self._path, what, {"enabled": enabled}),
            lambda state: state.enabled is enabled and state.listen == self.address,
            lambda: setattr(self, "_enabled", enabled),
        )

    def _create(self) -> Change:
        what = f"creating {self.name}"
        wanted = ProxyState(self.name, self.address, self.upstream, True, ())
        body = {"name": self.name, "listen": self.address, "upstream": self.upstream, "enabled": True}
        self._toxics, self._enabled = {}, True
        created = self._change(
            what,
            lambda: self._call("post", "/proxies", what, body),
            lambda state: state == wanted,
            lambda: None,
        )
        self._certain = True
        return created

    def _delete(self) -> None:
        self._call("delete", self._path, f"deleting {self.name}")

    def _recreate(self) -> Change:
        sent_s = time.time()
        self._certain = False
        self._delete()
        try:
            created = self._create()
        except PortInUseError as error:
            raise UnverifiedError(
                self.name, f"{self.name} was deleted and not created again: {error}"
            ) from error
        return Change(sent_s, created.acknowledged_s, created.verified_s)

    def _heal(self) -> Change:
        """Enabled and without toxics, closing as few connections as can be."""
        sent_s = time.time()
        state = self._state()
        if any(toxic.type == SlowClose.type for toxic in state.toxics):
            return self._recreate()
        changes = [self._remove(toxic.name) for toxic in state.toxics]
        if not state.enabled:
            changes.append(self._enable(True))
        if not changes:
            return Change(sent_s, sent_s, time.time())
        return Change(sent_s, changes[-1].acknowledged_s, changes[-1].verified_s)

    def _change(
        self,
        what: str,
        send: Callable[[], object],
        good: Callable[[ProxyState], bool],
        note: Callable[[], object],
    ) -> Change:
        """Make a change, read it back, and note what is to be seen from then on."""
        certain, self._certain = self._certain, False
        sent_s = time.time()
        try:
            send()
        except FaultError:
            self._certain = certain  # nothing was changed
            raise
        acknowledged_s = time.time()
        state = self._state()
        if not good(state):
            raise UnverifiedError(self.name, f"{what} was acknowledged, and read back as {state}")
        note()
        self._certain = certain
        return Change(sent_s, acknowledged_s, time.time())

    def _call(self, method: Method, path: str, what: str, body: Mapping[str, object] | None = None) -> bytes:
        return self._api.call(self.name, method, path, what, body)


def _checked(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise FaultError(
            f"the {what} {name!r} holds something other than letters, digits, dashes, underscores"
        )
    return name
