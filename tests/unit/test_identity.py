"""Keys and claims, without a server."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import nkeys
import pytest
from rich.console import Console

from squall.bus.errors import ExpelledError, InvalidNameError
from squall.bus.identity import (
    CLAIMS_UPDATE,
    CONNECTIONS_MAX,
    SYSTEM,
    Authority,
    Credentials,
)
from squall.bus.keys import PAYLOAD_BYTES_MAX
from squall.bus.topology.guest import Guest
from squall.bus.topology.hierarchical import hierarchical
from squall.bus.topology.link import Node
from squall.bus.topology.model import Topology

NOW_S = 1_800_000_000.25


@pytest.fixture(scope="module")
def topology() -> Topology:
    return hierarchical("demo", agents=2)


@pytest.fixture(scope="module")
def authority(topology: Topology) -> Authority:
    return Authority.create(topology, clock=lambda: NOW_S)


def decoded(token: str) -> dict[str, Any]:
    """The claims of a token, after checking its header and its signature."""
    header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    assert json.loads(header) == {"typ": "JWT", "alg": "ed25519-nkey"}
    found: dict[str, Any] = json.loads(claims)
    issuer = nkeys.nacl.signing.VerifyKey(base64.b32decode(found["iss"])[1:33])
    issuer.verify(token.rsplit(".", 1)[0].encode(), signature)
    return found


def accounts(authority: Authority) -> dict[str, dict[str, Any]]:
    """The accounts' claims by name, as the server is told them."""
    text = authority.server_config(Path("/jwt")).split("resolver_preload")[1]
    tokens = [line.split(": ")[1] for line in text.splitlines() if line.startswith("  A")]
    return {claims["name"]: claims for claims in map(decoded, tokens)}


def test_each_isolated_node_has_an_account_of_its_own(authority: Authority) -> None:
    assert set(accounts(authority)) == {"SYS", "CORE", "agent-1", "agent-2"}


def test_only_core_has_jetstream_and_only_core_exports(authority: Authority) -> None:
    for name, claims in accounts(authority).items():
        facts = claims["nats"]
        assert ("disk_storage" in facts["limits"]) == (name == "CORE")
        assert ("exports" in facts) == (name == "CORE")


def test_pulling_through_an_import_may_have_many_answers(authority: Authority) -> None:
    answers = {
        offered["subject"]: offered.get("response_type")
        for offered in accounts(authority)["CORE"]["nats"]["exports"]
    }
    assert answers["$JS.API.CONSUMER.MSG.NEXT.DEMO_WK.pool"] == "Stream"
    assert answers["sw.demo.res.*.*"] == "Singleton"
    assert answers["sw.demo.cmd.*.*"] is None


def test_a_node_account_is_bounded_and_imports_from_core(authority: Authority, topology: Topology) -> None:
    found = accounts(authority)
    facts = found["agent-1"]["nats"]

    assert facts["limits"]["conn"] == CONNECTIONS_MAX
    assert {imported["account"] for imported in facts["imports"]} == {found["CORE"]["sub"]}
    assert [imported["subject"] for imported in facts["imports"]] == [
        wanted.subject for wanted in topology.imports["agent-1"]
    ]
    (scope,) = facts["signing_keys"]
    assert scope["template"]["payload"] == PAYLOAD_BYTES_MAX
    assert scope["template"]["pub"]["allow"] == list(topology.permissions["agent-1"].publish)


def test_core_has_one_scoped_key_a_role_and_nobody_may_answer_whoever_asks(authority: Authority) -> None:
    scopes = accounts(authority)["CORE"]["nats"]["signing_keys"]

    assert {scope["role"] for scope in scopes} == {
        "launcher",
        "coordinator",
        "gateway",
        "producer",
        "observer",
        "warden",
    }
    for scope in scopes:
        assert "resp" not in scope["template"]
        assert scope["template"]["sub"]["allow"][0] == "_INBOX.{{name()}}.>"


