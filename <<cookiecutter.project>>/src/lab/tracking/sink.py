"""Where runs are put: what a sink has to do, and the known ones by name.

A sink of one's own is a class with these methods, that passes `lab.tracking.conformance`, and a line in SINKS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lab.tracking.run import Run
    from lab.tracking.settings import Settings

SINKS = {"mlflow": "lab.tracking.mlflow.sink", "wandb": "lab.tracking.wandb.sink"}
"""Modules by the names that conf/tracking.yaml may list; `create(root, settings)` in them makes the sink."""


class Trouble(Exception):
    """A server that is down or refuses. The message is one line for a person."""


@dataclass
class Report:
    """What was done: how many runs were made and how many changed.

    `messages` are sentences on runs that took another's place. `problems` are the artifacts that were not taken, in a
    line each: nothing else waits for them.
    """

    created: int = 0
    updated: int = 0
    messages: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __iadd__(self, other: Report) -> Report:
        self.created += other.created
        self.updated += other.updated
        self.messages += other.messages
        self.problems += other.problems
        return self


class Member(Protocol):
    """An experiment to send; what it holds is read when it is needed."""

    @property
    def key(self) -> str:
        """What tells it from all other runs, on any clone."""
        ...

    @property
    def digest(self) -> str:
        """Changes when there is something to send."""
        ...

    @property
    def revision(self) -> str:
        """The experiment's commit; empty before it has finished."""
        ...

    def run(self) -> Run:
        """Everything about it."""
        ...


class Design(Protocol):
    """A design to send, with its experiments."""

    @property
    def key(self) -> str: ...
    @property
    def digest(self) -> str:
        """Changes when anything of the design or of its experiments does."""
        ...

    @property
    def start(self) -> int:
        """When its first run started, in milliseconds since the epoch."""
        ...

    @property
    def members(self) -> Sequence[Member]: ...
    def parent(self, ids: Mapping[str, str]) -> Run:
        """The design's own run; `ids` are its experiments' at the sink, by key."""
        ...


class Sink(Protocol):
    """A place for the runs of a project. All that it raises, but for mistakes in settings, is Trouble."""

    name: str
    """What conf/tracking.yaml calls it."""

    @property
    def place(self) -> str:
        """Where the runs are, for people; without passwords."""
        ...

    def state(self) -> str:
        """What changes when anybody writes there, if that is known without asking a server; else empty."""
        ...

    def begin(self) -> None:
        """Look at what is there. Comes before `has`, `send` and `gone`."""
        ...

    def has(self, design: Design) -> bool:
        """Whether a design is there just as it is now."""
        ...

    def send(self, design: Design) -> Report:
        """Bring a design and its experiments up to date: killed at any moment, and done again, it ends the same."""
        ...

    def gone(self, designs: Iterable[Design]) -> dict[str, str]:
        """The runs that no experiment stands behind any more: the sink's own ids, with what they are called."""
        ...

    def delete(self, ids: Iterable[str]) -> None:
        """Delete runs by such ids."""
        ...


def create(name: str, root: Path, settings: Settings) -> Sink:
    """The sink of the project at `root` that conf/tracking.yaml calls so. Raises UserError: its package is missing."""
    return import_module(SINKS[name]).create(root, settings)
