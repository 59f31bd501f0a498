"""What is remembered of a design's runs in MLflow: to read a thousand of them takes it ten seconds.

A pass asks for those that have changed. What is not as it was remembered, or was read too long ago, is read anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from lab.tracking.mlflow.writing import digest_of

if TYPE_CHECKING:
    from mlflow.entities import Run as Stored

WHOLE, SHARE = 60.0, 20  # seconds for which runs are remembered, and times that it took to read them, if that is longer
Found = TypeVar("Found")


class Known(NamedTuple):
    """What is remembered of an experiment's run: `digest` is what it was sent in full, empty where that isn't known."""

    run_id: str
    digest: str
    revision: str

    @classmethod
    def of(cls, stored: Stored) -> Known:
        """What a run says of itself."""
        return cls(stored.info.run_id, digest_of(stored), stored.data.tags.get("dvc.exp.rev", ""))


class Remembered(NamedTuple):
    """A design's runs by key, all below `parent`, as known `since` (`time.monotonic`); to read them `took` s."""

    parent: str
    runs: dict[str, Known]
    since: float
    took: float

    @property
    def is_old(self) -> bool:
        """Whether they are to be read again."""
        return time.monotonic() - self.since > max(WHOLE, SHARE * self.took)


def timed(read: Callable[[], Found]) -> tuple[Found, float]:
    """What is read, and the seconds that it took."""
    began = time.monotonic()
    return read(), time.monotonic() - began
