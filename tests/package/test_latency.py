"""The benchmark, with a clock of its own: what it times, in which order, what it makes of it, and what disturbs it."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from workspace import load

latency, cpu_load = load("inference.latency"), load("inference.cpu_load")
openvino_predictor = load("inference.openvino_predictor")


class Clock:
    """Time in seconds that passes only when a predictor works."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Worker:
    """A predictor whose calls take the given times in ms, over and over."""

    backend, precision = "fake", "fp32"

    def __init__(self, clock: Clock, name: str, milliseconds: Sequence[float], calls: list[str], device: str = "cpu"):
        self.clock, self.name, self.milliseconds, self.calls = clock, name, list(milliseconds), calls
        self.model = SimpleNamespace(image_size=8)
        self.device = device
        self.threads = 3
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        self.clock.now += self.milliseconds[len(self.batches) % len(self.milliseconds)] / 1000
        self.batches.append(batch.shape)
        self.calls.append(self.name)
        return batch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(latency, "time", clock)
    return clock


def benchmark(workers: list[Worker], **changed: Any) -> Any:
    settings: dict[str, Any] = {"batch_sizes": [1], "warmup": 2, "repeats": 4, "rounds": 3} | changed
    return latency.benchmark({worker.name: worker for worker in workers}, **settings)


def test_latency_and_throughput_of_a_batch(clock: Clock) -> None:
    found = benchmark([Worker(clock, "a", [20], [])], batch_sizes=[1, 8])["a"]
    assert found["batch_1"]["latency_ms"] == pytest.approx({"p50": 20, "p90": 20, "p99": 20})
    assert found["batch_1"]["throughput"] == pytest.approx(1 / 0.020)
    assert found["batch_8"]["throughput"] == pytest.approx(8 / 0.020)


def test_percentiles(clock: Clock) -> None:
    times = list(range(1, 102))  # 1 to 101 ms: percentile q is q + 1
    found = benchmark([Worker(clock, "a", times, [])], warmup=0, repeats=101, rounds=1)["a"]["batch_1"]
    assert found["latency_ms"] == pytest.approx({"p50": 51, "p90": 91, "p99": 100})
    assert found["throughput"] == pytest.approx(101 / (sum(times) / 1000))


def test_the_best_round_counts(clock: Clock) -> None:
    busy_then_quiet_then_busy = [9, 9, 9, 9, 2, 2, 2, 30, 8, 8, 8, 8]
    found = benchmark([Worker(clock, "a", busy_then_quiet_then_busy, [])], warmup=0)["a"]["batch_1"]
    assert found["latency_ms"]["p50"] == pytest.approx(2)
    assert found["latency_ms"]["p99"] > 20, "its slow call stays in"
    assert found["throughput"] == pytest.approx(4 / 0.036)


def test_warm_up_is_not_timed(clock: Clock) -> None:
    found = benchmark([Worker(clock, "a", [500, 500] + 12 * [1], [])], warmup=2)["a"]["batch_1"]
    assert found["latency_ms"]["p99"] == pytest.approx(1)


def test_candidates_take_turns(clock: Clock) -> None:
    calls: list[str] = []
    benchmark([Worker(clock, "a", [1], calls), Worker(clock, "b", [1], calls)])
    assert "".join(calls) == "aabb" + 3 * "aaaabbbb"


def test_it_says_what_was_measured(clock: Clock) -> None:
    worker = Worker(clock, "a", [1], [])
    measured = benchmark([worker])["a"]["measured"]
    assert 0 <= measured.pop("busy") <= 1
    assert measured == {
        "backend": "fake",
        "precision": "fp32",
        "device": "cpu",
        "device_name": latency.cpu_model(),
        "threads": 3,
        "image_size": 8,
        "warmup": 2,
        "repeats": 4,
        "rounds": 3,
    }
    assert measured["device_name"]
    assert set(worker.batches) == {(1, 3, 8, 8)}


def test_asynchronous_requests_are_kept_in_flight_and_each_is_waited_for(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven images of 10 ms by three requests at once: three rounds of them."""
    monkeypatch.setattr(openvino_predictor, "time", clock)
    started: list[int] = []

    class Request:
        until = 0.0

        def __init__(self, number: int) -> None:
            self.number = number

        def start_async(self, inputs: dict[int, np.ndarray], share_inputs: bool) -> None:
            assert clock.now >= self.until, "it is at work"
            assert inputs[0].shape == (1, 3, 8, 8)
            self.until = clock.now + 0.010
            started.append(self.number)

        def wait(self) -> None:
            clock.now = max(clock.now, self.until)

    numbers = iter(range(3))
    compiled = SimpleNamespace(get_property=lambda _: 3, create_infer_request=lambda: Request(next(numbers)))
    loaded = SimpleNamespace(compile=lambda size, hint: compiled, model=SimpleNamespace(image_size=8))
    one_round, requests = openvino_predictor.OpenVinoPredictor.throughput(loaded, 7)
    assert requests == 3
    assert one_round() == pytest.approx(7 / 0.030)
    assert started == [0, 1, 2, 0, 1, 2, 0]


def test_a_gpu_is_waited_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that returns before the GPU is done costs what the GPU takes; older work is not charged to it."""
    import torch

    worker = Worker(clock, "a", [0], [], device="cuda:0")
    pending = 50.0

    def synchronize() -> None:
        nonlocal pending
        clock.now += pending / 1000
        pending = 0.0

    def launch(batch: np.ndarray) -> np.ndarray:
        nonlocal pending
        pending += 7
        return batch

    monkeypatch.setattr(Worker, "__call__", lambda _, batch: launch(batch))
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the GPU {device}")
    found = benchmark([worker])["a"]
    assert found["batch_1"]["latency_ms"]["p99"] == pytest.approx(7)
    assert found["measured"]["device_name"] == "the GPU cuda:0"


def test_torch_has_its_threads_from_the_process(clock: Clock) -> None:
    import torch

    worker = Worker(clock, "a", [1], [])
    worker.backend = "torch"
    assert benchmark([worker])["a"]["measured"]["threads"] == torch.get_num_threads()


def test_work_of_its_own_is_not_what_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two CPUs 75 % are busy for two seconds, and one of these three seconds of work is this process's."""
    own, now = [3.0], [10.0]
    counters = SimpleNamespace(cpu_times=lambda: (own[0], 0.0, 99.0, 99.0))  # the last two are those of its children
    monkeypatch.setattr(cpu_load, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    fake = SimpleNamespace(Process=lambda: counters, cpu_percent=lambda: 75.0, cpu_count=lambda: 2)
    monkeypatch.setattr(cpu_load, "psutil", fake)
    share = cpu_load.watch()
    own[0], now[0] = 4.0, 12.0
    assert share() == 0.5
    own[0] = 9.0
    assert share() == 0, "counters that don't quite agree are no negative work"


def test_the_images_are_the_same_every_time() -> None:
    batch = latency.example(16, 2)
    assert batch.shape == (2, 3, 16, 16) and batch.dtype == np.float32
    assert np.array_equal(batch, latency.example(16, 2))


def test_another_program_is_seen() -> None:
    share = cpu_load.watch()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            time.sleep(1.5)
            found = share()
        finally:
            other.kill()
    assert found > 0.2 / (os.cpu_count() or 1)
