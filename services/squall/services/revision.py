"""Which code of ours this is: a digest of all modules of all its parts.

A version alone does not tell two images apart that were built from a checkout on two days.
``python -m squall.services.revision`` prints it.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import squall
from squall.services.printing import print_line


@functools.cache
def revision() -> str:
    """Sixteen hex digits, the same for the same modules wherever they are installed."""
    digest = hashlib.sha256()
    parts = {
        part.name: part for root in map(Path, squall.__path__) for part in root.iterdir() if part.is_dir()
    }
    for name, part in sorted(parts.items()):
        for file in sorted(part.rglob("*.py")):
            digest.update(f"{name}/{file.relative_to(part).as_posix()}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    print_line(revision())
