"""The infer stage: a model, or an ensemble, on the test split of a site; and how fast it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from rich.table import Table

from ...inference import cpu_load, ensemble, latency
from ...inference.evaluation import Evaluation, check_classes, predict, score
from ...inference.other_models import CHAMPION, find_model
from ...inference.predictor import Predictor, TorchPredictor
from ...shared import devices, registry
from ...shared.errors import UserError
from ...shared.prepared import check_slices, measured_on
from ...shared.terminal import console

OWN = Path("models/model.pt")
FEW = 5  # images of a slice, below which its figures are chance


def run(cfg: DictConfig, out: Path) -> dict[str, Any]:
    """Evaluate and measure, and write metrics/infer*.json and results/infer/ below `out`. Raises UserError."""
    settings = cfg.infer
    prepared, items = measured_on(cfg.split, settings.site)
    check_slices(settings.slices, items)
    if settings.members:
        ensemble.check_members(len(settings.members))
    if settings.members and settings.model:
        raise UserError(
            f"infer.model={settings.model} and infer.members are both set: one model or an ensemble, not both"
        )
    if (
        CHAMPION in settings.members
    ):  # the dependency that stands for it, in conf/config.yaml, follows infer.model alone
        raise UserError("infer.members names the champion, and DVC would not see it change: name its experiment")
    used = devices.resolve(settings.device, "infer.device")[0]
    names = list(settings.members) or [settings.model]
    models, hashes = zip(*(find_model(name, OWN) for name in names), strict=True)
    for model in models:
        check_classes(model, prepared)
    predictors = [TorchPredictor(model, used, settings.latency.threads) for model in models]
    members = [predict(predictor, items, settings.batch_size) for predictor in predictors]
    task = registry.task(prepared.task)
    predictions = members[0] if len(members) == 1 else task.combine(members, settings.voting)
    evaluation = score(prepared, items, predictions, settings.slices)
    speed = measure(predictors, settings.latency)

    write(out, evaluation, speed)
    show(evaluation, speed, cfg)
    return {
        "device": used,
        "models": [
            {"name": model.name, "epoch": model.epoch, "from": name or str(OWN), "md5": md5}
            for model, name, md5 in zip(models, names, hashes, strict=True)
        ],
    }


def measure(predictors: list[TorchPredictor], settings: DictConfig) -> dict[str, Any]:
    """The latency of one call; an ensemble asks its members one after the other."""
    asked: Predictor = predictors[0] if len(predictors) == 1 else Members(predictors)
    report = latency.benchmark(
        {"model": asked}, settings.batch_sizes, settings.warmup, settings.repeats, settings.rounds
    )
    return report["model"]


class Members:
    """Several predictors called in turn, for the clock: the members' outputs stay as they are."""

    def __init__(self, predictors: list[TorchPredictor]):
        first = predictors[0]
        self.predictors = predictors
        self.model = first.model
        self.backend, self.device, self.precision = first.backend, first.device, first.precision

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return [predictor(batch) for predictor in self.predictors][-1]


def write(out: Path, evaluation: Evaluation, speed: dict[str, Any]) -> None:
    """All files of the stage."""
    results, metrics = out / "results" / "infer", out / "metrics"
    results.mkdir(parents=True)
    metrics.mkdir()
    evaluation.per_image.to_parquet(results / "predictions.parquet", index=False)
    evaluation.confusion.to_csv(results / "confusion.csv", index=False)
    evaluation.curve.to_csv(results / "curve.csv", index=False)
    evaluation.reliability.to_csv(results / "reliability.csv", index=False)
    (metrics / "infer.json").write_text(json.dumps(evaluation.metrics, indent=2) + "\n")
    (metrics / "infer_speed.json").write_text(json.dumps(speed, indent=2) + "\n")


def show(evaluation: Evaluation, speed: dict[str, Any], cfg: DictConfig) -> None:
    """The figures as two small tables on the terminal."""
    metrics, settings = evaluation.metrics, cfg.infer
    terminal = console()
    terminal.print(f"{cfg.split} split of site {settings.site}, {metrics['images']} images")
    if by_class := metrics.get("classes"):
        columns = list(next(iter(by_class.values())))
        table = Table()
        for name in ("class", *columns):
            table.add_column(name, justify="left" if name == "class" else "right")
        for name, row in by_class.items():
            table.add_row(name, *(f"{row[column]:.3f}" for column in columns))
        terminal.print(table)
    for column, parts in {"site": metrics.get("sites", {}), **metrics.get("slices", {})}.items():
        for value, row in parts.items():
            figures = (f"{name} {figure:.4f}" for name, figure in row.items() if isinstance(figure, float))
            count = row["images"]
            few = " (few: it says little)" if count < FEW else ""
            terminal.print(f"{column} {value}, {count} image{'s' * (count != 1)}{few}:", *figures)
    overall = {key: value for key, value in metrics.items() if isinstance(value, float)}
    terminal.print("  ".join(f"{name} {value:.4f}" for name, value in overall.items()), soft_wrap=True)
    on = speed["measured"]
    for size in settings.latency.batch_sizes:
        row = speed[f"batch_{size}"]
        quantiles = "  ".join(f"{name} {value:.2f} ms" for name, value in row["latency_ms"].items())
        terminal.print(f"batch {size}: {quantiles}  {row['throughput']:.0f} images/s")
    terminal.print(
        f"measured with {on['backend']} {on['precision']} on {on['device_name']}, {on['threads']} thread(s), "
        f"{cpu_load.told(on['busy'])}",
        soft_wrap=True,
    )
