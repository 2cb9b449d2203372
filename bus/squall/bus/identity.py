"""Who is who on the bus: an operator, its accounts, and credentials for each node.

    operator ─┬─ SYS       a signing key ──► credentials of the command, to change accounts in use
              ├─ CORE      JetStream; a signing key for each role ──► credentials of its nodes
              ├─ agent-1…  no JetStream, its imports only; one signing key ──► its credentials
              └─ guests    no JetStream, no import; what each serves is exported to agent-1…

A signing key is scoped: the broker itself applies the permissions that the
account lists for it, and a user signed by it carries none. The seeds of
operator and accounts never leave the process, so what they signed cannot be
added to once it is gone; the server's configuration holds public keys and
signed claims only.

A node may join while the broker runs. An isolated one gets an account, which the
broker is told of; one of a role that shares CORE needs credentials and no more. One
that leaves has its account emptied, and what is left of that stays in the server's
configuration, or a server that was away meanwhile would let it in again.

To revoke an isolated node is to replace its signing key: all that the previous
key has signed is refused from then on, and what the next key signs is not,
whatever the second both happen in. A list of revoked users would name a point
in time, whose unit is the second, and would grow with every restart.

Nodes in CORE are not revoked before their credentials expire. A broker that is
given new claims of an account forgets what it owes through that account's
exports (nats-server 2.15: `updateAccountClaimsWithRefresh` makes the exports
anew), so every pull that any agent has open would end without a word, and the
deliveries on their way to it would be lost until their ack wait is over.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from squall.bus import subjects
from squall.bus.border import check_name
from squall.bus.errors import ExpelledError
from squall.bus.keys import UNLIMITED, Key, account_key, limits, operator_key, scope, user_key
from squall.bus.topology.guest import Guest
from squall.bus.topology.link import Node
from squall.bus.topology.model import Topology
from squall.bus.topology.rights import Permissions

CONNECTIONS_MAX = 4
"""Connections an isolated node may have at a time.

One in use, one being retired after a renewal, and two that the broker has not yet noticed are dead
(a few seconds after a cut). Higher lets a hijacked node take more of the broker.
"""

GUEST_CONNECTIONS_MAX = 16
"""The same of a guest, which may be several processes."""

SYSTEM = "system"
"""Name of the credentials in the system account; no node may have it."""

CLAIMS_UPDATE = "$SYS.REQ.CLAIMS.UPDATE"
"""Where the broker takes an account's new claims, from the system account alone."""

ACCOUNT_STATISTICS = "$SYS.REQ.ACCOUNT.PING.STATZ"
CONNECTIONS = "$SYS.REQ.SERVER.PING.CONNZ"
"""Where the broker tells how much each account has sent and received."""

ACCOUNT_CONNECTS = "$SYS.ACCOUNT.*.CONNECT"
"""Where the broker tells of each connection that an account opens."""


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


def _import(subject: str, owner: Key, kind: str) -> dict[str, Any]:
    """What an account takes of another's, under the same subject."""
    return {"name": subject, "subject": subject, "account": owner.public, "type": kind}


