"""No file of the project holds a secret."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECRETS = re.compile(
    r"\bS[UAON][A-Z2-7]{56}\b"  # NATS seeds
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\beyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}\."  # tokens
    r"|\b(?:e2b|sk_e2b)_[0-9a-f]{20,}"
)


def test_no_file_holds_a_secret() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [
        name
        for name in listed.stdout.splitlines()
        if (ROOT / name).is_file() and SECRETS.search((ROOT / name).read_text(errors="replace"))
    ]
    assert found == []


def test_a_secret_would_be_seen() -> None:
    seed = "SU" + "A" * 56
    token = "eyJ" + "a" * 30 + "." + "b" * 30 + "."
    assert SECRETS.search(f"x {seed} y")
    assert SECRETS.search(token)
