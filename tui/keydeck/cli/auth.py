"""``keydeck auth``: the group. Each command has a module of its own, loaded when it is called."""

from __future__ import annotations

import importlib
from typing import Any, Final

import click

_COMMANDS: Final = (
    "list",
    "add",
    "remove",
    "reset",
    "pause",
    "resume",
    "refresh",
    "rename",
    "move",
    "edit",
    "strategy",
    "cooldown",
    "status",
    "explain",
    "events",
)


class _AuthGroup(click.Group):
    """Loads a command's module when somebody asks for it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they are explained."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command."""
        if cmd_name not in _COMMANDS:
            return None
        module: Any = importlib.import_module(f"keydeck.cli.auth_{cmd_name}")
        command: click.Command = module.command
        return command


@click.group(cls=_AuthGroup)
def auth() -> None:
    """List and change credentials."""
