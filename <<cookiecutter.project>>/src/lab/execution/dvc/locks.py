"""DVC's locks, which a worker holds for a moment at each experiment's start and end."""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.errors import UserError

PATIENCE = 60  # seconds to wait for them


def patiently(action: Callable[[], object]) -> None:
    """Do what needs DVC's lock as soon as it is free. Raises UserError."""
    from dvc.lock import LockError

    until = time.monotonic() + PATIENCE
    while True:
        try:
            action()
            return
        except LockError as error:
            if time.monotonic() > until:
                raise UserError(f"DVC has been locked by another process for {PATIENCE} s: {error}") from error
            time.sleep(0.2)
