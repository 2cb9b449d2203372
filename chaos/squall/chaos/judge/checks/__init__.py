"""A history in, a verdict out; one file a pattern, named after it.

A check passes only on complete evidence. What it finds wrong is either *shown*
by lines that are there (an order filled twice) and fails whatever else is
missing, or *inferred* from lines that are not (a task without a register) and
fails only if nothing is missing. What had to be seen for a pass and was not, is
unknown.
"""

from squall.chaos.judge.checks.hierarchical import CHECKS

__all__ = ["CHECKS"]
