"""Ends what a worker runs when the worker is gone: a shell's children don't end with it."""

from __future__ import annotations

import subprocess
from contextlib import suppress

# Whatever reads the end of its input after the worker's last word: nothing else has the other side of that pipe.
WAITS = 'stage=0; while read -r next; do stage=$next; done; [ "$stage" = 0 ] || kill -9 "-$stage"'


class Guard:
    """A small process beside a worker, in a session of its own. It survives the worker, by a moment."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", WAITS],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """The process group that has to end with the worker; 0 for none."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{group}\n".encode())
            self._process.stdin.flush()

    def close(self) -> None:
        """End the guard, and nothing else."""
        self.watch(0)
        with suppress(BrokenPipeError):
            self._process.communicate()
