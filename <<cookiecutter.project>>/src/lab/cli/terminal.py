"""The terminal that commands write to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text


def console() -> Console:
    """Prints texts as they are: an arm may be called `[e]` or `:smile:`, which rich would take for its own markup."""
    return Console(markup=False, emoji=False, highlight=False)


def redraws(place: Console) -> bool:
    """Whether what is shown can be drawn anew there; in a log or an editor's shell lines follow lines."""
    return place.is_terminal and not place.is_dumb_terminal


@dataclass
class Name:
    """The name of an arm, such as `lr=0.01,batch_size=16`: where it needs several lines, they end with its commas."""

    text: str
    style: str = ""

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        widest = max(map(cell_len, self._parts()))
        return Measurement(widest, cell_len(self.text)).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [""]
        for part in self._parts():
            lines = lines if cell_len(lines[-1] + part) <= options.max_width else [*lines, ""]
            lines[-1] += part
        yield Text("\n".join(filter(None, lines)), style=self.style, overflow="fold")

    def _parts(self) -> list[str]:
        return re.findall("[^,]*,|[^,]+", self.text) or [""]
