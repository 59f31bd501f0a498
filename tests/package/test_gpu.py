"""Training and measuring on a real GPU: `make test-gpu`. Where there is none, each of these is skipped."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import SMALL, Workspace

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
SCORES = {
    "detection": "val_mAP50",
    "classification": "val_f1_macro",
    "segmentation": "val_mAP50",
    "multilabel": "val_mAP",
}
TASKS = pytest.mark.parametrize("task", SCORES)
Get = Callable[[str], Workspace]


@pytest.fixture(autouse=True)
def gpu() -> str:
    """The name of the first GPU."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU that torch can use")
    return str(torch.cuda.get_device_name(0))


def settings(task: str, *more: str) -> list[str]:
    return [*SMALL[task], "training.max_epochs=4", "training.devices=cuda", *more]


def score(space: Workspace, task: str) -> float:
    return json.loads((space.root / "metrics" / "train.json").read_text())[SCORES[task]]


@TASKS
def test_mixed_precision_learns_as_much(task: str, prepared: Get, tmp_path: Path, gpu: str) -> None:
    scores = {}
    for precision in ("32", "16-mixed", "bf16-mixed"):
        space = prepared(task).copy(tmp_path / precision)
        space.run_anew("train", *settings(task, f"training.precision={precision}"))
        scores[precision] = score(space, task)
        assert gpu in (space.root / "effective" / "train.yaml").read_text()
    assert max(scores.values()) - min(scores.values()) < 0.15, scores


@TASKS
def test_the_same_seed_learns_the_same(task: str, prepared: Get, tmp_path: Path) -> None:
    """As far as it goes: kernels may add in another order from run to run, so that bits may differ."""
    scores = []
    for number in range(2):
        space = prepared(task).copy(tmp_path / str(number))
        space.run_anew("train", *settings(task))
        scores.append(score(space, task))
    assert scores[0] == pytest.approx(scores[1], abs=0.03)


def test_two_trainings_share_a_gpu(prepared: Get, tmp_path: Path) -> None:
    task = "classification"
    spaces = [prepared(task).copy(tmp_path / str(number)) for number in range(2)]
    running = [
        subprocess.Popen(space.command("train", *settings(task)), cwd=space.root, env=space.environment())
        for space in spaces
    ]
    assert [process.wait(timeout=600) for process in running] == [0, 0]
    assert score(spaces[0], task) == pytest.approx(score(spaces[1], task), abs=0.03)


@TASKS
def test_latency_and_answers_on_a_gpu(task: str, trained: Get, tmp_path: Path) -> None:
    """A model that the CPU has trained says the same there."""
    answers = {}
    for device in ("cpu", "cuda"):
        space = trained(task).copy(tmp_path / device)
        space.run_anew("infer", *SMALL[task], f"infer.device={device}")
        answers[device] = json.loads((space.root / "metrics" / "infer.json").read_text())
    name = SCORES[task].removeprefix("val_")
    assert answers["cpu"][name] == pytest.approx(answers["cuda"][name], abs=0.01)


def test_a_gpu_that_is_absent_is_refused_before_prepare(prepared: Get, tmp_path: Path) -> None:
    space = prepared("classification").copy(tmp_path / "space")
    assert "training.devices=99" in space.message("prepare", "task=classification", "training.devices=99")
