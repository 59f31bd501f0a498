"""`lab gc`: data that nothing needs, freed."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.app import command, open_backend, open_project

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lab.retention.gc import Found


@command()
def gc(
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", metavar="DESIGN|models", help="All of a design's runs, or all models. Repeatable."),
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Also on DVC's remote, and in a cache outside of the project.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> object:
    """Free models, checkpoints and data that nothing needs any more.

    Verdicts, the champion, reviews and open designs keep theirs. It first says what goes and what stays. The runs stay
    what they are: params, metrics, curves and answers.
    """
    from lab.cli.output import Freed
    from lab.cli.terminal import console as terminal
    from lab.retention import gc as retention

    project, words = open_project(), keep or []
    with ExitStack() as stack:
        found = retention.look(project, stack, words, shared)
    console = terminal()
    if not console.is_terminal:
        console.width = max(console.width, 160)
    show(console, found)
    if not found.checkouts and not any(found.freed(place) for place in found.places):
        print("Nothing to free.")
        return Freed(places={})
    if not (yes or typer.confirm("Free it?")):
        raise typer.Exit(1)
    freed = retention.free(project, open_backend(), words, shared, found)
    for place, (files, size) in freed.items():
        print(f"freed {place}: {files} files, {amount(size)}")
    return Freed(places={place: {"files": files, "bytes": size} for place, (files, size) in freed.items()})


def show(console: Console, found: Found) -> None:
    """What goes, by output and design, and what is kept, by the reason."""
    from rich.text import Text

    plan, places = found.plan, found.places
    goes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    runs: dict[tuple[str, str], set[str]] = defaultdict(set)
    stays: dict[str, Counter[str]] = defaultdict(Counter)
    for place in places:
        for md5 in found.freed(place):
            output = plan.freed[md5]
            goes[output.path, output.design][place.name] += place.sizes[md5]
            runs[output.path, output.design].add(output.run)
        for md5 in plan.kept.keys() & place.sizes.keys():
            stays[plan.kept[md5]][place.name] += place.sizes[md5]
    names = [place.name for place in places]
    if goes:
        table = columns("free", "design", "runs", *names)
        for (path, design), sizes in sorted(goes.items(), key=lambda item: -item[1].total()):
            count = str(len(runs[path, design])) if design else ""
            table.add_row(
                Text(path), Text(design or "of failed or removed runs"), count, *(amount(sizes[name]) for name in names)
            )
        table.add_row("together", "", "", *(amount(sum(sizes[name] for sizes in goes.values())) for name in names))
        console.print(table)
    if stays:
        table = columns("keep, because of", *names)
        for why, sizes in sorted(stays.items(), key=lambda item: -item[1].total()):
            table.add_row(Text(why), *(amount(sizes[name]) for name in names))
        console.print(table)
    if found.checkouts:
        size = amount(sum(found.checkouts.values()))
        console.print(f"{len(found.checkouts)} temporary checkouts of runs that were killed go as well: {size}")
    for sentence in found.left:
        console.print(Text(sentence), soft_wrap=True)


def columns(*names: str) -> Table:
    """An empty table; numbers stand to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        words = name in ("free", "design", "keep, because of")
        table.add_column(name, justify="left" if words else "right", overflow="fold")
    return table


def amount(size: int) -> str:
    """Bytes, as people read them."""
    power = min((len(str(size)) - 1) // 3, 4)
    value = size / 1000**power
    return f"{value:.{0 if power == 0 or value >= 100 else 1}f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
