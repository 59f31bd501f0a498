"""The terminal that commands write to."""

from __future__ import annotations

from rich.console import Console


def console() -> Console:
    """Prints texts as they are: an arm may be called `[e]` or `:smile:`, which rich would take for its own markup."""
    return Console(markup=False, emoji=False, highlight=False)
