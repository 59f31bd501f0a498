"""What OpenVINO and INT8 gain over PyTorch here, and whether our clock agrees with OpenVINO's own benchmark_app.

    demo/.venv/bin/python benchmarks/quant.py demo [--rounds 3] [--json quant.json]

In copies of a generated project (here demo), with its environment: a network of each task is trained for an epoch,
then converted and quantized at the size that it was trained at and at one that people use, on one thread. All
candidates take turns, round by round, ours right before benchmark_app's of the same network. The best round of each
counts; the two clocks are compared within each round, and the median over the rounds is told, since the machine's speed
swings between them. Goal: ours within 10 % of benchmark_app on a quiet machine.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.table import Table

MODELS = {"detection": ("yolo11n", (64, 320)), "classification": ("efficientnet_b0", (32, 224))}
PRECISIONS = ("fp32", "fp16", "int8")
APPS = ("fp32", "int8")  # what benchmark_app measures as well
CALIBRATION_IMAGES = 64
SECONDS = 1  # of one run of benchmark_app
CALLS = {64: 200, 32: 200, 320: 40, 224: 40}  # timed calls of a round, by image size


def trained(project: Path, task: str, folder: Path) -> Path:
    """A copy of the project, with the task's data prepared and its model trained for an epoch."""
    copy = folder / task
    copy.mkdir()
    for name in ("src", "conf"):
        shutil.copytree(project / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(project / name, copy)
    for stage in ("prepare", "train"):
        choices = [f"task={task}", f"model={MODELS[task][0]}", "training.max_epochs=1"]
        subprocess.run([sys.executable, f"src/{stage}.py", *choices], cwd=copy, check=True, capture_output=True)
    return copy


def load(name: str) -> ModuleType:
    """A module of the project's package, which lies in the first folder on sys.path."""
    package = next(Path(sys.path[0]).glob("*/shared/stage.py")).parents[1].name
    return import_module(f"{package}.{name}")


def compare(root: Path, size: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median latency in ms and images a second of each candidate, for the model in `root` at an image size."""
    latency, quantization = load("inference.latency"), load("stages.quant.quantization")
    openvino = load("stages.quant.openvino_model")
    model = replace(load("shared.model_file").ModelFile.load(root / "models" / "model.pt"), image_size=size)
    prepared = load("shared.prepared").Prepared(root / "data" / "prepared")
    items = quantization.calibration_items(prepared, "A", CALIBRATION_IMAGES, seed=0)
    candidates = {"torch": load("inference.predictor").TorchPredictor(model)}
    work: dict[str, Callable[[], Any]] = {}
    for precision in PRECISIONS:
        network, folder = openvino.convert(model), root / f"{precision}_{size}"
        if precision == "int8":
            network = quantization.quantize(network, model, items, "mixed")
        openvino.write(network, model, folder, precision, {})
        candidates[precision] = load("inference.openvino_predictor").OpenVinoPredictor.load(folder)
    for name, candidate in candidates.items():
        work[name] = latency.prepare(candidate, 1, 10, CALLS[size])
        path = root / f"{name}_{size}" / "network_openvino_model" / "model.xml"
        if name in APPS:
            work[f"{name} app"] = lambda path=path: benchmark_app(path, "sync")
        if name != "torch":
            work[f"{name} async"], _ = candidate.throughput(CALLS[size])
        if name in APPS:
            work[f"{name} app async"] = lambda path=path: benchmark_app(path, "async")

    results = latency.take_turns(work, rounds)
    found = {}
    for name in candidates:
        row = latency.summarise(results[name], 1)
        found[name] = {"p50_ms": row["latency_ms"]["p50"], "throughput": row["throughput"]}
        if name != "torch":
            found[name]["throughput"] = max(results[f"{name} async"])
        if f"{name} app" in results:
            medians = [median for median, _ in results[f"{name} app"]]
            images = [images for _, images in results[f"{name} app async"]]
            found[name] |= {"app_p50_ms": min(medians), "app_throughput": max(images)}
            found[name]["p50_ratio"] = ratio([statistics.median(calls) for calls in results[name]], medians)
            found[name]["throughput_ratio"] = ratio(results[f"{name} async"], images)
    return found


def ratio(ours: list[float], theirs: list[float]) -> float:
    """The median over the rounds of ours divided by theirs in the same round."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def benchmark_app(path: Path, api: str) -> tuple[float, float]:
    """OpenVINO's own figures for one thread in FP32: the median latency in ms, and images a second."""
    command = [sys.executable, "-c", "from openvino.tools.benchmark.main import main; main()", "-m", str(path)]
    settings = f"-d CPU -hint none -api {api} -nthreads 1 -nstreams 1 -infer_precision f32 -pin NO -t {SECONDS}"
    shown = subprocess.run(command + settings.split(), capture_output=True, text=True, check=True).stdout
    median = re.search(r"Median:\s+([\d.]+) (us|ms)", shown)
    images = re.search(r"Throughput:\s+([\d.]+) FPS", shown)
    assert median and images, shown
    return float(median[1]) / {"us": 1000, "ms": 1}[median[2]], float(images[1])


def show(found: dict[str, dict[str, dict[str, float]]]) -> None:
    """The comparisons, and ours beside benchmark_app's."""
    table = Table(
        "", "p50, ms", "x torch", "x FP32", "images/s", "x torch", "app p50", "ours/app", "app images/s", "ours/app"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for title, rows in found.items():
        table.add_section()
        for name, row in rows.items():
            p50, images = row["p50_ms"], row["throughput"]
            theirs = ["", "", "", ""]
            if "app_p50_ms" in row:
                theirs = [f"{row['app_p50_ms']:.3f}", f"{row['p50_ratio']:.2f}"]
                theirs += [f"{row['app_throughput']:.0f}", f"{row['throughput_ratio']:.2f}"]
            faster = (f"{rows[other]['p50_ms'] / p50:.2f}" for other in ("torch", "fp32"))
            more = f"{images / rows['torch']['throughput']:.2f}"
            table.add_row(f"{title} {name}", f"{p50:.3f}", *faster, f"{images:.0f}", more, *theirs)
    Console(width=130).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    project, output = options.project.resolve(), options.json and options.json.resolve()
    sys.path[0] = str(project / "src")  # in place of this folder
    found = {}
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        load("shared.environment").quiet(threads=1, online=False)
        for task, (model, sizes) in MODELS.items():
            root = trained(project, task, Path(name))
            for size in sizes:
                found[f"{model}@{size}"] = compare(root, size, options.rounds)
        os.chdir(project)
    machine = load("shared.stage").machine()
    show(found)
    Console().print(f"one thread of {machine['cpu']}, batch 1, best of {options.rounds} rounds", highlight=False)
    if output:
        output.write_text(json.dumps({"figures": found, "machine": machine}, indent=2) + "\n")


if __name__ == "__main__":
    main()