@pytest.mark.parametrize(
    ("node", "account"), [("agent-2", "agent-2"), ("coordinator-1", "CORE"), ("launcher", "CORE")]
)
def test_credentials_are_signed_by_the_key_of_their_role(
    authority: Authority, node: str, account: str
) -> None:
    credentials = authority.credentials(node, 60.0)
    claims = decoded(credentials.jwt)
    issuing = accounts(authority)[account]

    assert claims["name"] == credentials.name == node
    assert claims["nats"] == {"type": "user", "version": 2, "issuer_account": issuing["sub"]}
    assert claims["iss"] in {scope["key"] for scope in issuing["nats"]["signing_keys"]}
    assert claims["iss"] != issuing["sub"]
    assert claims["sub"] == nkeys.from_seed(bytearray(credentials.seed.encode())).public_key.decode()


def test_credentials_expire_when_they_say(authority: Authority) -> None:
    credentials = authority.credentials("agent-1", 10.0)
    assert credentials.expires_s == decoded(credentials.jwt)["exp"] == 1_800_000_011

    endless = authority.credentials("agent-1", None)
    assert endless.expires_s is None
    assert "exp" not in decoded(endless.jwt)


def test_no_two_credentials_share_a_key_or_an_inbox(authority: Authority) -> None:
    first, second = (authority.credentials("agent-1", None) for _ in range(2))

    assert first.seed != second.seed
    assert first.inbox != second.inbox
    prefix, node, nonce = first.inbox.split(".")
    assert (prefix, node, len(nonce)) == ("_INBOX", "agent-1", 24)


@pytest.mark.parametrize("name", ["", "*", ">", "agent-1.>", "Agent-1", "agent-3", "{{name()}}", "a" * 41])
def test_no_credentials_for_a_name_that_is_not_a_node(authority: Authority, name: str) -> None:
    with pytest.raises(InvalidNameError):
        authority.credentials(name, None)


@pytest.mark.parametrize("life_s", [0.0, -1.0])
def test_no_credentials_without_a_life(authority: Authority, life_s: float) -> None:
    with pytest.raises(ValueError, match="cannot live"):
        authority.credentials("agent-1", life_s)


def test_secrets_are_not_printed(authority: Authority) -> None:
    credentials = authority.credentials("agent-1", 60.0)
    screen = io.StringIO()
    Console(file=screen, width=4000).print(credentials, [credentials])

    for shown in (repr(credentials), str(credentials), f"{[credentials]}", screen.getvalue()):
        assert "agent-1" in shown
        assert credentials.seed not in shown
        assert credentials.jwt not in shown


def test_nothing_in_the_server_configuration_is_secret(authority: Authority) -> None:
    text = authority.server_config(Path("/state/a dir/jwt"))

    assert 'dir: "/state/a dir/jwt"' in text
    assert not any(word.startswith(("SO", "SA", "SU")) for word in text.replace('"', " ").split())


def test_credentials_survive_the_way_to_another_process(authority: Authority) -> None:
    credentials = authority.credentials("gateway", 60.0)
    assert msgspec.json.decode(msgspec.json.encode(credentials), type=Credentials) == credentials


def test_a_creds_file_holds_both_parts(authority: Authority) -> None:
    credentials = authority.credentials("observer", None)
    lines = credentials.creds_file().splitlines()

    assert lines[1] == credentials.jwt
    assert lines[5] == credentials.seed


def test_a_revoked_node_has_another_key_and_nobody_else_has(topology: Topology) -> None:
    node = "agent-1"
    authority = Authority.create(topology, clock=lambda: NOW_S)
    before, had = accounts(authority), decoded(authority.credentials(node, 60).jwt)
    claims = decoded(authority.revoke(node))
    after, gets = accounts(authority), decoded(authority.credentials(node, 60).jwt)

    def keys(of: dict[str, Any]) -> set[str]:
        return {scope["key"] for account in of.values() for scope in account["nats"].get("signing_keys", ())}

    assert claims == after[claims["name"]]
    assert keys(before) - keys(after) == {had["iss"]}
    assert keys(after) - keys(before) == {gets["iss"]}
    # The broker takes claims for news only where their id differs and they are not older.
    assert claims["jti"] != before[claims["name"]]["jti"]
    assert claims["iat"] >= before[claims["name"]]["iat"]


