"""What makes the evidence of a run doubtful, in words. Pure."""

from __future__ import annotations

from squall.bus.border import printable
from squall.chaos.evidence.agreement import disagreements
from squall.chaos.evidence.model import COMMAND, History
from squall.chaos.evidence.plural import plural


def doubts(history: History) -> list[str]:
    """Why this evidence may not be all there was, in words; while there is a doubt, no check passes."""
    found = lost(history)
    found += [f"the harness was interfered with: {printable(what)}" for what in history.interfered]
    if history.outcomes_unasked:
        found.append(f"{plural(history.outcomes_unasked, 'outcome')} of offers that were never made")
    found += _uncertain_faults(history)
    found += disagreements(history)
    found += _wrong_clocks(history)
    if history.venue is None and not history.unwitnessed:
        found.append("there is no database of the venue")
    elif history.venue is not None and history.venue.missing:
        found.append(f"{plural(history.venue.missing, 'row')} missing from the venue's journal")
    return found


def lost(history: History) -> list[str]:
    """Which lines of the history are not there, in words.

    A writer counts its own lines, which shows every loss but that of its last ones. Those show in the
    closing line, which counts the lines of all, and whose own absence shows by itself. So no line can go
    unnoticed, a writer killed at any moment costs no verdict, and half a line that it left is no loss.
    """
    found = list(history.unreadable)
    for writer in history.writers:
        name = f"{writer.node} (incarnation {writer.incarnation})"
        if writer.missing:
            found.append(f"{plural(writer.missing, 'line')} of {name} missing from the history")
        if writer.repeated:
            found.append(f"{plural(writer.repeated, 'line')} of {name} repeated or out of order")
    started = {(node.node, node.incarnation) for node in history.nodes}
    unknown = [
        w.node for w in history.writers if w.node != COMMAND and (w.node, w.incarnation) not in started
    ]
    if unknown:
        found.append(f"{unknown[0]} wrote lines and nodes.jsonl tells of no such start")
    found += _uncounted(history)
    registers = len(history.registers) + len(history.registers_damaged)
    if history.closing is None:
        found.append(f"the run was not read back to its end{_because(history)}")
    elif history.closing.registers != registers:
        found.append(f"{history.closing.registers} registers were read back and {registers} are here")
    if history.closing is not None and history.closing.starts not in (None, len(history.nodes)):
        found.append(f"{history.closing.starts} nodes were started and {len(history.nodes)} are here")
    return found


def _because(history: History) -> str:
    return "" if history.interrupted_s is None else ", because it was interrupted"


CLOCK_S = 5.0
"""How far a writer's clock may seem to be from the command's, by its first and last lines."""

AHEAD_S = 0.05
BEHIND_S = 1.0
"""How far it may be by its heartbeats: a machine has one clock, and a heartbeat takes milliseconds. On a busy
machine, or a slow way, it takes longer, so a clock that is behind is told from that only beyond a second."""

CLOCK_FAULTS = ("clock-off", "clock-jump")


def _wrong_clocks(history: History) -> list[str]:
    """Writers whose lines are dated before they were started, or after the run was over."""
    started = {(node.node, node.incarnation): node.started_s for node in history.nodes}
    end_s = history.ended_s
    found = []
    for writer in history.writers:
        start_s = started.get((writer.node, writer.incarnation))
        early = start_s is not None and writer.first_s is not None and writer.first_s < start_s - CLOCK_S
        late = end_s is not None and writer.last_s is not None and writer.last_s > end_s + CLOCK_S
        if early or late:
            found.append(f"the clock of {writer.node} (incarnation {writer.incarnation}) is wrong")
    moved = {fault.node for fault in history.faults if fault.kind in CLOCK_FAULTS}
    for (node, incarnation), ahead_s in history.ahead_s.items():
        if not -BEHIND_S <= ahead_s <= AHEAD_S and node not in moved:
            found.append(f"the clock of {node} (incarnation {incarnation}) is off by {ahead_s:+.3f} s")
    return found


def _uncertain_faults(history: History) -> list[str]:
    """Faults of an experiment that were not in force, or may be still, or of which nothing is written."""
    logged = [fault for fault in history.faults if fault.id]
    healed = next((phase for phase in history.phases if phase.what == "healed"), None)
    if not logged and not history.phases:
        return []
    found = [
        f"{fault.kind} of {fault.node or fault.target} was not "
        + ("seen to end" if fault.end_s is None else "seen in force, and healed")
        + (f": {printable(fault.reason)}" if fault.reason else "")
        for fault in logged
        if fault.end_s is None or not fault.verified
    ]
    if healed is None:
        found.append(f"the experiment did not come to its end{_because(history)}")
    elif healed.faults != (here := len(logged) + len(history.missed)):
        found.append(f"{healed.faults} faults were injected or missed and {here} are here")
    return found


def _uncounted(history: History) -> list[str]:
    """Where the closing line's counts and the lines disagree, beyond what the writers' own counts show."""
    if history.closing is None:
        return []
    here = {f"{w.node}/{w.incarnation}": w.lines + w.missing for w in history.writers}
    here[f"{COMMAND}/1"] = here.get(f"{COMMAND}/1", 0) - 1
    counted = history.closing.lines
    return [
        f"{writer} had written {plural(counted.get(writer, 0), 'line')} and {here.get(writer, 0)} are here"
        for writer in sorted({*here, *counted})
        if here.get(writer, 0) != counted.get(writer, 0)
    ]
