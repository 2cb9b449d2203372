"""What to type to get a part of Squall that is not installed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shlex
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import msgspec

NAME = "squall"


def command_for(extra: str) -> str:
    """The command that installs an extra of Squall beside it, from where Squall itself was installed."""
    return f"uv pip install {_source(_direct_url(), extra)}"


def _source(direct: Mapping[str, object], extra: str) -> str:
    """What names Squall with an extra to an installer.

    Args:
        direct: What its installer left in ``direct_url.json``; empty if it came from an index.

    Source: PEP 610.
    """
    url = str(direct.get("url", ""))
    if not url:
        return shlex.quote(f"{NAME}[{extra}]")
    if not url.startswith("file:"):
        scheme = "git+" if "vcs_info" in direct else ""
        return shlex.quote(f"{NAME}[{extra}] @ {scheme}{url}")
    path = shlex.quote(f"{unquote(urlsplit(url).path)}[{extra}]")
    folder = direct.get("dir_info")
    is_editable = isinstance(folder, Mapping) and bool(folder.get("editable"))
    return f"-e {path}" if is_editable else path


def _direct_url() -> Mapping[str, object]:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError, OSError, msgspec.DecodeError):
        text = importlib.metadata.distribution(NAME).read_text("direct_url.json")
        return msgspec.json.decode(text, type=dict[str, object]) if text else {}
    return {}
