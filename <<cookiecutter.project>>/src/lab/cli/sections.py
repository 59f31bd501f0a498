"""`lab --help`: the commands in the order in which a question comes to its answer."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

SECTIONS = {
    "A question": ("new", "check", "plan"),
    "Its runs": ("run", "status", "logs", "stop", "queue"),
    "Its answer": ("results", "report", "review", "promote"),
    "The project": ("ui", "mirror", "gc", "schema"),
}


class Sections(TyperGroup):
    """`lab` with its commands by section."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for names in SECTIONS.values() for name in names]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.commands))
        for title, names in SECTIONS.items():
            with formatter.section(title):
                short = {name: self.commands[name].get_short_help_str(formatter.width - width - 6) for name in names}
                formatter.write_dl([(name.ljust(width), told) for name, told in short.items()])
