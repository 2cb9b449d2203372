"""Keys, and what one key says of another: the claims that a nats-server believes.

The claims are JSON Web Tokens as the NATS server wants them, signed by Ed25519.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from typing import Any

import nkeys

from squall.bus.topology.rights import Permissions

PAYLOAD_BYTES_MAX = 1024 * 1024
"""The largest message the broker takes, from anybody."""

UNLIMITED = -1
_HEADER = b'{"typ":"JWT","alg":"ed25519-nkey"}'


class Key:
    """A key pair of an operator, an account or a user."""

    __slots__ = ("_pair", "public", "seed")

    def __init__(self, prefix: int) -> None:
        seed = nkeys.encode_seed(os.urandom(32), prefix)
        self._pair = nkeys.from_seed(bytearray(seed))
        self.seed: str = seed.decode()
        self.public: str = bytes(self._pair.public_key).decode()

    def claim(
        self,
        subject: Key,
        name: str,
        facts: Mapping[str, Any],
        *,
        issued_s: int,
        expires_s: int | None = None,
    ) -> str:
        """A token in which this key says something about another."""
        claims = {
            "jti": secrets.token_hex(16),
            "iat": issued_s,
            "iss": self.public,
            "name": name,
            "sub": subject.public,
            "nats": facts,
        }
        if expires_s is not None:
            claims["exp"] = expires_s
        signed = f"{_base64(_HEADER)}.{_base64(json.dumps(claims, separators=(',', ':')).encode())}"
        return f"{signed}.{_base64(self._pair.sign(signed.encode()))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def operator_key() -> Key:
    """A fresh key of an operator."""
    return Key(nkeys.PREFIX_BYTE_OPERATOR)


def user_key() -> Key:
    """A fresh key of one who connects."""
    return Key(nkeys.PREFIX_BYTE_USER)


def account_key() -> Key:
    """A fresh key of an account, or of who signs for one."""
    return Key(nkeys.PREFIX_BYTE_ACCOUNT)


def limits() -> dict[str, Any]:
    """An account that may do anything except JetStream, which takes limits of its own."""
    unlimited = dict.fromkeys(("subs", "data", "imports", "exports", "conn", "leaf"), UNLIMITED)
    return {**unlimited, "payload": PAYLOAD_BYTES_MAX, "wildcards": True, "disallow_bearer": True}


def scope(key: Key, role: str, permissions: Permissions) -> dict[str, Any]:
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
            "subs": UNLIMITED,
            "data": UNLIMITED,
            "payload": PAYLOAD_BYTES_MAX,
        },
    }
