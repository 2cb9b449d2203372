"""Signatures of peers: each signs its votes with a key of its own, and whoever counts them verifies them.

    seed ──sign──► signature ──► in the vote, over the log ──verify──► by the public key in the roster

A subject says who wrote a record, and the broker's rights hold a peer to its own name. A signature says it
once more, so that a vote does not count that got there in another way. What is signed names the swarm and the
place of the proposal, so that no vote can be taken to another log, or to another proposal.
"""

from __future__ import annotations

import base64
import binascii
import functools
from typing import Any

import msgspec
import nacl.exceptions
import nacl.signing

from squall.bus.keys import user_key
from squall.bus.vote_messages import Verdict


class SigningKey(msgspec.Struct, frozen=True):
    """What a peer signs with; the seed is secret. Neither `repr` nor `str` shows it.

    Attributes:
        public: Verifies what it signs, as nkeys writes it.
    """

    seed: str
    public: str

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public!r})"

    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # Rich, which prints local variables in tracebacks, asks for this before it asks for repr.
        return [("public", self.public)]

    def sign(self, statement: bytes) -> bytes:
        """The signature of a statement."""
        return bytes(_signer(self.seed).sign(statement).signature)


def new_key() -> SigningKey:
    """A fresh key."""
    key = user_key()
    return SigningKey(key.seed, key.public)


def statement(swarm: str, *, epoch: int, proposal: int, task: str, attempt: int, verdict: Verdict) -> bytes:
    """What a member signs who votes.

    Args:
        proposal: The place of the proposal in the log.
    """
    return msgspec.json.encode(["squall-vote", swarm, epoch, proposal, task, attempt, verdict])


@functools.lru_cache(maxsize=16_384)
def verify(public: str, signed: bytes, signature: bytes) -> bool:
    """Whether the holder of a key has signed a statement. A key that is none has signed nothing."""
    try:
        _verifier(public).verify(signed, signature)
    except (nacl.exceptions.BadSignatureError, nacl.exceptions.CryptoError, ValueError, binascii.Error):
        return False
    return True


@functools.lru_cache(maxsize=64)
def _signer(seed: str) -> nacl.signing.SigningKey:
    # Two bytes that say what it is, the seed, and a checksum of two bytes, as nkeys writes it.
    return nacl.signing.SigningKey(_raw(seed)[2:34])


@functools.lru_cache(maxsize=1024)
def _verifier(public: str) -> nacl.signing.VerifyKey:
    return nacl.signing.VerifyKey(_raw(public)[1:33])


def _raw(text: str) -> bytes:
    return base64.b32decode(text + "=" * (-len(text) % 8))
