"""What can go wrong in the harness.

    ChaosError                   carries kind, remedy and the exit code it means for a command
    └── NotARunError             this directory holds no run (exit 2)

What is wrong with the evidence of a run is no error: it makes a verdict unknown.
"""

from __future__ import annotations


class ChaosError(Exception):
    """Base of everything the harness raises.

    Attributes:
        kind: A short name for programs.
        remedy: What to do about it.
        code: Exit code of a command that ends with it.
    """

    kind = "harness"
    code = 4

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class NotARunError(ChaosError):
    """This directory holds no run."""

    kind = "input"
    code = 2
