"""Runs every check, in order: ``python tests/check.py [--fast]``.

``--fast`` leaves out the tests marked slow.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = sys.executable
TOOLS = Path(PYTHON).parent

CHECKS = [
    ("format", [str(TOOLS / "ruff"), "format", "--check", "."]),
    ("lint", [str(TOOLS / "ruff"), "check", "."]),
    ("types, mypy", [str(TOOLS / "mypy"), "-p", "squall.bus", "-p", "squall.services", "-p", "squall.chaos"]),
    ("types, pyright", [str(TOOLS / "pyright"), "--pythonpath", PYTHON]),
    ("tests", [PYTHON, "-m", "pytest"]),
]


def main() -> int:
    """Run them all; 1 if one failed."""
    failed = []
    for name, command in CHECKS:
        print(f"== {name}", flush=True)  # noqa: T201
        if name == "tests" and "--fast" in sys.argv:
            command = [*command, "-m", "not slow and not everything"]
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed", flush=True)  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
