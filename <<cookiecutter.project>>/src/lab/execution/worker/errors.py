"""Why a run did not become an experiment."""

from __future__ import annotations


class Unsupported(Exception):
    """What is beyond this worker, though DVC may do it. Nothing of the user's was touched."""


class StageFailed(Exception):
    """A stage did not come to its end; `returncode` is its command's, None where it is not a command that failed."""

    def __init__(self, stage: str, returncode: int | None, reason: str):
        super().__init__(f"failed to reproduce '{stage}': {reason}")
        self.stage = stage
        self.returncode = returncode
