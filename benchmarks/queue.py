"""What it costs to queue experiments: `lab queue`, a shell loop of `dvc exp run --queue`, and DVC's sweep in one call.

    demo/.venv/bin/python benchmarks/queue.py demo [--json queue.json]

In copies of a generated project (here demo) as its last commit has it, with its environment. Each way queues the same
learning rates, up to the same stage, onto an empty queue. `lab`'s self-test, once for each version of DVC, is done
before.
Goal: `lab queue` at least 20 times as fast as the loop and 5 times as the one call, at 100; linear in the number
of runs.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

SIZES = {"lab queue": (10, 100, 300), "one call": (10, 100, 300), "shell loop": (10, 100)}


def rates(number: int) -> list[float]:
    """So many learning rates."""
    return [round(0.0001 * (i + 1), 4) for i in range(number)]


def design(number: int) -> str:
    """The design that has them as its levels."""
    sweep = {"strategy": "grid", "parameters": {"lr": rates(number)}}
    return yaml.safe_dump({"kind": "sweep", "type": "train", "title": "Which learning rate?", "sweep": sweep})


def command(way: str, number: int, folder: Path) -> list[str]:
    """The command line of a way to queue `number` experiments; bash runs the loop from a file."""
    if way == "lab queue":
        return [sys.executable, "src/lab.py", "queue", "designs/queue_benchmark.yaml", "--force"]
    if way == "one call":
        return ["dvc", "exp", "run", "--queue", "-n", "run", "-S", f"lr={','.join(map(str, rates(number)))}", "infer"]
    loop = folder / "loop.sh"
    loop.write_text(
        f"set -e\nfor lr in {' '.join(map(str, rates(number)))}; do\n"
        '  dvc exp run --queue -n "run-$lr" -S "lr=$lr" infer\ndone\n'
    )
    return ["bash", str(loop)]


def copy(project: Path, root: Path, environment: dict[str, str]) -> None:
    """The project as its last commit has it, in a repository of its own."""
    call(["git", "clone", "-q", str(project), str(root)], project, environment)
    for name, value in {"user.name": "benchmark", "user.email": "benchmark@localhost"}.items():
        call(["git", "config", name, value], root, environment)


def call(arguments: list[str], root: Path, environment: dict[str, str]) -> str:
    """Run a command; its output. A failure ends the benchmark and shows it."""
    done = subprocess.run(arguments, cwd=root, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)[:200]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def measure(way: str, number: int, project: Path, environment: dict[str, str]) -> dict[str, float]:
    """Wall and CPU seconds of queueing `number` experiments in a fresh copy."""
    with tempfile.TemporaryDirectory(prefix="queue-") as name:
        folder, root = Path(name), Path(name) / "project"
        copy(project, root, environment)
        (root / "designs" / "queue_benchmark.yaml").write_text(design(number))
        call(["git", "add", "designs"], root, environment)
        call(["git", "commit", "-q", "-m", "the benchmark's design"], root, environment)
        if way == "lab queue":
            note = project / ".dvc" / "tmp" / "lab"
            shutil.copytree(note, root / ".dvc" / "tmp" / "lab")
        arguments = command(way, number, folder)
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        call(arguments, root, environment)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        queued = len(list((root / ".dvc" / "tmp" / "exps" / "celery" / "broker" / "in").iterdir()))
        assert queued == number, f"{way} queued {queued} of {number}"
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": round(wall, 3), "cpu": round(cpu, 3)}


def self_test(project: Path, environment: dict[str, str]) -> None:
    """Let `lab` find out whether it can queue the fast way here, outside of the measurement."""
    code = "import sys; from pathlib import Path; from lab.execution.dvc.compatibility import passed\n"
    code += "sys.exit(0 if passed(Path.cwd()) else 'the self-test failed')"
    call([sys.executable, "-c", code], project, environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="a generated project, committed")
    parser.add_argument("--json", type=Path, default=Path("queue.json"), help="where the numbers go")
    arguments = parser.parse_args()
    project = arguments.project.resolve()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PATH"] = path
    self_test(project, environment)

    times = {way: {n: measure(way, n, project, environment) for n in sizes} for way, sizes in SIZES.items()}
    console = Console()
    table = Table("", "experiments", "wall s", "CPU s", "ms each", "wall, lab queue = 1", "CPU, lab queue = 1")
    for way, sizes in times.items():
        for number, found in sizes.items():
            ours = times["lab queue"][number]
            ratios = [f"{found[kind] / ours[kind]:.1f}" for kind in ("wall", "cpu")]
            each = f"{1000 * found['wall'] / number:.0f}"
            table.add_row(way, str(number), f"{found['wall']:.1f}", f"{found['cpu']:.1f}", each, *ratios)
    console.print(table)
    first, middle, last = (times["lab queue"][number] for number in SIZES["lab queue"])
    early, late = 1000 * (middle["cpu"] - first["cpu"]) / 90, 1000 * (last["cpu"] - middle["cpu"]) / 200
    console.print(f"lab queue, CPU ms for one more: {early:.1f} from 10 to 100, {late:.1f} from 100 to 300")
    facts = {"when": datetime.now().isoformat(timespec="seconds"), "cores": os.cpu_count(), "load": os.getloadavg()}
    arguments.json.write_text(json.dumps(facts | {"seconds": times}, indent=2) + "\n")


if __name__ == "__main__":
    main()
