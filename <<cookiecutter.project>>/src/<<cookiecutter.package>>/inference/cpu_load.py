"""What else a machine does while a speed is measured on it: other programs make it slower, such as another training."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def watch() -> Callable[[], float]:
    """Begin; the result gives the share of all CPUs, 0 to 1, that other processes have taken since.

    CPU times are counted in ticks of 10 ms: over a tenth of a second it is good to a few hundredths.
    """
    process = psutil.Process()
    psutil.cpu_percent()  # the first call only notes where the counters stand
    began, own = time.perf_counter(), sum(process.cpu_times()[:2])

    def share() -> float:
        all_of_it = psutil.cpu_percent() / 100
        available = (time.perf_counter() - began) * (psutil.cpu_count() or 1)
        mine = (sum(process.cpu_times()[:2]) - own) / available if available else 0.0
        return round(min(1.0, max(0.0, all_of_it - mine)), 2)

    return share


def told(share: float) -> str:
    """How far a speed can be trusted, in words: `while other programs took 97 % of the CPUs`."""
    return f"while other programs took {100 * share:.0f} % of the CPUs"
