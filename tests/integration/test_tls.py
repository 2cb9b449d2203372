"""A broker over TLS: real ones work, and one that proves nothing is told nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from squall.bus import tls
from squall.bus.broker import Broker
from squall.bus.connection import connect
from squall.bus.errors import NotConnectedError, UntrustedBrokerError
from squall.bus.guard import Guard
from squall.bus.identity import Authority, Credentials
from squall.bus.tasks import wait_until
from squall.bus.topology.hierarchical import hierarchical

OPENSSL = shutil.which("openssl")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.nats,
    pytest.mark.skipif(OPENSSL is None, reason="makes its certificates with openssl"),
]

LOOPS = [
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]
"""The command runs on asyncio, nodes on uvloop, whose TLS is its own."""

SQUALL = Path(sys.executable).parent / "squall"

INFO = {
    "server_id": "X",
    "version": "2.15.1",
    "proto": 1,
    "headers": True,
    "max_payload": 1048576,
    "nonce": "n",
}


@dataclass(frozen=True)
class Certificates:
    """A certificate authority, and certificates of it, each with its key, as files."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def of(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """``good`` is for localhost and 127.0.0.1, ``other`` for another host, ``expired`` is over."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        assert OPENSSL is not None
        subprocess.run([OPENSSL, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    names = {
        "good": ("DNS:localhost,IP:127.0.0.1", "2"),
        "other": ("DNS:broker.example", "2"),
        "expired": ("DNS:localhost,IP:127.0.0.1", "-1"),
    }
    for name in ("ca", "self-signed", *names):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    openssl("req", "-x509", "-key", "ca.key", "-subj", "/CN=tests", "-days", "2", *usage, "-out", "ca.pem")
    alone = ["-subj", "/CN=localhost", "-addext", f"subjectAltName={names['good'][0]}", "-days", "2"]
    openssl("req", "-x509", "-key", "self-signed.key", *alone, "-out", "self-signed.pem")
    for name, (hosts, days) in names.items():
        openssl("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
        (folder / f"{name}.ext").write_text(f"subjectAltName={hosts}\nauthorityKeyIdentifier=keyid\n")
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", days]
        openssl(
            "x509", "-req", "-in", f"{name}.csr", *signing, "-extfile", f"{name}.ext", "-out", f"{name}.pem"
        )
    return Certificates(folder)


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch, certificates: Certificates) -> None:
    monkeypatch.setenv(tls.CA_ENV, str(certificates.ca))


@contextlib.asynccontextmanager
async def serving(
    folder: Path, certificates: Certificates, name: str = "good", options: str = "", config: str = ""
) -> AsyncIterator[int]:
    """A real nats-server with TLS; its port."""
    certificate, key = certificates.of(name)

    async def listens(url: str) -> None:
        """That it listens is enough."""

    text = f'tls {{\n  cert_file: "{certificate}"\n  key_file: "{key}"\n  {options}\n}}\n{config}'
    async with (
        Guard() as guard,
        Broker.running(
            folder / "broker", lambda: text, guard=guard, log=folder / "log", probe=listens
        ) as broker,
    ):
        yield int(broker.url.rsplit(":", 1)[1])


async def speak(url: str, credentials: Credentials | None = None) -> None:
    """Connect, and hear one's own words."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    async with connect(url, "looker", credentials) as connection:
        subject = f"{connection.inbox}.x" if credentials is None else "sw.squall.in.task.x"
        if credentials is None:
            await connection.subscribe(subject, lambda message: heard.put_nowait(message.data))
            await connection.publish(subject, b"hello")
            assert await heard.get() == b"hello"


# Real servers.


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(
    ("options", "config"),
    [
        ("", ""),
        ("handshake_first: true", ""),
        ('handshake_first: "auto"', ""),
        ("", "allow_non_tls: true"),
    ],
    ids=["INFO first", "handshake first", "either", "TLS is offered, not required"],
)
@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_every_way_in_which_nats_server_does_tls_works(
    tmp_path: Path, certificates: Certificates, options: str, config: str
) -> None:
    async with serving(tmp_path, certificates, options=options, config=config) as port:
        await speak(f"tls://localhost:{port}")
        await speak(f"tls://127.0.0.1:{port}")


@pytest.mark.usefixtures("trusting")
async def test_credentials_are_accepted_over_tls(tmp_path: Path, certificates: Certificates) -> None:
    authority = Authority.create(hierarchical("squall", agents=1))
    config = authority.server_config(tmp_path / "broker" / "jwt")
    async with serving(tmp_path, certificates, config=config) as port:
        await speak(f"tls://localhost:{port}", authority.credentials("observer", 60))


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other", "does not hold: .*127.0.0.1"),
        ("expired", "does not hold: certificate has expired"),
        ("self-signed", "does not hold: self-signed certificate"),
    ],
)
@pytest.mark.parametrize("anyio_backend", LOOPS)
async def test_a_certificate_that_does_not_hold_is_refused(
    tmp_path: Path, certificates: Certificates, name: str, words: str
) -> None:
    async with serving(tmp_path, certificates, name) as port:
        with pytest.raises(UntrustedBrokerError, match=words) as refused:
            await speak(f"tls://127.0.0.1:{port}")
    assert tls.CA_ENV in refused.value.remedy


async def test_without_its_authority_a_broker_is_refused(tmp_path: Path, certificates: Certificates) -> None:
    async with serving(tmp_path, certificates) as port:
        with pytest.raises(UntrustedBrokerError, match="unable to get local issuer certificate"):
            await speak(f"tls://localhost:{port}")


async def test_an_authority_may_also_be_named_as_openssl_does(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    async with serving(tmp_path, certificates) as port:
        await speak(f"tls://localhost:{port}")


async def test_an_authority_that_cannot_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    async with Impostor(info(tls_required=True)).running() as impostor:
        for path in (tmp_path / "none.pem", tmp_path / "nowhere.pem", tmp_path):
            monkeypatch.setenv(tls.CA_ENV, str(path))
            with pytest.raises(UntrustedBrokerError, match="no file of certificates"):
                await speak(f"tls://127.0.0.1:{impostor.port}")


@pytest.mark.usefixtures("trusting")
async def test_a_server_without_tls_is_told_nothing(tmp_path: Path) -> None:
    async def listens(url: str) -> None:
        """That it listens is enough."""

    async with (
        Guard() as guard,
        Broker.running(tmp_path / "b", str, guard=guard, log=tmp_path / "log", probe=listens) as broker,
    ):
        with pytest.raises(UntrustedBrokerError, match="offers no TLS, so nothing was sent"):
            await speak(broker.url.replace("nats://", "tls://"))


# Servers that are not what they ought to be.


class Impostor:
    """Says what it is given to whoever connects, and keeps what it is told."""

    def __init__(self, greeting: bytes, answer: Callable[[bytes], bytes] = lambda _: b"") -> None:
        self._greeting = greeting
        self._answer = answer
        self.told = b""
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(self._greeting)
            while data := await reader.read(65536):
                self.told += data
                writer.write(self._answer(data))
        writer.close()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Impostor]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()


def info(**fields: object) -> bytes:
    return b"INFO " + json.dumps(INFO | fields).encode() + b"\r\n"


IN_THE_CLEAR = (b"CONNECT", b"jwt", b"sig", b"PING", b"eyJ")


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(
    "greeting",
    [
        pytest.param(info(), id="the offer is removed"),
        pytest.param(info(tls_required=False), id="the offer is denied"),
        pytest.param(info(tls_required=False, tls_available=False), id="all offers are denied"),
        pytest.param(info(tls_required="true"), id="no boolean"),
        pytest.param(info(tls_required=False) + info(tls_required=True), id="two minds"),
        pytest.param(b"INFO []\r\n", id="no object"),
        pytest.param(b"INFO {\r\n", id="no JSON"),
        pytest.param(b"INFO " + b"[" * 60_000 + b"\r\n", id="deep"),
        pytest.param(b"PING\r\n" + info(), id="another word first"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="no broker"),
        pytest.param(b"x" * 1_000_000, id="no end"),
        pytest.param(info(tls_required=True), id="says TLS and does not do it"),
        pytest.param(info(tls_required=True) + b"+OK\r\nPONG\r\n", id="says TLS and goes on in clear"),
        pytest.param(b"", id="silent"),
        pytest.param(b"INFO {", id="half a line"),
    ],
)
async def test_connect_never_arrives_at_a_server_that_strips_tls(greeting: bytes) -> None:
    authority = Authority.create(hierarchical("squall", agents=1))
    credentials = authority.credentials("observer", 60)
    # Whatever comes is answered as a server in clear text would: a CONNECT would go through.
    async with Impostor(greeting, lambda _: b"PONG\r\n").running() as impostor:
        with pytest.raises(NotConnectedError):
            async with connect(f"tls://127.0.0.1:{impostor.port}", "looker", credentials):
                pytest.fail("connected")
        assert not any(word in impostor.told for word in IN_THE_CLEAR)


@pytest.mark.usefixtures("trusting")
async def test_nothing_is_sent_when_the_way_is_stripped_at_a_reconnect(
    tmp_path: Path, certificates: Certificates
) -> None:
    """A relay passes TLS first; then it cuts the connection, and strips the offer from every INFO."""
    stripping = asyncio.Event()
    told: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []
    async with serving(tmp_path, certificates) as port:

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: bool) -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    if keep and stripping.is_set():
                        told.append(data)
                    if not keep and stripping.is_set():
                        data = data.replace(b'"tls_required":true', b'"tls_required":false')
                    writer.write(data)
            writer.close()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            theirs, ours = await asyncio.open_connection("127.0.0.1", port)
            writers.extend((writer, ours))
            if stripping.is_set():
                told.append(b"")
            await asyncio.gather(pass_on(reader, ours, True), pass_on(theirs, writer, False))

        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        url = f"tls://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with connect(url, "looker") as connection:
            stripping.set()
            for writer in writers:
                writer.transport.abort()

            async def tries() -> int:
                return len(told)

            await wait_until(tries, lambda count: count >= 3, timeout_s=30.0, what="three tries")
            assert not any(word in data for data in told for word in IN_THE_CLEAR)
            assert connection.counters["reconnects"] == 0
        server.close()


async def test_a_transport_writes_nothing_before_the_handshake() -> None:
    transport = tls.TlsTransport()
    for write in (lambda: transport.write(b"CONNECT {}\r\n"), lambda: transport.writelines([b"x"])):
        with pytest.raises(UntrustedBrokerError):
            write()
    with pytest.raises(UntrustedBrokerError):
        await transport.connect_tls("localhost", ssl.create_default_context(), 0, 1)


# The command.


async def squall(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SQUALL, "run", "./swarm.toml", "--json", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    (folder / "swarm.toml").write_text("tasks = 100\nrate_per_s = 200\nagents = 2\npause_leader = false\n")
    return await asyncio.to_thread(run)


def error_of(done: subprocess.CompletedProcess[str], code: int) -> dict[str, str]:
    assert done.returncode == code, done.stderr
    error: dict[str, str] = json.loads(done.stdout)["error"]
    assert done.stderr.splitlines()[-1].startswith(f"squall: {error['message']}")
    return error


@pytest.mark.usefixtures("trusting")
async def test_a_swarm_runs_over_tls(tmp_path: Path, certificates: Certificates) -> None:
    async with serving(tmp_path, certificates) as port:
        done = await squall(tmp_path, "--nats", f"tls://localhost:{port}")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["effects"], document["lost"]) == (100, 0)
    assert tls.IN_CLEAR_TEXT not in document["limits"]


async def test_the_command_says_that_a_broker_cannot_be_trusted(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with serving(tmp_path, certificates) as port:
        error = error_of(await squall(tmp_path, "--nats", f"tls://localhost:{port}"), 4)
    assert error["kind"] == "tls"
    assert "does not hold" in error["message"]
    assert tls.CA_ENV in error["remedy"]


@pytest.mark.parametrize("host", ["10.255.255.1", "0.0.0.0", "[fe80::1]", "127.0.0.1.example.invalid"])
async def test_clear_text_beyond_this_machine_is_refused_before_anything_starts(
    tmp_path: Path, host: str
) -> None:
    error = error_of(await squall(tmp_path, "--nats", f"nats://{host}:4222"), 2)
    assert "in clear text" in error["message"]
    assert f"use tls://{host}:4222, or add --insecure-nats" in error["remedy"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "url",
    [
        "TLS://localhost:1",
        "tls ://localhost",
        "tls://local host:1",
        "nats://127.0.0.1\t:1",
        "tls://:1",
        "nats://[::1",
        "tls://a:b",
        "tls://a:0",
    ],
)
async def test_a_url_that_could_be_read_in_two_ways_is_none(tmp_path: Path, url: str) -> None:
    assert "is no NATS URL" in error_of(await squall(tmp_path, "--nats", url), 2)["message"]


async def test_clear_text_that_was_asked_for_is_a_limit_of_the_run(tmp_path: Path) -> None:
    """0.0.0.0 is this machine, and spelled as if it were not."""

    async def listens(url: str) -> None:
        """That it listens is enough."""

    async with (
        Guard() as guard,
        Broker.running(tmp_path / "b", str, guard=guard, log=tmp_path / "log", probe=listens) as broker,
    ):
        url = broker.url.replace("127.0.0.1", "0.0.0.0")
        done = await squall(tmp_path, "--nats", url, "--insecure-nats")
    assert done.returncode == 0, done.stderr
    assert tls.IN_CLEAR_TEXT in json.loads(done.stdout)["limits"]
