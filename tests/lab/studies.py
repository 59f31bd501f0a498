"""Studies made up in memory: real designs, and records that say what a test wants them to."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts import VISION

from lab.contract import Contract
from lab.design import design_file
from lab.design.expansion import arms
from lab.nested_keys import get
from lab.study import FAILED, FINISHED, Point, Replicate, Study

SITES = {"variables": {"data.site": ["A", "B"], "infer.site": ["A", "B"]}, "versus": "data.site=A,infer.site=A"}
VARIANTS = ["openvino_fp32", "openvino_fp16", "openvino_int8"]
SIZES, LOSSES = (1.1, 0.56, 0.31), (0.0, 0.001, 0.012)  # of the variants: MB, and what they lose
GAIN = {"none": 0.0, "default": 0.004, "cutout": 0.015, "randaugment": -0.01, "hard": 0.01, "soft": 0.02, "rank": 0.012}


def comparison(variable: str, values: Any, kind: str = "train", **more: Any) -> dict[str, Any]:
    """A comparison as its file has it."""
    return {"kind": "comparison", "type": kind, "comparison": {"variable": variable, "values": values}, **more}


def hypothesis(metric: str = "infer.f1_macro", **more: Any) -> dict[str, Any]:
    """A hypothesis as a design's file has it."""
    return {"claim": "It is better", "metric": metric, **more}


DESIGNS: dict[str, dict[str, Any]] = {
    "single": {"kind": "single", "type": "train", "hypothesis": hypothesis(expected=0.9)},
    "sweep": {
        "kind": "sweep",
        "type": "train",
        "sweep": {"parameters": {"lr": [0.003, 0.01, 0.03], "data.batch_size": [16, 32]}},
    },
    "random": {
        "kind": "sweep",
        "type": "train",
        "seeds": [0],
        "sweep": {
            "strategy": "random",
            "max_runs": 8,
            "parameters": {
                "lr": {"low": 0.001, "high": 0.05, "log": True},
                "data.batch_size": [16, 32, 64],
                "training.weight_decay": {"low": 0.00001, "high": 0.01, "log": True},
            },
        },
    },
    "comparison": comparison(
        "model",
        ["efficientnet_b0", "efficientnet_b1", "efficientnet_b3"],
        hypothesis=hypothesis(
            arm="efficientnet_b3",
            versus="efficientnet_b0",
            min_effect=0.01,
            guardrails=[{"metric": "infer_speed.batch_1.latency_ms.p50", "max_increase": 0.5}],
        ),
    ),
    "augmentation": comparison(
        "augmentation",
        ["none", "default", "cutout", "randaugment"],
        hypothesis=hypothesis(arm="cutout", versus="none", min_effect=0.01),
        targets={"baseline": 0.84, "target": 0.86, "stretch": 0.95},
    ),
    "ablation": {
        "kind": "ablation",
        "type": "train",
        "ablation": {"baseline": ["augmentation=default"], "components": {"ema": "training.ema=false", "mixup": "a=b"}},
    },
    "factorial": {
        "kind": "ablation",
        "type": "train",
        "ablation": {
            "method": "factorial",
            "baseline": ["augmentation=default"],
            "components": {"ema": "training.ema=false", "mixup": "a=b", "smoothing": "c=d"},
        },
    },
    "quantization": comparison(
        "quant",
        VARIANTS,
        "quant",
        hypothesis=hypothesis(
            "quant.size_mb",
            direction="minimize",
            arm="openvino_int8",
            versus="openvino_fp32",
            min_effect=0.1,
            guardrails=[{"metric": "quant.f1_macro", "max_decrease": 0.01}],
        ),
    ),
    "cross_site": {
        "kind": "comparison",
        "type": "train",
        "hypothesis": hypothesis(
            direction="minimize", arm="data.site=A,infer.site=B", versus="data.site=A,infer.site=A", min_effect=0.2
        ),
        "comparison": SITES,
    },
    "multi_scale": comparison("data.image_size", [224, 384, 512, 640]),
    "ensemble": comparison(
        "infer.voting",
        {"single": ["infer.members=[]"], "hard": "infer.voting=hard", "soft": "infer.voting=soft"},
        "infer",
        hypothesis=hypothesis(arm="soft", versus="single", min_effect=0.005),
    ),
    "ab": comparison(
        "infer.model",
        {"old": "infer.model=x:none", "new": "infer.model=x:cutout"},
        "infer",
        hypothesis=hypothesis(arm="new", versus="old", min_effect=0.01),
    ),
}


@dataclass(frozen=True)
class MadeUp:
    """A record of lab.study that no commit has: `content` has what one would say."""

    name: str
    commit: str
    baseline: str
    status: str
    content: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    code: str = ""
    data: str | None = None
    log: str = ""
    exit_code: int | None = None
    pending: Any = None

    def _result(self, name: str) -> dict[str, Any]:
        return self.content.get(name, {}) if self.status == FINISHED else {}

    @property
    def params(self) -> dict[str, Any]:
        return self.content.get("params", {})

    @property
    def experiment(self) -> dict[str, Any]:
        return self.params.get("experiment", {})

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        return self._result("metrics")

    @property
    def effective(self) -> dict[str, dict[str, Any]]:
        return self._result("effective")

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        return self._result("outputs")

    @property
    def curves(self) -> dict[str, list[Point]]:
        return self._result("curves")

    @property
    def seconds(self) -> dict[str, float]:
        return {stage: float(note["seconds"]) for stage, note in self.effective.items()}

    @property
    def started(self) -> datetime | None:
        return min((datetime.fromisoformat(note["started"]) for note in self.effective.values()), default=None)

    @property
    def ended(self) -> datetime | None:
        ends = [
            datetime.fromisoformat(note["started"]) + timedelta(seconds=note["seconds"])
            for note in self.effective.values()
        ]
        return max(ends, default=None)

    @property
    def reason(self) -> str:
        return self.content.get("reason", "") if self.status == FAILED else ""

    def value(self, metric: str) -> float | None:
        value = get(self.metrics, metric)
        return float(value) if isinstance(value, int | float) else None

    def reaches(self, stage: str) -> bool:
        return True

    def text(self, path: str) -> str:
        return self.content.get("texts", {}).get(path, "")


