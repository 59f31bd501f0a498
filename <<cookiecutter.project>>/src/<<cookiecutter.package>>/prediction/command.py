"""`python src/predict.py`: its options, and what it does with them."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..shared import environment
from ..shared.errors import UserError, of_system
from ..shared.terminal import console
from . import inputs, outputs

BATCH = 8  # images a call: large photographs fit into memory, and more gains little
BACKENDS = ("torch", "openvino", "onnx")


def main() -> None:
    """Predict what the command line asks for, and end the process with what it came to."""
    try:
        failures = run(options().parse_args())
    except UserError as error:
        sys.exit(f"predict: {error}")
    except OSError as error:
        sys.exit(f"predict: {of_system(error)}")
    if failures:
        sys.exit("\n".join([f"predict: {len(failures)} of the files can't be read:", *failures]))


def options() -> ArgumentParser:
    """The command line."""
    parser = ArgumentParser("python src/predict.py", description="Predict images, folders of them and videos.")
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="an image, a folder or a video")
    parser.add_argument(
        "--model",
        help="champion, an experiment, tag, branch or commit, a model file, or a folder that the quant stage wrote "
        "(default: the champion where there is one, else models/)",
    )
    parser.add_argument("--backend", choices=BACKENDS, help="default: torch; of a folder what it holds")
    parser.add_argument(
        "--device", default="auto", help="torch: auto, cpu, cuda, 0; OpenVINO: CPU, GPU, NPU; ONNX: cpu"
    )
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="a folder (default: predictions)")
    parser.add_argument("--table", choices=outputs.TABLES, default="parquet", help="default: parquet")
    parser.add_argument("--no-pictures", action="store_true", help="the table alone")
    parser.add_argument("--confidence", type=float, default=0.25, help="of objects, from which on they are kept")
    parser.add_argument("--white", type=float, help="the brightest value of images of more than 8 bits, such as 4095")
    return parser


def run(asked: Namespace) -> list[str]:
    """Predict, write and say what was done. Returns what can't be read. Raises UserError."""
    if not 0 <= asked.confidence <= 1:
        raise UserError(f"--confidence {asked.confidence} should be between 0 and 1")
    if asked.white is not None and not 0 < asked.white < float("inf"):
        raise UserError(f"--white {asked.white:g} should be the brightest value of an image, such as 4095")
    outputs.check_free(asked.out)
    found = inputs.find(asked.paths)  # before the engines are imported, which takes seconds
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    environment.quiet(threads, online=False)

    from ..inference import cpu_load
    from ..inference.evaluation import predict_images
    from ..shared import registry
    from .models import described, open_model

    predictor = open_model(asked.model, asked.backend, asked.device, threads)
    model, terminal = predictor.model, console()
    answers = registry.answers(model.task)
    white, remark = inputs.white(found, asked.white)
    files = f"{len(found)} file{'s' * (len(found) != 1)}"
    terminal.print(f"{described(asked.model, predictor)} on {files}{remark}", soft_wrap=True)
    failures: list[str] = []
    objects = images = 0
    busy, clock = cpu_load.watch(), time.perf_counter()
    with outputs.Writer(asked.out, asked.table, not asked.no_pictures, model.classes) as writer:
        for group in inputs.batches(inputs.read(found, white, failures), BATCH):
            predictions = predict_images(predictor, [image.pixels for image in group])
            for image, prediction in zip(group, predictions, strict=True):
                rows = answers.rows(prediction, model.classes, image.pixels.shape[:2], asked.confidence)
                writer.add(image, rows)
                images, objects = images + 1, objects + len(rows)
        if not images:
            raise UserError("\n".join(["none of the files can be read:", *failures]))
        seconds, share = time.perf_counter() - clock, busy()
    written = f"{writer.table}" if asked.no_pictures else f"{writer.table} and {writer.pictures}"
    terminal.print(
        f"{images} image{'s' * (images != 1)}, {objects} answer{'s' * (objects != 1)}: {written}\n"
        f"{images / seconds:.1f} images/s, reading and writing included, {cpu_load.told(share)}",
        soft_wrap=True,
    )
    return failures
