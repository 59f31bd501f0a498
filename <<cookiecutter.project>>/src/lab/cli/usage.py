"""A command line that can't be read, in a line: what is wrong with it, and how the command is called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from lab.contract.messages import explained
from lab.errors import nearest

if TYPE_CHECKING:
    import typer

QUOTED = re.compile(r"'(.*?)'")
BRACKETS = re.compile(r"\[(\[\w+\])(\.\.\.)?\](?:\.\.\.)?|\{(\w+)\}")  # that typer puts around our own


def sentence(error: typer.TyperException) -> str:
    """What to tell of a command line that typer refuses."""
    context = getattr(error, "ctx", None)
    if context is None:
        return _told(error, None)
    usage = " ".join(context.get_usage().removeprefix("Usage: ").split())
    called = BRACKETS.sub(lambda found: found[3] or f"{found[1]}{found[2] or ''}", usage)
    return f"{_told(error, context.command).removesuffix('.')}: {called}"


def _told(error: Any, command: Any) -> str:
    """What is wrong. Which error it is only its class says, and typer hands out but its base."""
    kind, said = type(error).__name__, error.format_message()
    option, commands = getattr(error, "option_name", ""), getattr(command, "commands", {})
    if kind == "NoSuchOption":
        options = [name for parameter in command.params for name in parameter.opts]
        return f"there is no option {option}.{nearest(option, options)}"
    if kind == "BadOptionUsage":
        return f"{option} {'expects a value' if 'requires' in said else 'takes no value'}"
    if kind == "MissingParameter":
        return f"{_name(error.param)} is missing"
    if isinstance(error.__cause__, ValidationError):
        return f"{_name(error.param)}: {explained(error.__cause__.errors()[0])}"
    if commands and (named := QUOTED.search(said)):
        return f"there is no command {named[1]}.{nearest(named[1], commands)}"
    if extra := re.search(r"unexpected extra argument.*\((.*)\)", said):
        return f"{extra[1]} is more than it takes"
    return said


def _name(parameter: Any) -> str:
    """What a parameter is called on the command line."""
    options = [name for name in parameter.opts if name.startswith("-")]
    return max(options, key=len) if options else (parameter.metavar or parameter.name).strip("[].")
