"""The terminal that stages write their tables to."""

from __future__ import annotations

from rich.console import Console


def console() -> Console:
    """Prints texts as they are: a class may be called `[e]` or `:smile:`, which rich would take for its own markup."""
    return Console(markup=False, emoji=False, highlight=False)