def test_claims_do_not_grow_with_the_nodes_that_were_revoked(topology: Topology) -> None:
    authority = Authority.create(topology, clock=lambda: NOW_S)
    sizes = {len(authority.revoke("agent-1")) for _ in range(50)}
    assert max(sizes) - min(sizes) < 10


def test_claims_are_never_older_than_those_before_whatever_the_clock_does(topology: Topology) -> None:
    times = iter(range(2000, 1000, -1))
    authority = Authority.create(topology, clock=lambda: next(times))
    issued = [decoded(authority.revoke("agent-1"))["iat"] for _ in range(3)]
    assert issued == sorted(issued)


def test_an_expelled_node_gets_nothing_any_more(topology: Topology) -> None:
    node = "agent-1"
    authority = Authority.create(topology, clock=lambda: NOW_S)
    issuer = decoded(authority.credentials(node, 60).jwt)["iss"]
    claims = decoded(authority.expel(node))

    assert issuer not in json.dumps(claims)
    assert "imports" not in claims["nats"]
    assert "signing_keys" not in claims["nats"]
    assert claims["nats"]["limits"]["conn"] == 0
    for _ in range(2):
        with pytest.raises(ExpelledError):
            authority.credentials(node, 60)
        authority.revoke(node)


@pytest.mark.parametrize("node", ["coordinator-1", "gateway", SYSTEM])
def test_what_shares_an_account_is_not_revoked_because_all_that_use_the_account_would_notice(
    topology: Topology, node: str
) -> None:
    authority = Authority.create(topology)
    for change in (authority.revoke, authority.expel):
        with pytest.raises(ValueError, match="no account of its own"):
            change(node)
    authority.credentials(node, 60)


def test_the_command_has_rights_in_the_system_account_and_no_node_may_have_its_name(
    authority: Authority, topology: Topology
) -> None:
    claims = decoded(authority.credentials(SYSTEM, 60).jwt)
    facts = accounts(authority)["SYS"]
    (scope,) = facts["nats"]["signing_keys"]
    assert claims["iss"] == scope["key"]
    assert CLAIMS_UPDATE in scope["template"]["pub"]["allow"]
    for name, account in accounts(authority).items():
        if name != "SYS":
            assert "$SYS" not in json.dumps(account)
    with pytest.raises(ValueError, match="cannot be called system"):
        Authority.create(renamed(topology, "producer", SYSTEM))


def test_a_node_that_joins_gets_an_account_and_nobody_elses_changes(topology: Topology) -> None:
    authority = Authority.create(topology, clock=lambda: NOW_S)
    before = accounts(authority)
    claims = decoded(authority.admit(Node("agent-3", "agent", isolated=True)) or "")
    after = accounts(authority)

    assert claims["name"] == "agent-3"
    assert claims == after.pop("agent-3")
    assert after == before
    assert authority.account("agent-3") == claims["sub"]
    assert authority.topology.permissions["agent-3"] == topology.with_node(
        Node("agent-3", "agent", isolated=True)
    ).permissions["agent-3"]  # fmt: skip
    assert decoded(authority.credentials("agent-3", 60).jwt)["iss"] in json.dumps(claims)


def test_a_node_that_leaves_is_left_with_an_empty_account_for_good(topology: Topology) -> None:
    authority = Authority.create(topology, clock=lambda: NOW_S)
    left = decoded(authority.dismiss("agent-2") or "")
    authority.admit(Node("agent-2", "agent", isolated=True))

    assert left["nats"]["limits"]["conn"] == 0
    assert "signing_keys" not in left["nats"]
    assert authority.account("agent-2") != left["sub"]
    assert left["sub"] in authority.server_config(Path("/jwt"))


