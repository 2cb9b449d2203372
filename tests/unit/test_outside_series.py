"""A series on somebody else's broker: which ones it takes, what it refuses, what is left of its runs."""

from __future__ import annotations

import pytest

from squall.chaos.cli.outside import address_of, check_spared, on_outside_broker
from squall.chaos.cli.setup import runs_of, spec_of
from squall.chaos.errors import FaultError
from squall.chaos.plan.schedule import Interval, Schedule
from squall.services.errors import SpecError


@pytest.mark.parametrize(
    ("url", "insecure", "address"),
    [
        ("nats://127.0.0.1:4333", False, "nats://127.0.0.1:4333"),
        ("nats://localhost", False, "nats://localhost:4222"),
        ("nats://127.0.0.1:4333/", False, "nats://127.0.0.1:4333"),
        ("nats://[::1]:4333", False, "nats://[::1]:4333"),
        ("nats://broker.lan", True, "nats://broker.lan:4222"),
    ],
)
def test_a_proxy_leads_to_host_and_port_and_nothing_else(url: str, insecure: bool, address: str) -> None:
    assert address_of(url, insecure=insecure) == address


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("tls://broker.lan:4222", "asks for TLS"),
        ("nats://broker.lan:4222", "another machine"),
        ("nats://me:secret@127.0.0.1", "credentials do not belong in a URL"),
        ("127.0.0.1:4222", "is no NATS URL"),
        ("nats://127.0.0.1:0", "is no NATS URL"),
    ],
)
def test_another_broker_is_refused(url: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        address_of(url, insecure=False)


def test_what_strikes_the_broker_is_refused_by_name_and_not_drawn() -> None:
    written = Schedule(seed=1, intervals=(Interval(fault="crash", target="broker"),))
    with pytest.raises(FaultError, match="pause@broker strikes the broker, and with --nats"):
        check_spared([("pause", ""), ("pause", "broker")], [])
    with pytest.raises(FaultError, match="crash@broker"):
        check_spared([], [written])
    check_spared([("pause", "leader"), ("crash", "")], [])

    drawn = runs_of([spec_of("hierarchical"), spec_of("star")], range(1, 9), [])
    struck = [interval.target for plan in drawn for interval in plan.schedule.intervals]
    assert "broker" in struck
    spared = [on_outside_broker(plan) for plan in drawn]
    left = [interval.target for plan in spared for interval in plan.schedule.intervals]
    assert left == [target for target in struck if target != "broker"]
    assert [plan.name for plan in spared] == [plan.name for plan in drawn]


def test_no_two_runs_share_their_streams() -> None:
    plans = [on_outside_broker(plan) for plan in runs_of([spec_of("hierarchical")], range(1, 4), [])]
    assert len({plan.spec.swarm for plan in plans}) == len(plans)
