"""What thousands of records cost to read: lab's commands, a poll, a mirror's pass, git and `dvc exp show` beside them.

    demo/.venv/bin/python -P benchmarks/scale.py demo [--sizes 100 1000 5000 10000] [--show 100] [--json scale.json]

In copies of a generated project (here demo, classification) as its last commit has it, with its environment. Designs of
100 runs are committed one after the other, and each has its experiments on its commit, with the files of real ones;
one more design has not run. CPU seconds, user and system, of a command and its children; the best of several.
`cold` is the first time, `warm` any later one. `dvc exp show` takes as many seconds as there are records, and more:
it is asked for the first size alone.
Goals at 1,000, 5,000, 10,000: `lab status` 0.8, 2, 4 s; `lab check`, `lab plan` 1.5 s; a poll 10 ms; a pass of the
mirror with nothing new 20 ms; 300 MB.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

RUNS = 100  # of a design
EPOCHS = 20
COMMANDS = {
    "lab status": ["lab", "status"],
    "lab check": ["lab", "check", "designs/scale_new.yaml"],
    "lab plan": ["lab", "plan", "designs/scale_new.yaml"],
    "lab status DESIGN": ["lab", "status", "scale_0000"],
    "lab results DESIGN": ["lab", "results", "scale_0000"],
}
AT_ONCE = {"lab --help": ["lab", "--help"], "lab plan, fresh": ["lab", "plan", "classification_lr_sweep"]}


# A project with records


def design(number: int | None) -> str:
    """A sweep of 100 runs, unlike the others by a setting."""
    decay = 0.0001 * (1 + (number if number is not None else 9999))
    rates = [round(0.0005 * (i + 1), 4) for i in range(RUNS // 5)]
    return (
        "kind: sweep\ntype: train\ntask: classification\ntitle: Which learning rate?\n"
        f"base: [training.weight_decay={decay:.4f}]\nseeds: [0, 1, 2, 3, 4]\n"
        f"sweep: {{strategy: grid, parameters: {{lr: {rates}}}}}\n"
    )


def fill(root: Path, records: int) -> None:
    """Commit designs, with their experiments beside them, by one git fast-import."""
    from lab.design.compose import composer_of
    from lab.design.plan import plan
    from lab.design import design_file
    from lab.design.pipeline import Pipeline
    from lab import contract

    agreed, composer, pipeline = contract.read(root), composer_of(root), Pipeline.read(root / "dvc.yaml")
    marks = iter(range(1, 10**9))
    head = call(["git", "rev-parse", "HEAD"], root).strip()
    with subprocess.Popen(
        ["git", "fast-import", "--quiet", "--force", "--done"], cwd=root, stdin=subprocess.PIPE
    ) as importer:
        assert importer.stdin is not None
        write = importer.stdin.write
        for number in [*range(-(-records // RUNS)), None]:
            name = f"scale_{number:04d}" if number is not None else "scale_new"
            path = root / "designs" / f"{name}.yaml"
            path.write_text(design(number))
            mark = next(marks)
            write(commit("refs/heads/main", mark, f"design {name}", head))
            write(file(f"designs/{name}.yaml", path.read_bytes()))
            head = f":{mark}"
            if number is None:
                continue
            runs = plan(design_file.read(path, agreed), agreed, composer, pipeline, "2026-11-26").runs
            for run in runs[: records - number * RUNS]:
                # The baseline's hash is part of the ref's name, and known when the import has ended.
                mark = next(marks)
                write(commit(f"refs/scale/{name}/{run.name}", mark, f"dvc: commit experiment {run.key}", head))
                for place, content in results(run, pipeline):
                    write(file(place, content))
        write(b"done\n")
    assert importer.returncode == 0
    updates = []
    for line in call(["git", "for-each-ref", "--format=%(refname) %(objectname) %(parent)", "refs/scale"], root).splitlines():
        ref, made, baseline = line.split()
        updates += [
            f"create refs/exps/{baseline[:2]}/{baseline[2:]}/{ref.rpartition('/')[2]} {made}",
            f"delete {ref}",
        ]
    call(["git", "update-ref", "--stdin"], root, "\n".join(updates) + "\n")
    call(["git", "reset", "-q", "--hard", "main"], root)


def commit(ref: str, mark: int, message: str, parent: str) -> bytes:
    """A commit for git fast-import; its files follow."""
    who = f"benchmark <benchmark@localhost> {1_790_000_000 + mark} +0000"
    return f"commit {ref}\nmark :{mark}\ncommitter {who}\ndata {len(message)}\n{message}\nfrom {parent}\n".encode()


def file(path: str, content: bytes) -> bytes:
    """A file for git fast-import."""
    return f"M 100644 inline {path}\ndata {len(content)}\n".encode() + content + b"\n"


def results(run: Any, pipeline: Any) -> Iterator[tuple[str, bytes]]:
    """The path and content of each file that an experiment brings."""
    import yaml

    from lab.nested_keys import get

    draw = random.Random(run.name)
    value = 0.9 + draw.gauss(0, 0.02)
    machine = {"host": "here", "system": "Linux", "cpu": "a CPU", "cores": 2, "python": "3.11", "versions": VERSIONS}
    started = datetime(2026, 11, 1).isoformat() + "+00:00"
    classes = {str(c): {key: value + draw.gauss(0, 0.02) for key in ("f1", "precision", "recall")} for c in range(10)}
    speed = {"latency_ms": {"p50": draw.random(), "p90": draw.random(), "p99": draw.random()}, "throughput": 1000.0}
    content: dict[str, Any] = {
        "metrics/prepare.json": {"images": {"A": {"train": 540}}},
        "metrics/train.json": {"val_f1_macro": value, "best_epoch": EPOCHS - 1},
        "metrics/infer.json": {"f1_macro": value, "accuracy": value, "images": 1078, "classes": classes},
        "metrics/infer_speed.json": {"measured": {"device": "cpu"}, "batch_1": speed, "batch_8": speed},
        "dvclive/metrics.json": {"val": {"f1_macro": value}},
    }
    files = {path: json.dumps(metrics, indent=2).encode() for path, metrics in content.items()}
    for name in ("train/loss", "val/loss", "val/f1_macro", "val/accuracy", "lr"):
        rows = "".join(f"{epoch}\t{draw.random()}\n" for epoch in range(EPOCHS))
        files[f"dvclive/plots/metrics/{name}.tsv"] = f"step\t{name}\n{rows}".encode()
    ends = [{"epoch": epoch, "ended": started} for epoch in range(EPOCHS)]
    lock: dict[str, Any] = {}
    for stage in pipeline.chain(run.target):
        used = {"epochs": ends} if stage == "train" else {}
        note = {"stage": stage, "started": started, "seconds": 10 * draw.random(), "config": {"task": "classification"}}
        files[f"effective/{stage}.yaml"] = yaml.safe_dump([note | {"used": used, "machine": machine}]).encode()
    files["results/infer/confusion.csv"] = b"actual,predicted\n" + "".join(
        f"{i % 10},{draw.randrange(10)}\n" for i in range(1000)
    ).encode()
    files["results/infer/curve.csv"] = b"class,recall,precision\n" + "".join(
        f"{i % 10},{i / 300},{draw.random()}\n" for i in range(300)
    ).encode()
    for stage in pipeline.chain(run.target):
        keys = sorted({key for key in pipeline.stages[stage]["params"]})
        lock[stage] = {
            "cmd": pipeline.stages[stage]["cmd"],
            "deps": [hashed(files, path, stage == "prepare" or None, run) for path in pipeline.deps(stage, run.params)],
            "params": {"params.yaml": {key: get(run.params, key) for key in keys}},
            "outs": [hashed(files, path, None, run) for path in pipeline.outputs(stage, run.params)],
        }
    files["dvc.lock"] = yaml.safe_dump({"schema": "2.0", "stages": lock}, sort_keys=False).encode()
    files["params.yaml"] = yaml.safe_dump(run.params, sort_keys=False).encode()
    yield from files.items()


VERSIONS = dict.fromkeys(("torch", "torchvision", "ultralytics", "timm", "openvino", "nncf", "numpy"), "2.15.0")


def hashed(files: dict[str, bytes], path: str, shared: bool | None, run: Any) -> dict[str, Any]:
    """What dvc.lock says of a file or a folder: of what is not among the `files`, by its name and the run's."""
    if path in files:
        return {"path": path, "hash": "md5", "md5": md5(files[path]), "size": len(files[path])}
    own = path.startswith(("models/", "results/"))
    return {"path": path, "hash": "md5", "md5": md5(f"{path} {run.name if own else ''}".encode()), "size": 1000}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def call(arguments: list[str], root: Path, text: str | None = None) -> str:
    """Run a command; its output. A failure ends the benchmark and shows it."""
    done = subprocess.run(arguments, cwd=root, capture_output=True, text=True, input=text)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)[:200]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
