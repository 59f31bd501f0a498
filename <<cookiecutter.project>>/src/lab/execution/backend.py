"""Where runs are carried out: what a backend has to do. `registry` knows which there are.

A backend only carries runs out. Which runs those are, what they are called, and whether one has to be retried is
decided by the modules beside this one; what came out is in git, as DVC experiments, whoever made them. `conformance`
is a test suite that a new backend has to pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from lab.design.resources import UNSTATED, Resources
from lab.records.pending import Pending


class Job(NamedTuple):
    """An experiment to be made.

    Its name, what its params.yaml holds, the stage that it ends with, what it takes of the machine that runs it, and
    the commit that it starts from; None stands for HEAD.
    """

    name: str
    params: dict[str, Any]
    stage: str
    resources: Resources = UNSTATED
    baseline: str | None = None


class Backend(Protocol):
    """Carries out runs of one project. All of its state outlives the process: another takes up where one was killed."""

    name: str
    """What `lab run --on` calls it."""
    jobs: int | None
    """How many runs at a time, where nobody says; None where it knows that best."""
    is_here: bool
    """Whether runs are carried out in the environment of this process, and lack what it lacks."""

    def pending(self) -> Sequence[Pending]:
        """The runs that are queued, running or failed, in the order in which they were queued.

        Those that are experiments by now may be among them, as `delivered`, until they are tidied up.
        """
        ...

    def alone(self) -> AbstractContextManager[Any]:
        """Keeps every other `lab` from changing what is queued; it ends with the process, however that ends."""
        ...

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue experiments, in this order: all of them or, after any error, none. Called inside `alone`.

        Neither the work tree nor the index nor HEAD may change by it. Raises UserError.
        """
        ...

    def start(self, workers: int | None) -> None:
        """See to it that as many workers are there; a worker ends when nothing is queued. Raises UserError.

        None leaves their number to the backend, where its `jobs` is None.
        """
        ...

    def workers(self) -> int:
        """How many runs are or may be carried out at a time, whoever started that.

        A worker that is at nothing although it should be, or that should have ended, does not count.
        """
        ...

    def room(self, resources: Resources) -> int | None:
        """How many runs that take so much it carries out at a time, whatever `start` asks; None: as many as asked."""
        ...

    def stop(self) -> int:
        """Ask the workers to end after the runs that they are at. Returns how many were asked."""
        ...

    def end(self) -> None:
        """End the runs that workers are at: they become failed ones, with a returncode that tells of a signal."""
        ...

    def repair(self) -> None:
        """Put right what a crash left: a run that nobody is at any more becomes an experiment, or is queued anew."""
        ...

    def retry(self, run: Pending) -> None:
        """Queue a failed run anew, with the same params on the same commit."""
        ...

    def tidy(self, names: set[str]) -> None:
        """Forget what it has noted on runs of these names that are experiments by now.

        The workers that this object has started are ended, but for those that are at a run.
        """
        ...
