"""`lab mirror`, `lab ui`: designs and their runs on a tracking server."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.app import ROOT, command, designs, open_backends, open_project, planner_of
from lab.errors import UserError

if TYPE_CHECKING:
    from lab.tracking.mirror import Mirror

Designs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[DESIGN]...", help="Files of designs/, or their names.", autocompletion=designs),
]


@command()
def mirror(
    design: Designs = None,
    everything: Annotated[bool, typer.Option("--all", help="All designs that have runs.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on while experiments run, until Ctrl-C.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Show the runs whose experiments are gone; delete them.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: don't ask.")] = False,
    owner: Annotated[int | None, typer.Option("--follow", hidden=True)] = None,
) -> object:
    """Send designs and their runs to MLflow.

    Or to where conf/tracking.yaml says, as often as you like: it sends what is new.
    """
    from lab.cli import view
    from lab.cli.output import Mirrored
    from lab.report import pages
    from lab.tracking import background
    from lab.tracking.mirror import Mirror
    from lab.tracking.mirror import watch as go_on
    from lab.tracking.mlflow import registry
    from lab.tracking.sink import Trouble

    project = open_project()
    if owner is not None:
        background.follow(Mirror(project, pages), owner, lambda: any(b.workers() for b in open_backends()), say)
        return None
    if not design and not everything and not prune:
        raise UserError("which design? lab mirror DESIGN, or lab mirror --all")
    mirror = Mirror(project, pages)
    try:
        if prune:
            remove(mirror, yes)
            return Mirrored(places=[sink.place for sink in mirror.sinks])
        if watch:
            say(f"watching; {mirror.places}. Ctrl-C ends it")
            go_on(mirror, design or (), say)
        report = mirror.once(design or ())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except Trouble as trouble:
        raise UserError(str(trouble)) from trouble
    for sentence in report.messages:
        say(sentence)
    if report.created and (registered := registry.register(project)):  # a store that was made anew knows no champion
        say(registered)
    for line in view.unread(project.unread()):
        say(line)
    say(f"{report.created} runs new, {report.updated} brought up to date: {mirror.places}")
    return Mirrored(
        places=[sink.place for sink in mirror.sinks],
        created=report.created,
        updated=report.updated,
        messages=report.messages,
    )


def say(line: str) -> None:
    """Print a line at once: the mirror's log is read while it grows."""
    print(line, flush=True)


def remove(mirror: Mirror, yes: bool) -> None:
    """Show the runs whose experiments are gone, and delete them when that is wanted."""
    for sink, runs in mirror.gone():
        for name in runs.values():
            print(name)
        if not runs:
            print(f"{sink.place}: nothing to prune")
        elif yes or typer.confirm(f"Delete these {len(runs)} runs from {sink.place}?"):
            sink.delete(runs)
            print(f"{len(runs)} runs deleted")


@command()
def ui(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Of 127.0.0.1; runs have the next.")] = 5000,
    show: Annotated[bool, typer.Option("--open", help="Show the designs in the browser.")] = False,
) -> object:
    """Show MLflow's pages, and a page of the runs as they go on.

    Both are of this machine alone, until Ctrl-C. Where another server has the runs, its address.
    """
    from lab.cli import live, live_page
    from lab.cli.output import Mirrored
    from lab.cli.run import answered
    from lab.tracking.mlflow.ui import serve

    places: list[str] = []

    def tell(line: str) -> None:
        places.append(line)
        say(line)

    project = open_project()

    read = live.Reading(
        project,
        lambda name: planner_of(ROOT / "designs" / f"{name}.yaml", project),
        lambda name: answered(name, project),
    )

    def workers() -> dict[str, int | None]:
        return {backend.name: backend.workers() for backend in open_backends()}

    status = live.Live(project, read, workers).status
    with live_page.served(status, port + 1) as page, suppress(KeyboardInterrupt):
        tell(f"{page} has the runs as they go on; Ctrl-C ends it")
        if not serve(ROOT, port, tell, typer.launch if show else None):
            if show:
                typer.launch(page)
            threading.Event().wait()
    return Mirrored(places=places)
