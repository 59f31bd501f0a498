"""What a backend tells of a run that is no experiment yet."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Pending(Protocol):
    """A run that is queued, running, or over without results. Times are in seconds since the epoch.

    As long as nothing of it has changed, it equals what it was.
    """

    @property
    def name(self) -> str: ...
    @property
    def commit(self) -> str:
        """The commit that holds its params."""
        ...

    @property
    def baseline(self) -> str:
        """The commit that it starts from."""
        ...

    @property
    def status(self) -> str:
        """QUEUED, RUNNING or FAILED; of a run that ended well, and so is an experiment, REMOVED: where it is none."""
        ...

    @property
    def backend(self) -> str:
        """The backend that has it, by its name."""
        ...

    @property
    def node(self) -> str:
        """The machine that it is or was on; empty for this one, and before it has come to any."""
        ...

    @property
    def taken(self) -> float:
        """When a worker took it; infinite before that."""
        ...

    @property
    def ended(self) -> float:
        """When it ended; infinite before that."""
        ...

    @property
    def log(self) -> Path:
        """What its stages printed; the file may be absent."""
        ...

    @property
    def returncode(self) -> int | None:
        """What its process ended with; None while it runs, or where it never came to that."""
        ...

    @property
    def delivered(self) -> bool:
        """Whether its stages came to their end, so that an experiment should be there."""
        ...
