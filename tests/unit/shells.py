"""Lines of a shell in which ``squall`` is ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SQUALL = Path(sys.executable).parent / "squall"


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Do a line; it fails with whichever of its parts does."""
    path = f"{SQUALL.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
