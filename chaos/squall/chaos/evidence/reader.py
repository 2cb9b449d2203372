"""Reads a run's directory into a `History`. Judges nothing: what it cannot read, it says.

    spec.toml   schedule.toml   nodes.jsonl   history.jsonl   faults.jsonl   counters.jsonl   venue.sqlite
        └─────────────┴──────────────┴─────┬───────┴───────────────┴──────────────┴───────────────┘
                                           ▼
                                        History

Lines of ``history.jsonl`` have ``time_s``, ``node``, ``inc`` (incarnation), ``i`` (its writer's own count,
from 1), ``op`` and ``type`` (invoke, ok, fail, unknown), and by operation:

    submit  invoke {task, submit_s}, then ok | fail | unknown {task}     producer
    commit  fail {reason: already}: a second register refused            agent
    refuse  fail {what, task, order_id, reason}: an effect given up          gateway
    deliver  unknown {task, order_id, reason}: a sink gave no answer         gateway
    journal  ok {rows} | fail {reason}: that of a sink was kept              the command
    final   ok {what: register | dead-letter | ingress | consumer}       the command, from the broker
    final   ok {what: complete}                                          the command
    note    ok {limits, environment, durability, handler}                the command
    interrupted  ok: the user wants an end                               the command
    blamed  fail {reason}: it ends the run early, for the handler        the command
    expel   ok {agent, reason}: put out of the swarm                     the command
    broker  ok {what, at_s, took_s, said}: slowness, by the broker's log  the command
    phase   ok {what: steady | healed}                                   the nemesis
    memory  ok {of, unit, kib}                                           the nemesis, of a node's process
    interfere  ok {what, on, struck}                                     a node that is interfered with
    interfered  fail {reason}                                            the nemesis: somebody meddled with it
    run  invoke {task, attempt}, then attempt | commit {task}            agent
    handler  fail {task, attempt, what, reason, said, at, trace, order_id}   agent, of its handler's mistakes
    held-up  ok {at, line, times, seconds, took_s}: its handler let nothing else run   agent
    empty  ok {task, attempt, at}: its handler returned neither order nor value    agent
    running  ok {task, attempt, line, seconds}: its handler takes long         agent
    ended  ok {agent, incarnation, status}: an agent's process, not well     the command
    end  ok {reason}             counters  ok {counters}                 a node
    expel  ok {agent, reason}                                            whoever put the agent out
    killed  ok {agent, incarnation, reason}                              whoever ended a node for a reason

Each pattern declares operations of its own beside its checks, also of ``final``; see `operations.py`. Others
tell a reader what happened; no verdict rests on them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from squall.chaos.evidence import venue as venue_books
from squall.chaos.evidence.facts import Counted, NodeStart
from squall.chaos.evidence.files import FAULTS, NODES, VENUE, Files, require_run
from squall.chaos.evidence.fold import Fold
from squall.chaos.evidence.model import MISSING, History, Venue
from squall.chaos.evidence.operations import Operations
from squall.chaos.evidence.series import HISTORY
from squall.services.effects.kinds import NONE
from squall.services.run.counters import COUNTERS

Declared = Callable[[str | None], Operations]
"""From a pattern's name, or None where it is not known, to the operations that it declares."""


def read(run: Path, declared: Declared) -> History:
    """Everything a run's directory tells.

    Args:
        declared: Says which operations are the pattern's own.

    Raises:
        NotARunError: It is no directory, or holds neither a spec nor a history.
    """
    require_run(run)
    files = Files(run)
    asked, spec = files.asked()
    for name in (NODES, HISTORY, FAULTS):
        if not (run / name).exists():
            files.give_up(f"{name}{MISSING}")
    fold = Fold(declared(asked.pattern))
    for number, line in files.lines(HISTORY):
        try:
            fold.add(line)
        except msgspec.DecodeError as error:
            files.reject(HISTORY, number, error)
    nodes = tuple(files.records(NODES, NodeStart))
    counters = tuple(files.records(COUNTERS, Counted))
    nowhere = asked.effects == NONE.prefix
    venue = _NOTHING if nowhere else _venue(files, run / VENUE)
    return fold.history(
        asked=asked,
        spec=spec,
        nodes=nodes,
        faults=files.faults(),
        intended=files.intended(),
        counters=counters,
        witness=files.witness(asked.handler),
        venue=venue,
        truncated=files.truncated,
        unreadable=files.unreadable,
    )


_NOTHING = Venue(fills={}, received=0, invalid=0, conflicting=())
"""What is witnessed where nothing is carried out."""


def _venue(files: Files, path: Path) -> Venue | None:
    if not path.exists():
        return None
    try:
        return venue_books.witnessed(path)
    except venue_books.UnreadableError as error:
        files.give_up(str(error))
        return None
