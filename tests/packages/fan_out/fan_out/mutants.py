"""A fan-out that F1 must catch: ``squall chaos fan-out --mutants`` proves that it does."""

from __future__ import annotations

from dataclasses import replace

from fan_out import pattern
from squall.bus.queue import Queue
from squall.bus.subjects import Subjects
from squall.chaos.mutants.mutant import Catalogue, Mutant
from squall.services.patterns.pattern import AGENT

ordinary = pattern.queue_of


def install(node: str, role: str) -> None:
    """Have each agent write to a register of its own, so that every answer is the first."""

    def own(spec: pattern.FanOutSpec, agent: str) -> Queue:
        swarm = Subjects(spec.swarm)
        return replace(ordinary(spec, agent), register=lambda lane, task: swarm.register(agent, task))

    if role == AGENT:
        pattern.queue_of = own


CATALOGUE = Catalogue(
    pattern=pattern.NAME,
    mutants=(
        Mutant(
            name="everybody-is-first",
            what="each agent writes to a register of its own",
            checks=("F1",),
            module="fan_out.mutants",
        ),
    ),
)
