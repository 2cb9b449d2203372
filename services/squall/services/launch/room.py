"""Whether this machine has the memory for the agents of a swarm, as processes of it."""

from __future__ import annotations

import os

from squall.services.errors import SpecError

AGENT_MIB = 24
"""What an agent takes at the least: one of an ordinary handler, at work."""


def check_room(agents: int, machine_mib: int | None = None) -> None:
    """See that so many agents can be there at once.

    Args:
        machine_mib: All the memory there is; of this machine, if None.

    Raises:
        SpecError: They cannot.
    """
    if machine_mib is None:
        machine_mib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    most = machine_mib // AGENT_MIB
    if agents > most:
        raise SpecError(
            f"{agents:,} agents as processes take {agents * AGENT_MIB:,} MiB, of {machine_mib:,} there are",
            f"choose at most {most:,}, or try more of them with `squall simulate`",
        )
