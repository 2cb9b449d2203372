"""What ``--help`` says beside the commands' own texts: all of each text, the defaults, the environment."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence

import msgspec
from typer import Context
from typer._click.core import Command
from typer._click.core import Context as ClickContext
from typer._click.formatting import HelpFormatter
from typer.core import TyperGroup

from squall.services.patterns import PATTERNS

COLUMNS_MAX = 80
COLUMNS_MIN = 30

ENVIRONMENT: Mapping[str, str] = {
    "NATS_SERVER": "The nats-server to run; otherwise the one installed with Squall, not one on PATH.",
    "NATS_URL": "The broker of effects or of a handler, where their table in a spec names none.",
    "NATS_CREDS": "With --nats: a file of credentials for that broker; otherwise none are sent.",
    "NATS_CA": "With --nats tls://...: a file of certificate authorities; otherwise the system's.",
    "TOXIPROXY_SERVER": "The toxiproxy-server to run; otherwise one on PATH, otherwise one built once.",
    "SQUALL_IMAGE": "With --on containers: the image that nodes run from; otherwise squall:<version>.",
    "XDG_CACHE_HOME": "Where the one that was built is kept, in squall/; otherwise ~/.cache.",
    "COLUMNS": "How wide tables are, otherwise as wide as the terminal; without one, 80.",
    "NO_COLOR": "If it is set, nothing is coloured.",
    "TMPDIR": "Where the traceback of a defect is left; otherwise /tmp.",
}
"""Every variable that somebody may set, and what counts without it."""


def width() -> int:
    """Columns for a help text, of which click would take fifty at least."""
    return max(COLUMNS_MIN, min(COLUMNS_MAX, shutil.get_terminal_size().columns) - 2)


def default_of(field: str) -> str:
    """The default of a field of every spec; by pattern, where they differ."""
    defaults = {
        name: next(each.default for each in msgspec.structs.fields(pattern.spec) if each.name == field)
        for name, pattern in PATTERNS.items()
    }
    if len(set(defaults.values())) == 1:
        return str(next(iter(defaults.values())))
    return ", ".join(f"{name} {value}" for name, value in defaults.items())


class _Formatter(HelpFormatter):
    """Names take a third of a line at most, so that a narrow terminal has room for what is said of them."""

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl(rows, min(col_max, self.width // 3), col_spacing)


class _Context(Context):
    formatter_class = _Formatter


class Commands(TyperGroup):
    """The command whose help shows each command's whole first paragraph, and the environment."""

    context_class = _Context

    def get_command(self, ctx: ClickContext, cmd_name: str) -> Command | None:
        """One whose help is laid out as ours is."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            command.context_class = _Context
        return command

    def format_commands(self, ctx: ClickContext, formatter: HelpFormatter) -> None:
        """Unlike Typer's own, which cuts it to what is left of a line."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            text = "" if command is None else (command.help or "")
            rows.append((name, " ".join(text.split("\n\n")[0].split())))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: ClickContext, formatter: HelpFormatter) -> None:
        """What it reads from its environment, and how it ends."""
        with formatter.section("Environment"):
            formatter.write_dl(list(ENVIRONMENT.items()))
        with formatter.section("Exit codes"):
            formatter.write_dl(
                [
                    ("0", "every check passes"),
                    ("1", "a check fails"),
                    ("2", "unusable input; nothing was started"),
                    ("3", "a verdict is unknown, and none fails"),
                    ("4", "the harness, the broker or the command itself is broken"),
                    ("130", "interrupted"),
                ]
            )
