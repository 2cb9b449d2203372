"""Which addresses are this machine, judged by their spelling, and what offers TLS."""

from __future__ import annotations

import pytest

from squall.bus.tls import is_clear_text


@pytest.mark.parametrize(
    "url",
    [
        "nats://127.0.0.1:4222",
        "nats://127.8.9.1",
        "nats://[::1]:4222",
        "nats://localhost:1",
        "nats://LOCALHOST:1",
        "tls://broker.example:4222",
        "tls://10.0.0.1",
    ],
)
def test_what_stays_on_this_machine_or_has_tls_is_not_clear_text(url: str) -> None:
    assert not is_clear_text(url)


@pytest.mark.parametrize(
    "url",
    [
        "nats://10.0.0.1:4222",
        "nats://0.0.0.0:4222",
        "nats://128.0.0.1",
        "nats://[fe80::1]:4222",
        "nats://[::]:4222",
        "nats://[::ffff:10.0.0.1]:4222",
        "nats://localhost.example:4222",
        "nats://127.0.0.1.example:4222",
        "nats://127.0.0.1,10.0.0.1",
        "nats://2130706433",
        "nats://",
    ],
)
def test_what_may_leave_this_machine_is_clear_text(url: str) -> None:
    assert is_clear_text(url)
