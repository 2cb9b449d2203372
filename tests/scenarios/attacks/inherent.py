"""Where each class of attacks is tried, and what is inherent: what an agent can do because of what an agent is."""

from __future__ import annotations

CLASSES: dict[str, str] = {
    "permissions, in one broker": "integration/test_attacks.py",
    "permissions, replies, headers, the bare protocol, forged tokens": "scenarios/attacks/test_attacks_rights.py",
    "what a register, a heartbeat, an answer or a mark says": "scenarios/attacks/test_attacks_content.py",
    "floods, hogging, filling, tasks that never end": "scenarios/attacks/test_attacks_floods.py",
    "what a handler returns, raises or prints": "scenarios/attacks/test_attacks_results.py",
    "processes of the same user": "scenarios/attacks/test_attacks_process.py",
}
"""Class to file, below the folder of the tests."""

INHERENT: dict[str, str] = {
    "writes any register of its pool": (
        "Whoever may pull a task may end it. Agents of one pool share its registers, so a hijacked one can take "
        "the slot of a task that it was not given, before or while another runs it; what it writes there is "
        "bounded as if it were its own."
    ),
    "acknowledges, gives back or terminates what another of its pool holds": (
        "The broker knows a consumer, not who of its members holds a message. A task that is lost this way is "
        "found by the sweep and dispatched again, or buried with its reason."
    ),
    "spends the attempts of any task of its pool": (
        "Marks are shared as registers are: a mark that says that all attempts were made ends the task as a "
        "dead letter."
    ),
    "chooses account and amount of its own task's effects": (
        "What an effect says is the handler's to decide; that it is carried out once, under the id of its task, "
        "is all that the swarm sees to."
    ),
    "says anything in its own heartbeats and answers": "They are advice: they size the window, within the spec's bounds.",
    "aims traces of its own publications at registers and marks of its pool": (
        "The broker sends a trace wherever its sender may publish; that is where it may write anyway."
    ),
    "holds part of the pool until it is put out": "It takes the broker's statistics some seconds to show who holds it.",
    "fills the streams of its pool up to their bound": (
        "Registers may not be evicted, or a second writer would win; the bound is reported before it is reached."
    ),
    "reads and writes files, and signals processes, of its operating-system user": (
        "A process has no wall within one user. Run agents as another user, or in containers, if they are not trusted."
    ),
}
"""What gets through, and why it must."""
