"""The quant stage: the trained model as the variant that cfg.quant names, compared with PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.table import Table

from ...inference import cpu_load, latency
from ...inference.evaluation import Evaluation, check_classes, score
from ...inference.openvino_predictor import NETWORK, OpenVinoPredictor
from ...inference.predictor import Predictor, TorchPredictor
from ...inference.variants import load_variant
from ...shared import registry
from ...shared.model_file import ModelFile
from ...shared.prepared import Prepared, check_slices, measured_on
from ...shared.terminal import console
from . import onnx_model, parity, quantization
from .openvino_model import write_metadata

MODEL = Path("models/model.pt")


def run(cfg: DictConfig, out: Path) -> dict[str, Any]:
    """Write models/quant/, metrics/quant.json, metrics/quant_speed.json and results/quant/ below `out`.

    Both networks are evaluated on the test split of cfg.infer.site by the code that the infer stage uses, compared
    image by image, and timed in turns: PyTorch on the CPU, the variant on cfg.quant.device.

    Raises:
        UserError: an unknown variant, no model or data, classes that differ, no calibration images, a max_drop out of
            reach.
    """
    quantization.check(cfg.quant)
    prepared, model = Prepared(), ModelFile.load(MODEL)
    tested, items = measured_on(cfg.split, cfg.infer.site)
    check_classes(model, prepared)  # before minutes of work
    check_slices(cfg.infer.slices, items)
    folder = out / "models" / "quant"
    reference = variant = TorchPredictor(model, threads=cfg.quant.threads)
    facts: dict[str, Any] = {"calibration_images": 0}
    if cfg.quant.backend == "torch":
        write_metadata(model, folder, {"backend": "torch", "precision": "fp32"} | facts)
    elif cfg.quant.backend == "onnx":
        onnx_model.write(model, folder, facts)
        variant = load_variant(folder, cfg.quant.threads)
    else:
        facts = quantization.build(cfg, model, prepared, folder)
        variant = load_variant(folder, cfg.quant.threads, cfg.quant.device)

    both = parity.ask(reference, variant, items, cfg.infer.batch_size)
    expected, actual = (score(tested, items, said, cfg.infer.slices) for said in (both.expected, both.actual))
    actual.per_image["agreement"] = both.agreement
    actual.metrics["parity"] = both.summary()
    sizes = {"size_mb": files_mb(folder) or weights_mb(model), "torch_size_mb": weights_mb(model)}
    accuracy = compare(model, actual, expected) | sizes | {"calibration_images": facts["calibration_images"]}
    speed = measure(cfg, reference, variant)

    write_json(out / "metrics" / "quant.json", {"variant": cfg.quant.name} | accuracy)
    write_json(out / "metrics" / "quant_speed.json", speed)
    predictions = out / "results" / "quant" / "predictions.parquet"
    predictions.parent.mkdir(parents=True)
    actual.per_image.to_parquet(predictions, index=False)
    show(cfg.quant.name, model, accuracy, speed)
    return facts


def compare(model: ModelFile, actual: Evaluation, expected: Evaluation) -> dict[str, Any]:
    """The variant's metrics, PyTorch's under `torch`, and `drop`: how much the variant lost in the main ones."""
    drop = {
        name: registry.sign(model.task, name) * (expected.metrics[name] - actual.metrics[name])
        for name in registry.task(model.task).MAIN_METRICS
    }
    return actual.metrics | {"torch": expected.metrics, "drop": drop}


def measure(cfg: DictConfig, reference: TorchPredictor, variant: Predictor) -> dict[str, Any]:
    """Latency of one image and throughput of both networks, which take turns; `speedup` is that of the median latency.

    OpenVINO's throughput is asynchronous, with as many requests as it asks for (`measured.requests`); PyTorch has no
    such thing, and its throughput is that of one call after the other.
    """
    quant = cfg.quant
    work: dict[str, Any] = {"torch": latency.prepare(reference, 1, quant.warmup, quant.repeats)}
    requests, computes_in = 0, "f32"
    if variant is not reference:
        work["variant"] = latency.prepare(variant, 1, quant.warmup, quant.repeats)
    if isinstance(variant, OpenVinoPredictor):
        work["throughput"], requests = variant.throughput(quant.repeats)
        computes_in = variant.inference_precision
    busy = cpu_load.watch()
    rounds = latency.take_turns(work, quant.rounds)
    share = busy()
    torch = latency.summarise(rounds["torch"], 1)
    measured = latency.summarise(rounds.get("variant", rounds["torch"]), 1)
    if requests:
        measured["throughput"] = max(rounds["throughput"])
    settings = {"inference_precision": computes_in, "batch_size": 1, "requests": requests, "busy": share} | {
        k: quant[k] for k in ("warmup", "repeats", "rounds")
    }
    return measured | {
        "torch": torch,
        "speedup": torch["latency_ms"]["p50"] / measured["latency_ms"]["p50"],
        "measured": latency.describe(variant) | settings,
    }


def files_mb(folder: Path) -> float:
    """The size of a converted network's files in MB (10^6 bytes); 0 where there are none."""
    alone = folder / NETWORK if (folder / NETWORK).is_dir() else folder
    return sum(path.stat().st_size for path in alone.glob("model.*")) / 1e6


def weights_mb(model: ModelFile) -> float:
    """The size of the weights in FP32, in MB (10^6 bytes)."""
    return sum(4 * weight.numel() for weight in model.state_dict.values() if weight.is_floating_point()) / 1e6


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a metrics file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def show(name: str, model: ModelFile, accuracy: dict[str, Any], speed: dict[str, Any]) -> None:
    """Print the variant beside PyTorch."""
    torch = accuracy["torch"]
    p50, torch_p50 = speed["latency_ms"]["p50"], speed["torch"]["latency_ms"]["p50"]
    images, torch_images = speed["throughput"], speed["torch"]["throughput"]
    size, torch_size = accuracy["size_mb"], accuracy["torch_size_mb"]
    table = Table("", name, "torch_fp32", "")
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("size, MB", f"{size:.2f}", f"{torch_size:.2f}", times(torch_size / size, "smaller", "larger"))
    for metric in registry.task(model.task).MAIN_METRICS:
        drop = round(accuracy["drop"][metric], 4)
        lost = f"{'gain' if drop < 0 else 'drop'} {abs(drop):.4f}"
        table.add_row(metric, f"{accuracy[metric]:.4f}", f"{torch[metric]:.4f}", lost)
    table.add_row("agreement", f"{accuracy['parity']['agreement']:.4f}", "", "with PyTorch, an image")
    table.add_row("p50, ms", f"{p50:.3f}", f"{torch_p50:.3f}", times(speed["speedup"], "faster", "slower"))
    table.add_row("images/s", f"{images:.0f}", f"{torch_images:.0f}", times(images / torch_images, "more", "fewer"))
    console().print(table)
    console().print(f"measured {cpu_load.told(speed['measured']['busy'])}")


def times(ratio: float, more: str, less: str) -> str:
    """A ratio in words: `2.00 times smaller`, or of 0.5 `2.00 times larger`."""
    return f"{ratio:.2f} times {more}" if ratio >= 1 else f"{1 / ratio:.2f} times {less}"
