"""What stages print: names as they are, which rich would take for its own markup."""

import pytest
from omegaconf import OmegaConf
from workspace import load

infer, evaluation = load("stages.infer"), load("inference.evaluation")
NAMES = ["[e]", "[unknown]", "[/x] y", ":smile:", "[red]r[/red]"]


def test_classes_of_odd_names_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"images": 2, "f1_macro": 0.5, "classes": {name: {"f1": 0.25} for name in NAMES}}
    measured = {"backend": "torch", "precision": "fp32", "device_name": "[cpu]", "threads": 1, "busy": 0.0}
    speed = {"measured": measured, "batch_1": {"latency_ms": {"p50": 1.0}, "throughput": 9.0}}
    cfg = OmegaConf.create({"split": "test", "infer": {"site": "[/A]", "latency": {"batch_sizes": [1]}}})
    infer.show(evaluation.Evaluation(metrics, None), speed, cfg)
    printed = capsys.readouterr().out
    assert all(name in printed for name in [*NAMES, "[cpu]", "[/A]"])
