"""How fast a predictor is, and a plain statement of what was measured and on what.

A call is timed from a preprocessed batch in host memory to the raw output in host memory, so a GPU's transfers count.
Machines swing: medians of one model differ by a factor of almost two within a minute on a shared host. Therefore the
candidates of a comparison take turns round by round, and each is judged by its best round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from ..shared.stage import cpu_model
from . import cpu_load
from .predictor import Predictor

T = TypeVar("T")


def benchmark(
    predictors: Mapping[str, Predictor], batch_sizes: Sequence[int], warmup: int, repeats: int, rounds: int
) -> dict[str, dict[str, Any]]:
    """Synchronous latency and throughput of several predictors, side by side.

    Args:
        predictors: what to compare, by name.
        batch_sizes: images a call; each is measured on its own.
        warmup: calls before the first timed one.
        repeats: timed calls a round.
        rounds: how often the predictors take turns.

    Returns:
        For each name `measured` (see `describe`; `busy` is the share of the machine's CPUs that other processes took
        meanwhile) and for each size `batch_<n>`: `latency_ms` of the best round, the one with the lowest median, as
        `p50`, `p90`, `p99` a call, and `throughput` in images a second over that round.
    """
    busy = cpu_load.watch()
    report: dict[str, dict[str, Any]] = {
        name: {"measured": describe(predictor) | {"warmup": warmup, "repeats": repeats, "rounds": rounds}}
        for name, predictor in predictors.items()
    }
    for size in batch_sizes:
        work = {name: prepare(predictor, size, warmup, repeats) for name, predictor in predictors.items()}
        for name, times in take_turns(work, rounds).items():
            report[name][f"batch_{size}"] = summarise(times, size)
    share = busy()
    for measurement in report.values():
        measurement["measured"]["busy"] = share
    return report


def prepare(predictor: Predictor, batch_size: int, warmup: int, repeats: int) -> Callable[[], np.ndarray]:
    """Warm the predictor up; the result runs one round and gives the time of each call (repeats,) in ms."""
    batch = example(predictor.model.image_size, batch_size)
    synchronise = _synchroniser(predictor.device)

    def one_round() -> np.ndarray:
        times = np.empty(repeats)
        for i in range(repeats):
            synchronise()
            start = time.perf_counter()
            predictor(batch)
            synchronise()
            times[i] = time.perf_counter() - start
        return 1000 * times

    for _ in range(warmup):
        predictor(batch)
    return one_round


def take_turns(work: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Run every callable once a round, and collect what each gave."""
    results: dict[str, list[T]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, one_round in work.items():
            results[name].append(one_round())
    return results


def summarise(times: Sequence[np.ndarray], batch_size: int) -> dict[str, Any]:
    """The best of several rounds of call times in ms, as `benchmark` reports it."""
    best = min(times, key=lambda one_round: float(np.median(one_round)))
    return {
        "latency_ms": {f"p{q}": float(np.percentile(best, q)) for q in (50, 90, 99)},
        "throughput": float(1000 * batch_size * len(best) / best.sum()),
    }


def example(image_size: int, batch_size: int) -> np.ndarray:
    """A batch (N, 3, S, S) float32 in [0, 1) of noise, the same every time: speed doesn't depend on what is seen."""
    return np.random.default_rng(0).random((batch_size, 3, image_size, image_size), dtype=np.float32)


def describe(predictor: Predictor) -> dict[str, Any]:
    """What a figure was measured on: backend, precision, device and its name, CPU threads, image size."""
    return {
        "backend": predictor.backend,
        "precision": predictor.precision,
        "device": predictor.device,
        "device_name": device_name(predictor.device),
        "threads": threads(predictor),
        "image_size": predictor.model.image_size,
    }


def device_name(device: str) -> str:
    """The model of the GPU or of the processor."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return cpu_model()


def threads(predictor: Predictor) -> int:
    """CPU threads of a predictor; torch's are a setting of the whole process."""
    if predictor.backend == "torch":
        import torch

        return torch.get_num_threads()
    return predictor.threads  # type: ignore[attr-defined]


def _synchroniser(device: str) -> Callable[[], None]:
    """What waits until the device has done its work; the CPU is done when the call returns."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.synchronize
    return lambda: None
