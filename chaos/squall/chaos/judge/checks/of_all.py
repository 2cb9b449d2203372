"""What every pattern promises beside its own."""

from __future__ import annotations

from squall.chaos.judge.checks.explained import EXPLAINED
from squall.chaos.judge.checks.handler import HANDLER
from squall.chaos.judge.checks.memory import MEMORY
from squall.chaos.judge.checks.reconnecting import RECONNECTING
from squall.chaos.judge.checks.recovery import AS_BEFORE, EACH_RECOVERY, RECOVERY
from squall.chaos.judge.checks.repeats import REPEATS
from squall.chaos.judge.checks.witness import WITNESS

RECOVERING = (RECOVERY, EACH_RECOVERY, AS_BEFORE, RECONNECTING)
"""What holds once faults are healed."""

ACCOUNTED = (EXPLAINED, REPEATS, MEMORY, WITNESS, HANDLER)
"""What holds of all that happened, and of who says so."""

OF_ALL = (*RECOVERING, *ACCOUNTED)
