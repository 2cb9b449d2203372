"""Which code of ours this is: a digest of all modules of the bus and the services.

A version alone does not tell two images apart that were built from a checkout on two days.
``python -m squall.services.revision`` prints it.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import squall.bus
import squall.services
from squall.services.printing import print_line


@functools.cache
def revision() -> str:
    """Sixteen hex digits, the same for the same modules wherever they are installed."""
    digest = hashlib.sha256()
    for package in (squall.bus, squall.services):
        root = Path(next(iter(package.__path__)))
        for file in sorted(root.rglob("*.py")):
            digest.update(f"{package.__name__}/{file.relative_to(root).as_posix()}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    print_line(revision())
