"""Keys and claims, without a server."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import nkeys
import pytest
from rich.console import Console

from squall.bus.errors import InvalidNameError
from squall.bus.identity import CONNECTIONS_MAX, PAYLOAD_BYTES_MAX, Authority, Credentials
from squall.bus.topology.hierarchical import hierarchical
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
