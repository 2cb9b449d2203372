"""Who is who on the bus: an operator, its accounts, and credentials for each node.

    operator ─┬─ SYS
              ├─ CORE      JetStream; a signing key for each role ──► credentials of its nodes
              └─ agent-1…  no JetStream, its imports only; one signing key ──► its credentials

A signing key is scoped: the broker itself applies the permissions that the
account lists for it, and a user signed by it carries none. The seeds of
operator and accounts never leave the process, so what they signed cannot be
added to once it is gone; the server's configuration holds public keys and
signed claims only.

The claims are JSON Web Tokens as the NATS server wants them, signed by Ed25519.
"""

from __future__ import annotations

import base64
import json
import math
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import nkeys

from squall.bus import subjects
from squall.bus.border import check_name
from squall.bus.topology.model import Permissions, Topology

PAYLOAD_BYTES_MAX = 1024 * 1024
"""The largest message the broker takes, from anybody."""

CONNECTIONS_MAX = 4
"""Connections an isolated node may have at a time.

One in use, one being retired after a renewal, and two that the broker has not yet noticed are dead
(a few seconds after a cut). Higher lets a hijacked node take more of the broker.
"""

_UNLIMITED = -1
_HEADER = b'{"typ":"JWT","alg":"ed25519-nkey"}'


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a node proves its name with. Neither `repr` nor `str` shows the secrets.

    Attributes:
        name: The node.
        jwt: The account's word that the seed's owner is this node.
        seed: The private key; secret.
        inbox: Prefix of the node's private inboxes; cannot be guessed.
        expires_s: When the broker closes connections that use it, in seconds since the epoch; None is never.
    """

    name: str
    jwt: str
    seed: str
    inbox: str
    expires_s: int | None = None

    def __repr__(self) -> str:
        return f"Credentials(name={self.name!r}, expires_s={self.expires_s!r})"

    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # Rich, which prints local variables in tracebacks, asks for this before it asks for repr.
        return [("name", self.name), ("expires_s", self.expires_s)]

    def creds_file(self) -> str:
        """The text of a ``.creds`` file, as the ordinary NATS tools read it."""
        return (
            f"-----BEGIN NATS USER JWT-----\n{self.jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{self.seed}\n------END USER NKEY SEED------\n"
        )


class _Key:
    """A key pair of an operator, an account or a user."""

    __slots__ = ("_pair", "public", "seed")

    def __init__(self, prefix: int) -> None:
        seed = nkeys.encode_seed(os.urandom(32), prefix)
        self._pair = nkeys.from_seed(bytearray(seed))
        self.seed: str = seed.decode()
        self.public: str = bytes(self._pair.public_key).decode()

    def claim(
        self,
        subject: _Key,
        name: str,
        facts: Mapping[str, Any],
        *,
        issued_s: int,
        expires_s: int | None = None,
    ) -> str:
        """A token in which this key says something about another."""
        claims = {"iat": issued_s, "iss": self.public, "name": name, "sub": subject.public, "nats": facts}
        if expires_s is not None:
            claims["exp"] = expires_s
        signed = f"{_base64(_HEADER)}.{_base64(json.dumps(claims, separators=(',', ':')).encode())}"
        return f"{signed}.{_base64(self._pair.sign(signed.encode()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Authority:
    """Says who may connect to the broker of one swarm, and as whom. Made by `create`."""

    def __init__(self, topology: Topology, clock: Callable[[], float]) -> None:
        self._topology = topology
        self._clock = clock
        self._operator = _Key(nkeys.PREFIX_BYTE_OPERATOR)
        self._system = _account_key()
        self._core = _account_key()
        self._signers: dict[str, tuple[_Key, _Key]] = {}  # node → signing key, its account
        self._accounts: dict[str, str] = {}  # public key → claims

        self._add_account(self._system, "SYS", {"limits": _limits()})
        self._add_account(self._core, "CORE", self._core_account())
        for node in topology.nodes:
            if node.isolated:
                key = _account_key()
                self._add_account(key, node.name, self._node_account(node.name, key))

    @classmethod
    def create(cls, topology: Topology, clock: Callable[[], float] = time.time) -> Authority:
        """An authority with fresh keys.

        Args:
            topology: Its nodes get credentials, its permissions and imports are what those are worth.
            clock: Seconds since the epoch, for issue and expiry.
        """
        return cls(topology, clock)

    def _add_account(self, key: _Key, name: str, facts: dict[str, Any]) -> None:
        facts = {"type": "account", "version": 2, **facts}
        self._accounts[key.public] = self._operator.claim(key, name, facts, issued_s=int(self._clock()))

    def _core_account(self) -> dict[str, Any]:
        signing_keys = []
        for role, permissions in self._topology.templates.items():
            signing_key = _account_key()
            signing_keys.append(_scope(signing_key, role, permissions))
            for node in self._topology.of_role(role):
                self._signers[node.name] = signing_key, self._core
        storage = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), _UNLIMITED)
        return {
            "limits": {**_limits(), **storage},
            "signing_keys": signing_keys,
            "exports": [
                {
                    "name": offered.subject,
                    "subject": offered.subject,
                    "type": offered.kind,
                    **(
                        {"response_type": "Stream" if offered.many_answers else "Singleton"}
                        if offered.kind == "service"
                        else {}
                    ),
                }
                for offered in self._topology.exports
            ],
        }

    def _node_account(self, name: str, account: _Key) -> dict[str, Any]:
        signing_key = _account_key()
        self._signers[name] = signing_key, account
        role = self._topology.node(name).role
        return {
            "limits": {**_limits(), "conn": CONNECTIONS_MAX, "leaf": 0},
            "signing_keys": [_scope(signing_key, role, self._topology.permissions[name])],
            "imports": [
                {
                    "name": wanted.subject,
                    "subject": wanted.subject,
                    "account": self._core.public,
                    "type": wanted.kind,
                }
                for wanted in self._topology.imports[name]
            ],
        }

    def server_config(self, jwt_dir: Path) -> str:
        """Configuration text that makes a server obey this authority. Holds nothing secret.

        Args:
            jwt_dir: Where the server may keep the accounts' claims.
        """
        facts = {"type": "operator", "version": 2, "system_account": self._system.public}
        operator = self._operator.claim(self._operator, "OPERATOR", facts, issued_s=int(self._clock()))
        directory = json.dumps(str(jwt_dir), ensure_ascii=False)
        preload = "".join(f"  {public}: {claims}\n" for public, claims in self._accounts.items())
        return (
            f"operator: {operator}\n"
            f"system_account: {self._system.public}\n"
            f"resolver: {{ type: full, dir: {directory} }}\n"
            f"resolver_preload: {{\n{preload}}}\n"
        )

    def credentials(self, node: str, life_s: float | None) -> Credentials:
        """Fresh credentials for a node, with a key of their own.

        Args:
            node: Its name.
            life_s: After so long the broker closes the connections that use them; None is never.

        Raises:
            InvalidNameError: No such node in the topology, or no name at all.
            ValueError: A life of zero or less.
        """
        name = self._topology.node(check_name(node, "node name")).name
        if life_s is not None and life_s <= 0:
            raise ValueError(f"credentials for {name} cannot live {life_s:g} s")
        now_s = self._clock()
        expires_s = None if life_s is None else math.ceil(now_s + life_s)
        signing_key, account = self._signers[name]
        user = _Key(nkeys.PREFIX_BYTE_USER)
        facts = {"type": "user", "version": 2, "issuer_account": account.public}
        return Credentials(
            name=name,
            jwt=signing_key.claim(user, name, facts, issued_s=int(now_s), expires_s=expires_s),
            seed=user.seed,
            inbox=subjects.inbox(name, secrets.token_hex(12)),
            expires_s=expires_s,
        )


def _account_key() -> _Key:
    return _Key(nkeys.PREFIX_BYTE_ACCOUNT)


def _limits() -> dict[str, Any]:
    """An account that may do anything except JetStream, which takes limits of its own."""
    unlimited = dict.fromkeys(("subs", "data", "imports", "exports", "conn", "leaf"), _UNLIMITED)
    return {**unlimited, "payload": PAYLOAD_BYTES_MAX, "wildcards": True, "disallow_bearer": True}


def _scope(key: _Key, role: str, permissions: Permissions) -> dict[str, Any]:
    """A signing key whose users have exactly these permissions.

    The right to answer whoever asks (``resp``) is left out: it ends after a number of messages and a
    time, so a long task would lose it before its ack.
    """
    return {
        "kind": "user_scope",
        "key": key.public,
        "role": role,
        "template": {
            "pub": {"allow": list(permissions.publish)},
            "sub": {"allow": list(permissions.subscribe)},
            "subs": _UNLIMITED,
            "data": _UNLIMITED,
            "payload": PAYLOAD_BYTES_MAX,
        },
    }
