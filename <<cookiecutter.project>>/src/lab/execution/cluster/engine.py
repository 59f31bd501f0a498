"""What starts programs on nodes. An engine only places runs and starts them again; git knows what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from lab.execution.cluster.tasks import Task


class Engine(Protocol):
    """An engine, made by `Engine(folder, settings)`.

    `folder` has arrays/NAME, which lists the ids of tasks submitted together, tasks/ID/task.json for the program on
    the node, and that program, node.pyz. What an engine is at has to be found again by another process from these files
    and the engine alone.
    """

    Settings: type[Any]
    """Its part of conf/cluster.yaml: a `lab.execution.cluster.settings.Settings`."""

    def __init__(self, folder: Path, settings: Any): ...

    def submit(self, tasks: Sequence[Task], width: int | None) -> None:
        """Have nodes carry these out, at most `width` of them at a time. Raises UserError.

        What each takes of a node is in its task.json: gpus, cpus and memory.
        """
        ...

    def alive(self) -> Mapping[str, bool]:
        """By a task's id, what it has and has not brought to an end; True for those that are on a node.

        Raises UserError where the engine does not answer.
        """
        ...

    def drop(self, running: bool) -> None:
        """Take back what waits; with `running`, end the others, too."""
        ...
