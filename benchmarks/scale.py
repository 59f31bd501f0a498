"""What thousands of records cost to read: lab's commands, a poll, a mirror's pass; git and `dvc exp show` beside them.

    demo/.venv/bin/python -P benchmarks/scale.py demo [--sizes 100 1000 5000 10000] [--show 100] [--report DESIGN]

In copies of a generated project (here demo, of classification) as its last commit has it, with its environment.
Designs of 100 runs are committed one after the other, and each has its experiments on its commit, with the files of
real ones; one more design has not run. CPU seconds, user and system, of a command and its children; `cold` is the
first time, when nothing is kept on disk, `warm` the best of three more. `dvc exp show` is asked for --show records.
Goals at 1,000, 5,000, 10,000, warm: `lab status` 0.8, 2, 4 s; `lab check`, `lab plan` 1.5 s; a poll 10 ms; a pass of
the mirror with nothing new 20 ms; 300 MB. On a fresh project: `lab --help` 0.1 s, `lab plan` 0.6 s, `lab report` 2.5.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RUNS = 100  # of a design
EPOCHS = 20
COMMANDS = {
    "lab status": ["status"],
    "lab check, 100 runs": ["check", "scale_new"],
    "lab plan, 100 runs": ["plan", "scale_new"],
    "lab results": ["results", "scale_0000"],
}
FRESH = {"lab --help": ["--help"], "lab plan": ["plan", "classification_lr_sweep"]}
LOOKS = """
import json, time
from lab.cli.app import ROOT, open_backend, open_project
from lab.execution.run import Execution
from lab.records import studies
from lab.report import pages
from lab.tracking.mirror import Mirror

def measured(look):
    times = []
    for _ in range(6):
        started = time.process_time()
        look()
        times.append(round(1000 * (time.process_time() - started), 2))
    return {"first": times[0], "nothing new": min(times[1:])}

project = open_project()
execution = Execution(project, open_backend(), 1, lambda *_: None)
execution.runs = studies.planner(project, ROOT / "designs" / "scale_new.yaml").plan().runs
mirror = Mirror(project, pages)
print(json.dumps({"poll": measured(execution._look), "mirror": measured(mirror.has_news)}))
"""


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
    from lab import contract
    from lab.design import design_file
    from lab.design.compose import composer_of
    from lab.design.pipeline import Pipeline
    from lab.design.plan import plan

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
    made_refs = call(["git", "for-each-ref", "--format=%(refname) %(objectname) %(parent)", "refs/scale"], root)
    for line in made_refs.splitlines():
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
        files[f"effective/{stage}.yaml"] = written([note | {"used": used, "machine": machine}])
    files["results/infer/confusion.csv"] = (
        b"actual,predicted\n" + "".join(f"{i % 10},{draw.randrange(10)}\n" for i in range(1000)).encode()
    )
    files["results/infer/curve.csv"] = (
        b"class,recall,precision\n" + "".join(f"{i % 10},{i / 300},{draw.random()}\n" for i in range(300)).encode()
    )
    for stage in pipeline.chain(run.target):
        keys = sorted(pipeline.stages[stage]["params"])
        lock[stage] = {
            "cmd": pipeline.stages[stage]["cmd"],
            "deps": [hashed(files, path, run) for path in pipeline.deps(stage, run.params)],
            "params": {"params.yaml": {key: get(run.params, key) for key in keys}},
            "outs": [hashed(files, path, run) for path in pipeline.outputs(stage, run.params)],
        }
    files["dvc.lock"] = written({"schema": "2.0", "stages": lock})
    files["params.yaml"] = written(run.params)
    yield from files.items()


VERSIONS = dict.fromkeys(("torch", "torchvision", "ultralytics", "timm", "openvino", "nncf", "numpy"), "2.15.0")


def written(content: Any) -> bytes:
    """As YAML, by libyaml: thousands of files take minutes otherwise."""
    import yaml

    return yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False).encode()


def hashed(files: dict[str, bytes], path: str, run: Any) -> dict[str, Any]:
    """What dvc.lock says of a file or a folder: of what is not among the `files`, by its name and the run's."""
    if path in files:
        return {"path": path, "hash": "md5", "md5": md5(files[path]), "size": len(files[path])}
    own = path.startswith(("models/", "results/"))
    return {"path": path, "hash": "md5", "md5": md5(f"{path} {run.name if own else ''}".encode()), "size": 1000}


