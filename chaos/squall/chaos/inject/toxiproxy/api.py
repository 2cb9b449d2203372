"""The API of a toxiproxy-server: a call, its deadline, its errors. The one door to Toxiproxy's client.

Of the client only its calls are used: what it adds to them asks for all proxies
first, drops the answers and knows no deadline.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import requests
from toxiproxy.api import APIConsumer
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from squall.chaos.errors import FaultError, HarnessBrokenError, UnverifiedError
from squall.chaos.inject.toxiproxy.access import Access

CONNECT_S = 1.0
READ_S = 3.0
"""How long the server may take to answer. It takes milliseconds, but where a receiver does not read it would
wait for 25 s, and nobody knows what becomes of the change."""

Method = Literal["get", "post", "delete"]


class PortInUseError(Exception):
    """Another program listens there."""


class Api:
    """The server's API, deadlines and errors included. Blocks.

    The client keeps its server's address on a class, for everybody in the process. A subclass keeps ours to
    ourselves; others may use the client beside us.
    """

    def __init__(self, url: str, access: Access | None) -> None:
        address = urlsplit(url)
        self._url = url
        self._access = access
        self._consumer: Any = type(
            "Consumer", (APIConsumer,), {"host": address.hostname, "port": address.port}
        )

    def call(
        self, proxy: str, method: Method, path: str, what: str, body: Mapping[str, object] | None = None
    ) -> bytes:
        """What the server answers; deleting what is not there succeeds."""
        try:
            response = self._ask(method, path, body)
        except requests.RequestException as error:
            self._check_alive()
            raise UnverifiedError(proxy, f"{what}: no answer: {type(error).__name__}") from error
        except NotFound as error:
            if method == "delete":
                return b""
            if "proxy not found" in _complaint(error.args[0]):
                raise HarnessBrokenError(f"{what}: somebody removed {proxy} from {self._url}") from error
            raise FaultError(f"{what}: {_complaint(error.args[0])}") from error
        except (InvalidToxic, ProxyExists) as error:
            raise FaultError(f"{what}: {_complaint(error.args[0])}") from error
        content: bytes = response.content
        if response.ok:
            return content
        complaint = _complaint(content)
        if "address already in use" in complaint and path == "/proxies":
            raise PortInUseError(complaint)
        raise UnverifiedError(proxy, f"{what}: answered with {response.status_code}: {complaint}")

    def _ask(self, method: Method, path: str, body: Mapping[str, object] | None = None) -> Any:
        options: dict[str, object] = {
            "timeout": (CONNECT_S, READ_S),
            # An HTTP proxy that the environment names has no business between us and this machine.
            "proxies": {"no_proxy": str(self._consumer.host)},
        }
        if self._access is not None:
            options["headers"] = {"User-Agent": self._access.agent}
            self._access.sending()
        if body is not None:
            options["json"] = body
        return getattr(self._consumer, method)(path, **options)

    def _check_alive(self) -> None:
        """A stuck proxy makes its own changes uncertain; a server that says nothing is another matter."""
        try:
            self._ask("get", "/version")
        except requests.RequestException as error:
            raise HarnessBrokenError(
                f"Toxiproxy does not answer at {self._url}: {type(error).__name__}"
            ) from error


def _complaint(content: bytes) -> str:
    """What an answer says went wrong: JSON, unless a handler ran out of its time."""
    with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
        return str(msgspec.json.decode(content)["error"])
    return content[:200].decode(errors="replace")