class InFold:
    """A record of a run with `data.source.fold`."""

    def __init__(self, record: Any, fold: str | None):
        self.record, self.params = record, {"data": {"source": {"fold": fold}}}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.record, name)


def made(
    name: str,
    values: Callable[[str, int], dict[str, Any] | None] | None = None,
    design: dict[str, Any] | None = None,
    contract: Contract = VISION,
    **more: Any,
) -> Study:
    """The study of a design of DESIGNS, or of `design`.

    `values` gives the metrics by arm and seed: None for a failed run.
    """
    said = {"title": f"Which {name} is best?", "seeds": [0, 1, 2], "name": name} | (design or DESIGNS[name])
    read = design_file.parse(said, contract)
    replicates = []
    for i, arm in enumerate(arms(read)):
        for seed in read.seeds:
            metrics = values(arm.name, seed) if values else measured(read, arm.name, i, seed)
            content = {
                "params": params(arm.levels, seed),
                "metrics": metrics or {},
                "effective": effective(arm.levels, seed),
                "curves": curves(seed),
                "texts": texts(seed),
                "reason": "train ended with 1: out of memory",
            } | more
            status = FAILED if metrics is None else FINISHED
            record = MadeUp(f"{name}_{i}_s{seed}", f"{i:039d}{seed}", "b" * 40, status, content)
            replicates.append(Replicate(arm.name, arm.levels, seed, record))
    return Study(read, contract, "b" * 40, f"designs/{name}.yaml", f"title: {name}\n", replicates)


def params(levels: dict[str, Any], seed: int) -> dict[str, Any]:
    """A config with the levels set."""
    config: dict[str, Any] = {"seed": seed, "task": "classification", "lr": 0.01, "data": {"image_size": 64}}
    for key, level in levels.items():
        place = config
        *folders, last = key.split(".")
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = level
    return config


def measured(design: Any, arm: str, i: int, seed: int) -> dict[str, Any]:
    """Metrics like a real run's: the arms differ, and so do the seeds."""
    noise = random.Random(f"{arm} {seed}").gauss(0, 0.004) + 0.003 * seed
    value = 0.88 + GAIN.get(arm, 0.012 * (i % 4)) + noise
    if "infer.site=B" in arm and "data.site=A" in arm:
        value -= 0.5
    classes = {str(c): {"f1": value + random.Random(f"{arm} {seed} {c}").gauss(0, 0.02)} for c in range(10)}
    main = {"f1_macro": value, "accuracy": value + 0.004, "classes": classes}
    latency = {"latency_ms": {"p50": 1.0 + 0.35 * i + noise * 10}}
    if design.type != "quant":
        return {
            "infer": main,
            "infer_speed": {"batch_1": latency},
            "train": {"best_epoch": 3 + seed, "val_f1_macro": value},
        }
    lost = LOSSES[i] + abs(noise) / 4
    found = main | {"f1_macro": 0.9 - lost, "size_mb": SIZES[i], "drop": {"f1_macro": lost, "accuracy": lost}}
    return {"quant": found, "quant_speed": latency | {"speedup": 1.5 + 0.4 * i + noise * 10}}


def effective(levels: dict[str, Any], seed: int) -> dict[str, Any]:
    """What the stages were run with."""
    size = levels.get("data.image_size", 64)
    machine = {
        "host": "here",
        "system": "Linux",
        "cpu": "a CPU",
        "cores": 2,
        "python": "3.11",
        "versions": {"torch": "2"},
    }
    started = datetime(2026, 2, 13, 10, tzinfo=UTC) + timedelta(minutes=seed)
    return {
        "train": {
            "stage": "train",
            "started": started.isoformat(),
            "seconds": 60.0 * (size / 64) ** 2 + seed,
            "config": {},
            "used": {},
            "machine": machine,
        }
    }


def curves(seed: int) -> dict[str, list[Any]]:
    """A training of ten epochs."""
    shape = {"train/loss": 2.3, "val/loss": 2.4, "val/f1_macro": -0.9, "lr": 0.01}
    time = datetime(2026, 2, 13, tzinfo=UTC)
    return {
        name: [Point(epoch, time, top * 0.8**epoch + (1.0 if top < 0 else 0) + 0.01 * seed) for epoch in range(10)]
        for name, top in shape.items()
    }


def texts(seed: int) -> dict[str, str]:
    """The small results of an infer stage."""
    draw = random.Random(seed)
    pairs = [(str(i % 10), str(i % 10 if draw.random() < 0.9 else draw.randrange(10))) for i in range(400)]
    rows = [
        f"{name},{x / 50},{max(0.0, 1 - (x / 50) ** (3 + i)):.4f}" for i, name in enumerate("abc") for x in range(51)
    ]
    return {
        "results/infer/confusion.csv": "actual,predicted\n" + "\n".join(",".join(pair) for pair in pairs) + "\n",
        "results/infer/curve.csv": "class,recall,precision\n" + "\n".join(rows) + "\n",
    }