def md5(content: bytes) -> str:
    """As DVC names files by it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


# What it costs


def call(arguments: list[str], root: Path, text: str | None = None) -> str:
    """Run a command; its output. A failure ends the benchmark and shows it."""
    done = subprocess.run(arguments, cwd=root, capture_output=True, text=True, input=text, env=environment())
    if done.returncode:
        sys.exit(f"{' '.join(arguments)[:200]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def environment() -> dict[str, str]:
    """Ours, with the benchmark's Python first on PATH, and Python's bytecode written: only a first start compiles."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]]), "PYTHONPATH": "src"}


def cost(arguments: list[str], root: Path) -> tuple[float, float]:
    """CPU seconds, and MB at most, of a command and its children. `lab check` may object."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(arguments, cwd=root, stdout=output, stderr=output, env=environment())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode()
    if "Traceback" in said or said.startswith(("lab: ", "ERROR")):
        sys.exit(f"{' '.join(arguments)} failed:\n{said}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def lab(arguments: list[str], root: Path) -> dict[str, float]:
    """CPU seconds of a `lab` command when nothing is kept, and from then on; MB at most."""
    command = [sys.executable, "-m", "lab", *arguments]
    for kept in ("kept", "drawn"):
        shutil.rmtree(root / ".dvc" / "tmp" / "lab" / kept, ignore_errors=True)
    cold, most = cost(command, root)
    times, sizes = zip(*(cost(command, root) for _ in range(3)), strict=True)
    return {"cold": round(cold, 2), "warm": round(min(times), 2), "MB": round(max(most, *sizes))}


def measure(project: Path, records: int, show: bool) -> dict[str, dict[str, float]]:
    """Everything at one size; at 0 records that of a fresh project."""
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        root, other = Path(name) / "project", Path(name) / "remote.git"
        call(["git", "clone", "-q", str(project), str(root)], project)
        for key in ("user.name", "user.email"):
            call(["git", "config", key, "benchmark@localhost"], root)
        if not records:
            return {what: lab(arguments, root) for what, arguments in FRESH.items()}
        fill(root, records)
        found = {what: lab(arguments, root) for what, arguments in COMMANDS.items()}
        looks = json.loads(call([sys.executable, "-c", LOOKS], root))
        found |= {f"a {what}, ms": times for what, times in looks.items()}
        if show:
            times = [cost(["dvc", "exp", "show", "--json", "-A"], root)[0] for _ in range(2)]
            found["dvc exp show"] = {"cold": round(times[0], 1), "warm": round(times[1], 1)}
        call(["git", "init", "-q", "--bare", str(other)], root)
        call(["git", "remote", "add", "scale", str(other)], root)
        pushed = cost(["git", "push", "-q", "scale", "main", "refs/exps/*:refs/exps/*"], root)[0]
        again = cost(["git", "push", "-q", "scale", "main", "refs/exps/*:refs/exps/*"], root)[0]
        clone = Path(name) / "clone"
        call(["git", "clone", "-q", "-b", "main", str(other), str(clone)], root)
        fetched = cost(["git", "fetch", "-q", "origin", "refs/exps/*:refs/exps/*"], clone)[0]
        found["git push"] = {"first": round(pushed, 2), "nothing new": round(again, 2)}
        found["git fetch"] = {"first": round(fetched, 2)}
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="a generated project, committed")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000, 5000, 10_000])
    parser.add_argument("--show", type=int, default=100, help="with how many records dvc exp show is asked")
    parser.add_argument("--report", metavar="DESIGN", help="one that has run in the project, for lab report")
    parser.add_argument("--json", type=Path, default=Path("scale.json"), help="where the numbers go")
    arguments = parser.parse_args()
    project = arguments.project.resolve()
    sys.path.insert(0, str(project / "src"))
    load, began = os.getloadavg(), time.time()
    found = {size: measure(project, size, size == arguments.show) for size in (0, *arguments.sizes)}
    if arguments.report:
        found.setdefault(0, {})["lab report"] = lab(["report", arguments.report], project)
    table = Table("records", "", "", title="CPU seconds; of a poll and of the mirror's look, milliseconds")
    for size, rows in found.items():
        for what, numbers in rows.items():
            told = ", ".join(f"{name} {number:g}" for name, number in numbers.items())
            table.add_row(str(size) if size else "fresh", what, told)
    Console().print(table)
    facts = {"when": datetime.now().isoformat(timespec="seconds"), "cores": os.cpu_count(), "load": load}
    arguments.json.write_text(json.dumps(facts | {"took": round(time.time() - began), "found": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