def test_a_node_of_core_comes_and_goes_without_claims(topology: Topology) -> None:
    authority = Authority.create(topology, clock=lambda: NOW_S)
    before = accounts(authority)
    assert authority.admit(Node("coordinator-3", "coordinator")) is None
    issuer = decoded(authority.credentials("coordinator-3", 60).jwt)["iss"]
    assert issuer == decoded(authority.credentials("coordinator-1", 60).jwt)["iss"]
    assert authority.dismiss("coordinator-3") is None
    assert accounts(authority) == before


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (Node("agent-2", "agent", isolated=True), "same name"),
        (Node("agent-3", "agent"), "isolated, or they are not"),
        (Node("judge-1", "judge"), "no node of role judge can join"),
        (Node("judge-1", "judge", isolated=True), "no node of role judge can join"),
        (Node(SYSTEM, "agent", isolated=True), "cannot be called system"),
        (Node("A", "agent", isolated=True), "cannot be used"),
    ],
)
def test_who_cannot_join_changes_nothing(topology: Topology, node: Node, message: str) -> None:
    authority = Authority.create(topology, clock=lambda: NOW_S)
    before = accounts(authority)
    with pytest.raises(ValueError, match=message):
        authority.admit(node)
    assert authority.topology == topology
    assert accounts(authority) == before


def test_who_was_put_out_does_not_join_again_and_the_last_of_a_role_does_not_leave(
    topology: Topology,
) -> None:
    authority = Authority.create(topology, clock=lambda: NOW_S)
    authority.expel("agent-1")
    authority.dismiss("agent-1")
    with pytest.raises(ExpelledError):
        authority.admit(Node("agent-1", "agent", isolated=True))
    with pytest.raises(ValueError, match="ends at agent"):
        authority.dismiss("agent-2")


def test_swarms_beside_each_other_share_the_operator_and_no_account(topology: Topology) -> None:
    first = Authority.create(topology, clock=lambda: NOW_S)
    second = Authority.create(topology, clock=lambda: NOW_S, beside=first)
    for authority, other in ((first, second), (second, first)):
        told = {claims["name"]: claims for claims in map(decoded, authority.claims().values())}
        assert set(told) == {"CORE", "agent-1", "agent-2"}
        assert set(authority.claims()).isdisjoint(other.claims())
        imports = told["agent-1"]["nats"]["imports"]
        assert {wanted["account"] for wanted in imports} == {told["CORE"]["sub"]}
    assert first.account(SYSTEM) == second.account(SYSTEM)
    config = first.server_config(Path("/jwt"))
    assert all(claims in config for claims in (*first.claims().values(), *second.claims().values()))


def renamed(topology: Topology, old: str, new: str) -> Topology:
    nodes = tuple(replace(node, name=new) if node.name == old else node for node in topology.nodes)
    return replace(topology, nodes=nodes)


def test_a_guests_account_offers_what_it_serves_and_takes_nothing(topology: Topology) -> None:
    guest = Guest(name="pricer", serves=("prices.decide",), silence_s=90.0)
    authority = Authority.create(replace(topology, guests=(guest,)), clock=lambda: NOW_S)
    claims = {public: decoded(claims)["nats"] for public, claims in authority.claims().items()}
    account = claims[authority.account("pricer")]
    assert "imports" not in account
    assert [(each["subject"], each["response_threshold"]) for each in account["exports"]] == [
        ("prices.decide", 90_000_000_000)
    ]
    imports = {
        node.name: [each["subject"] for each in claims[authority.account(node.name)].get("imports", ())]
        for node in topology.nodes
    }
    assert [name for name, subjects in imports.items() if "prices.decide" in subjects] == [
        node.name for node in topology.nodes if node.isolated
    ]
    with pytest.raises(ValueError, match="no account of its own"):
        authority.revoke("pricer")


def test_a_guest_cannot_be_called_as_a_node(topology: Topology) -> None:
    with pytest.raises(ValueError, match="is called as another"):
        replace(topology, guests=(Guest(name="agent-1", serves=("prices.decide",)),))
