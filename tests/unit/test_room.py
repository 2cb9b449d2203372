"""More agents than the machine has memory for are refused, with how many it has room for."""

from __future__ import annotations

import pytest

from squall.services.errors import SpecError
from squall.services.launch.room import AGENT_MIB, check_room


@pytest.mark.parametrize("agents", [1, 100])
def test_agents_that_fit_are_let_in(agents: int) -> None:
    check_room(agents, machine_mib=100 * AGENT_MIB)


def test_one_agent_too_many_is_refused() -> None:
    with pytest.raises(SpecError, match=r"101 agents .* take 2,424 MiB, of 2,400") as refused:
        check_room(101, machine_mib=100 * AGENT_MIB)
    assert "at most 100" in refused.value.remedy


def test_this_machine_has_room_for_one() -> None:
    check_room(1)
