"""TLS to a broker: nothing is written to it before it has proved who it is.

    tls://host ──► connect ──► INFO says TLS ──────────────┐
                      │        (or the server is silent:   ├──► handshake, certificate, name ──► CONNECT
                      │        it wants the handshake first)┘
                      └──► INFO says no TLS ──► UntrustedBrokerError

nats-py goes over to TLS only if the server's INFO, which is in clear text, asks for it; whoever can change
that one line gets CONNECT, with the token and its signature, in clear text. `TlsTransport` takes the decision
away from it: what it writes before the handshake is refused.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult, urlsplit

from nats.aio.transport import TcpTransport

from squall.bus.border import printable
from squall.bus.errors import UntrustedBrokerError

CA_ENV = "NATS_CA"
"""Names a file of certificates to trust instead of the system's, which ``SSL_CERT_FILE`` may replace too."""

INFO_S = 1.0
"""How long a server may be silent before it counts as one that wants the handshake first.

nats-server sends INFO at once, or after 50 ms with ``handshake_first: auto``. A longer wait lengthens every
connect to a server with ``handshake_first: true`` by as much.
"""

HANDSHAKE_S = 3.0
"""Together with `INFO_S` shorter than a connect may take, so that what went wrong can be said."""

INFO_BYTES_MAX = 64 * 1024

IN_CLEAR_TEXT = "no TLS to the broker: credentials' signatures and all traffic travel in clear text"

_TRUST = f"name the file of its certificate authority in {CA_ENV}, or correct the name in the URL"


def is_clear_text(url: str) -> bool:
    """Whether what is said to this URL passes a network without TLS."""
    parts = urlsplit(url)
    return parts.scheme != "tls" and not is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its spelling alone: what a name server says is not asked."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def trusted() -> ssl.SSLContext:
    """What verifies a broker: its certificate, and that it is for the host of the URL.

    Raises:
        UntrustedBrokerError: ``NATS_CA`` names no file of certificates.
    """
    named = os.environ.get(CA_ENV)
    if not named:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=Path(named).read_text())
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise UntrustedBrokerError(
            named,
            f"{CA_ENV} names {named}, which is no file of certificates that can be read",
            "name a file in PEM format, or unset it",
        ) from error


class TlsTransport(TcpTransport):
    """A transport of nats-py that is in TLS, or has written nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._url: ParseResult
        self._secured = False

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Connect without TLS yet: what is raised here, nats-py takes for a reason to try again."""
        self._url = uri
        await super().connect(uri, INFO_BYTES_MAX, connect_timeout)

    async def readline(self) -> bytes:
        """A line that came through TLS; INFO, which nats-py asks for first, may have come before it.

        Raises:
            UntrustedBrokerError: The server offers no TLS, or its certificate does not hold.
            OSError: It closed the connection.
        """
        if not self._secured:
            info = await self._info()
            await self._shake_hands()
            if info:
                return info
        return bytes(await super().readline())

    async def _info(self) -> bytes:
        """INFO of a server that offers TLS; empty if it is silent: it may want the handshake first."""
        assert self._bare_io_reader is not None
        url, place = self._url.geturl(), self._url.netloc
        try:
            line = await asyncio.wait_for(self._bare_io_reader.readline(), INFO_S)
        except TimeoutError:
            return b""
        except ValueError as error:
            raise UntrustedBrokerError(url, f"what answers at {place} is no NATS broker") from error
        if not line:
            raise ConnectionResetError("it closed the connection")
        if not _offers_tls(line):
            raise UntrustedBrokerError(
                url,
                f"the broker at {place} offers no TLS, so nothing was sent to it",
                "use a broker with TLS; somebody on the way may have removed its offer",
            )
        return line

    async def _shake_hands(self) -> None:
        url, place = self._url.geturl(), self._url.netloc
        context = trusted()
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await super().connect_tls(str(self._url.hostname), context, 0, int(HANDSHAKE_S) + 1)
        except ssl.SSLCertVerificationError as error:
            why = printable(error.verify_message.rstrip(".")) or "not verified"
            raise UntrustedBrokerError(
                url, f"the certificate of the broker at {place} does not hold: {why}", _TRUST
            ) from error
        except OSError as error:  # ssl.SSLError, TimeoutError and ConnectionError are among them
            why = getattr(error, "reason", None) or type(error).__name__
            raise UntrustedBrokerError(
                url,
                f"the broker at {place} did not complete a TLS handshake ({printable(str(why))})",
                "use a broker with TLS 1.2 or newer",
            ) from error
        self._secured = True

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        """What INFO asks nats-py for was done while it connected."""
        self._check()

    def write(self, payload: bytes) -> None:
        self._check()
        super().write(payload)

    def writelines(self, payload: list[bytes]) -> None:
        self._check()
        super().writelines(payload)

    async def wait_closed(self) -> None:
        # After a handshake that failed, asyncio tells no stream that its connection is closed.
        if self._secured:
            await super().wait_closed()

    def __bool__(self) -> bool:
        """True also before it is connected: nats-py would make a transport of its own."""
        return True

    def _check(self) -> None:
        if not self._secured:
            raise UntrustedBrokerError("connect", "nothing is sent before the TLS handshake")


def _offers_tls(line: bytes) -> bool:
    """Whether a line is an INFO that asks for TLS or offers it."""
    if not line.startswith(b"INFO "):
        return False
    try:
        info: Any = json.loads(line[5:])
    except (ValueError, RecursionError):
        return False
    return isinstance(info, dict) and (info.get("tls_required") is True or info.get("tls_available") is True)
