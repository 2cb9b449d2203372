"""Where each class of attacks is tried, and what gets through because it cannot be otherwise."""

from __future__ import annotations

CLASSES: dict[str, str] = {
    "permissions, in one broker": "integration/test_attacks.py",
    "permissions, replies, headers, bare protocol, forged tokens": "scenarios/attacks/test_attacks_rights.py",
    "what a register, a heartbeat, an answer or a mark says": "scenarios/attacks/test_attacks_content.py",
    "floods, hogging, filling, tasks that never end": "scenarios/attacks/test_attacks_floods.py",
    "what a handler returns, raises or prints": "scenarios/attacks/test_attacks_results.py",
    "processes of the same user": "scenarios/attacks/test_attacks_process.py",
}
"""Class to file, below the folder of the tests."""

INHERENT = (
    "writes any register of its pool",
    "acknowledges, gives back or terminates what another of its pool holds",
    "spends the attempts of any task of its pool",
    "chooses account and amount of its own task's effects",
    "says anything in its own heartbeats and answers",
    "aims traces of its own publications at registers and marks of its pool",
    "holds part of the pool until it is put out",
    "fills the streams of its pool up to their bound",
    "reads and writes files, and signals processes, of its operating-system user",
    "finds Toxiproxy's API",
)
"""What gets through; README's table under "What is trusted" says why each of these must."""
