"""What may be asked of Toxiproxy, and what it is called there."""

from __future__ import annotations

from typing import Any

import pytest

from squall.chaos.errors import FaultError
from squall.chaos.inject.toxiproxy.toxics import (
    NUMBER_MAX,
    Bandwidth,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
    Toxic,
    validate,
)

UP: Any = {"stream": "upstream"}


@pytest.mark.parametrize(
    ("toxic", "name", "attributes"),
    [
        (Latency(**UP, latency_ms=5, jitter_ms=2), "latency_upstream", {"latency": 5, "jitter": 2}),
        (Bandwidth(stream="downstream", rate_kb_per_s=0), "bandwidth_downstream", {"rate": 0}),
        (SlowClose(**UP, delay_ms=7), "slow_close_upstream", {"delay": 7}),
        (Timeout(**UP, timeout_ms=0), "timeout_upstream", {"timeout": 0}),
        (ResetPeer(**UP, timeout_ms=0), "reset_peer_upstream", {"timeout": 0}),
        (
            Slicer(**UP, average_bytes=9, variation_bytes=9, delay_us=1),
            "slicer_upstream",
            {"average_size": 9, "size_variation": 9, "delay": 1},
        ),
        (LimitData(**UP, limit_bytes=NUMBER_MAX), "limit_data_upstream", {"bytes": NUMBER_MAX}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_toxic_has_a_name_and_the_attributes_of_the_server(
    toxic: Toxic, name: str, attributes: dict[str, int]
) -> None:
    validate(toxic)
    assert toxic.name == name
    assert toxic.attributes() == attributes


WRONG: Any = {"stream": "up"}
HALF: Any = {"stream": "upstream", "toxicity": 0.5}
TEXT: Any = "5"
FRACTION: Any = 0.5


@pytest.mark.parametrize(
    ("toxic", "message"),
    [
        (Latency(**UP, latency_ms=-1), "latency: latency_ms is -1, not a whole number from 0 to"),
        (Latency(**UP, latency_ms=5, jitter_ms=-1), "jitter_ms is -1"),
        (Latency(**UP, latency_ms=FRACTION), "latency_ms is 0.5"),
        (Latency(**UP, latency_ms=TEXT), "latency_ms is '5'"),
        (Latency(**UP, latency_ms=True), "latency_ms is True"),
        (Latency(**UP, latency_ms=NUMBER_MAX + 1), "latency_ms is 2147483648"),
        (Bandwidth(**UP, rate_kb_per_s=-1), "bandwidth: rate_kb_per_s is -1"),
        (SlowClose(**UP, delay_ms=-1), "delay_ms is -1"),
        (Timeout(**UP, timeout_ms=-1), "timeout_ms is -1"),
        (ResetPeer(**UP, timeout_ms=-1), "timeout_ms is -1"),
        (LimitData(**UP, limit_bytes=-1), "limit_bytes is -1"),
        (Slicer(**UP, average_bytes=0), "average_bytes is 0, so a piece would never be small enough"),
        (Slicer(**UP, average_bytes=4, variation_bytes=5), "variation_bytes, 5, is above average_bytes, 4"),
        (Slicer(**UP, average_bytes=4, delay_us=-1), "delay_us is -1"),
        (Latency(**WRONG, latency_ms=5), "the stream is 'up', not upstream or downstream"),
        (Latency(**HALF, latency_ms=5), "the toxicity is 0.5, not 0 or 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_server_would_not_do_as_written_is_refused(toxic: Toxic, message: str) -> None:
    with pytest.raises(FaultError, match=message) as refused:
        validate(toxic)
    assert (refused.value.kind, refused.value.exit_code) == ("input", 2)