class Authority:
    """Says who may connect to the broker of one swarm, and as whom. Made by `create`.

    Attributes:
        topology: As it is now, with the nodes that have joined and without those that have left.
    """

    def __init__(self, topology: Topology, clock: Callable[[], float], beside: Authority | None) -> None:
        self.topology = topology
        self._clock = clock
        self._operator: Key = beside._operator if beside else operator_key()
        self._system: Key = beside._system if beside else account_key()
        self._core = account_key()
        self._owners: dict[str, Key] = {}  # node → its account
        self._signers: dict[str, Key] = {}  # node → its signing key
        # Public key of an account → claims; of all swarms on the broker, which is told all when it starts.
        self._claims: dict[str, str] = beside._claims if beside else {}
        self._expelled: set[str] = set()
        self._issued_s = 0

        self._signers[SYSTEM] = beside._signers[SYSTEM] if beside else account_key()
        self._owners[SYSTEM] = self._system
        self._roles = {role: account_key() for role in topology.templates}
        for node in topology.nodes:
            self._enter(node)
        for guest in topology.guests:
            self._owners[guest.name], self._signers[guest.name] = account_key(), account_key()
        for account in dict.fromkeys(self._owners.values()):
            if beside is None or account is not self._system:
                self._restate(account)

    @classmethod
    def create(
        cls,
        topology: Topology,
        clock: Callable[[], float] = time.time,
        *,
        beside: Authority | None = None,
    ) -> Authority:
        """An authority with fresh keys.

        Args:
            topology: Its nodes get credentials, its permissions and imports are what those are worth.
            clock: Seconds since the epoch, for issue and expiry.
            beside: The authority of another swarm, whose broker this one is to share. Neither sees anything
                of the other: each has accounts of its own. `system.Accounts.introduce` tells the broker.
        """
        return cls(topology, clock, beside)

    def _enter(self, node: Node) -> None:
        """Have a key for a node's account, and one for its credentials."""
        if node.name == SYSTEM:
            raise ValueError(f"a node cannot be called {SYSTEM}")
        self._owners[node.name] = account_key() if node.isolated else self._core
        self._signers[node.name] = account_key() if node.isolated else self._roles[node.role]

    def _restate(self, account: Key) -> str:
        """Sign an account's claims anew, as they are now, and return them."""
        if account is self._system:
            title, facts = "SYS", self._system_account()
        elif account is self._core:
            title, facts = "CORE", self._core_account()
        else:
            title = next(name for name, owner in self._owners.items() if owner is account)
            guest = self.topology.guest(title)
            facts = self._node_account(title) if guest is None else self._guest_account(guest)
        # The broker keeps what it has where the new claims are older, or have the same id.
        self._issued_s = max(self._issued_s, int(self._clock()))
        self._claims[account.public] = self._operator.claim(
            account, title, {"type": "account", "version": 2, **facts}, issued_s=self._issued_s
        )
        return self._claims[account.public]

    def _system_account(self) -> dict[str, Any]:
        permissions = Permissions(
            publish=(CLAIMS_UPDATE, ACCOUNT_STATISTICS, CONNECTIONS),
            subscribe=(subjects.every_inbox(SYSTEM), ACCOUNT_CONNECTS),
        )
        return {
            "limits": limits(),
            "signing_keys": [scope(self._signers[SYSTEM], SYSTEM, permissions)],
        }

    def _core_account(self) -> dict[str, Any]:
        storage = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), UNLIMITED)
        return {
            "limits": {**limits(), **storage},
            "signing_keys": [
                scope(self._roles[role], role, permissions)
                for role, permissions in self.topology.templates.items()
            ],
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
                for offered in self.topology.exports
            ],
        }

    def _node_account(self, name: str) -> dict[str, Any]:
        if name in self._expelled or all(node.name != name for node in self.topology.nodes):
            return {"limits": {**limits(), "conn": 0, "leaf": 0}}
        mine = self.topology.permissions[name]
        asked = [(guest, subject) for guest in self.topology.guests for subject in guest.serves]
        rights = Permissions((*mine.publish, *(subject for _, subject in asked)), mine.subscribe)
        return {
            "limits": {**limits(), "conn": CONNECTIONS_MAX, "leaf": 0},
            "signing_keys": [scope(self._signers[name], self.topology.node(name).role, rights)],
            "imports": [
                *(_import(wanted.subject, self._core, wanted.kind) for wanted in self.topology.imports[name]),
                *(_import(subject, self._owners[guest.name], "service") for guest, subject in asked),
            ],
        }

    def _guest_account(self, guest: Guest) -> dict[str, Any]:
        return {
            "limits": {**limits(), "conn": GUEST_CONNECTIONS_MAX, "leaf": 0},
            "signing_keys": [scope(self._signers[guest.name], "guest", guest.permissions)],
            "exports": [
                {
                    "name": subject,
                    "subject": subject,
                    "type": "service",
                    "response_type": "Stream",  # an answer may come in parts; as a single one it would be cut
                    "response_threshold": int(guest.silence_s * 1e9),
                }
                for subject in guest.serves
            ],
        }

    def server_config(self, jwt_dir: Path) -> str:
        """Configuration text that makes a server obey this authority as it is now. Holds nothing secret.

        A server that is started again must be given it anew, or it would know nodes that were revoked while
        it was away.

        Args:
            jwt_dir: Where the server may keep the accounts' claims.
        """
        facts = {"type": "operator", "version": 2, "system_account": self._system.public}
        operator = self._operator.claim(self._operator, "OPERATOR", facts, issued_s=int(self._clock()))
        directory = json.dumps(str(jwt_dir), ensure_ascii=False)
        preload = "".join(f"  {public}: {claims}\n" for public, claims in self._claims.items())
        return (
            f"operator: {operator}\n"
            f"system_account: {self._system.public}\n"
            f"resolver: {{ type: full, dir: {directory} }}\n"
            f"resolver_preload: {{\n{preload}}}\n"
        )

    def credentials(self, node: str, life_s: float | None) -> Credentials:
        """Fresh credentials for a node, with a key of their own.

        Args:
            node: Its name, or a guest's, or `SYSTEM` for the command itself.
            life_s: After so long the broker closes the connections that use them; None is never.

        Raises:
            InvalidNameError: No such node in the topology, or no name at all.
            ExpelledError: It was put out.
            ValueError: A life of zero or less.
        """
        name = self._known(node)
        if life_s is not None and life_s <= 0:
            raise ValueError(f"credentials for {name} cannot live {life_s:g} s")
        now_s = self._clock()
        expires_s = None if life_s is None else math.ceil(now_s + life_s)
        if name in self._expelled:
            raise ExpelledError(f"{name} was put out of the swarm and gets no credentials any more")
        user = user_key()
        facts = {"type": "user", "version": 2, "issuer_account": self._owners[name].public}
        return Credentials(
            name=name,
            jwt=self._signers[name].claim(user, name, facts, issued_s=int(now_s), expires_s=expires_s),
            seed=user.seed,
            inbox=subjects.inbox(name, secrets.token_hex(12)),
            expires_s=expires_s,
        )

    def _known(self, node: str) -> str:
        if node == SYSTEM or self.topology.guest(node) is not None:
            return node
        return self.topology.node(check_name(node, "node name")).name

    def _isolated(self, node: str) -> str:
        name = self._known(node)
        if self._owners[name] in (self._core, self._system) or self.topology.guest(name) is not None:
            raise ValueError(f"{name} has no account of its own, and its credentials cannot be revoked")
        return name

    def claims(self) -> dict[str, str]:
        """The claims of this swarm's accounts, by their public keys."""
        accounts = {owner.public for owner in self._owners.values() if owner is not self._system}
        return {public: claims for public, claims in self._claims.items() if public in accounts}

    def account(self, node: str) -> str:
        """The public key of the account that a node is in, which is how the broker names it.

        Raises:
            InvalidNameError: No such node in the topology.
        """
        return self._owners[self._known(node)].public

    def revoke(self, node: str) -> str:
        """Make all credentials that the node has had so far worthless; those minted from now on are good.

        Returns:
            The account's new claims. They count once the broker has them: sent to `CLAIMS_UPDATE`, or in the
            `server_config` that it was started with.

        Raises:
            InvalidNameError: No such node in the topology.
            ValueError: It is not isolated; see the module's docstring.
        """
        name = self._isolated(node)
        self._signers[name] = account_key()
        return self._restate(self._owners[name])

    def expel(self, node: str) -> str:
        """As `revoke`, for good: the account is left with no key, no import and no connection.

        Returns:
            The account's new claims, as from `revoke`.

        Raises:
            InvalidNameError: No such node in the topology.
            ValueError: It is not isolated.
        """
        self._expelled.add(self._isolated(node))
        return self.revoke(node)

    def admit(self, node: Node) -> str | None:
        """Let a node join; it has the links of its role.

        Returns:
            The claims of its account, as from `revoke`; None if it shares account CORE, whose claims stay as
            they are.

        Raises:
            InvalidNameError: A name that cannot be used.
            ExpelledError: A node of this name was put out.
            ValueError: There is a node of this name, or none of its role, so that account CORE would need new
                claims.
        """
        if node.name in self._expelled:
            raise ExpelledError(f"{node.name} was put out of the swarm and is not admitted any more")
        topology = self.topology.with_node(node)
        if not self.topology.of_role(node.role):
            raise ValueError(f"no node of role {node.role} can join: account CORE was made without any")
        self._enter(node)
        self.topology = topology
        return self._restate(self._owners[node.name]) if node.isolated else None

    def dismiss(self, node: str) -> str | None:
        """Have a node leave. Another of its name may join, with an account of its own.

        Returns:
            The claims of its account, as from `revoke`; None if it shares account CORE, where what it was
            given is good until it expires.

        Raises:
            InvalidNameError: No such node in the topology.
            ValueError: It is the last of its role.
        """
        leaving = self.topology.node(node)
        self.topology = self.topology.without_node(node)
        return self._restate(self._owners[node]) if leaving.isolated else None
