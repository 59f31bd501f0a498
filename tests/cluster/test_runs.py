"""A plan carried out on either engine, as a person sees it, and while nodes, schedulers and drivers are killed."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import clustered
import psutil
import pytest
from clustered import Clustered, until
from of_items import GROWS, say_of_items
from real_ray import RealRay
from real_slurm import Slurm

from lab.design.resources import Resources
from lab.errors import UserError
from lab.execution.backend import Job
from lab.execution.registry import backend
from lab.execution.run import succeeded
from lab.study import FAILED, FINISHED, QUEUED, RUNNING

HYPOTHESIS = {"claim": "It is good.", "metric": "infer.f1_macro", "expected": 0.1}
VARIANTS = {
    "kind": "comparison",
    "type": "quant",
    "title": "Which variant?",
    "hypothesis": {**HYPOTHESIS, "metric": "quant.f1_macro"},
    "comparison": {"variable": "quant", "values": ["openvino_fp32", "openvino_fp16", "openvino_int8"]},
}
FAILING = {"kind": "single", "type": "train", "title": "Fails?", "hypothesis": HYPOTHESIS, "base": ["lr=-1.0"]}
SWEEP = {
    "kind": "sweep",
    "type": "train",
    "title": "Which rate?",
    "hypothesis": HYPOTHESIS,
    "sweep": {
        "strategy": "bayesian",
        "max_runs": 4,
        "parallel": 2,
        "parameters": {"lr": {"low": 0.001, "high": 0.1, "log": True}},
    },
}
SLOW = {**FAILING, "title": "Slow?", "base": ["+infer.sleep=9"], "seeds": [0, 1]}
DESIGNS = {"variants": VARIANTS, "failing": FAILING, "sweep": SWEEP, "grows": GROWS, "slow": SLOW}
LAST = {"slurm": "sweep", "ray": "grows"}  # of the designs whose runs follow from what came out; test_decided has all


@pytest.fixture
def project(engine: str, tmp_path: Path) -> Clustered:
    return clustered.make(tmp_path / "project", engine, designs=DESIGNS, change=say_of_items)


def test_a_plan_ends_with_the_table_of_one_machine(project: Clustered, engine: str, tmp_path: Path) -> None:
    """Waves, a failure, a search or seeds that grow; what comes out is the same as from DVC's queue."""
    done = project.lab("run", "variants", "--on", engine)
    assert "3 finished" in done.stdout and "quant.f1_macro" in done.stdout
    assert len(project.calls("train")) == 1, "the second wave finds the training of the first"
    assert project.lab("run", "variants", "--on", engine).returncode == 0
    assert len(project.calls("quant")) == 3, "what has run is not run again"

    failed = project.lab("run", "failing", "--on", engine, check=False)
    assert failed.returncode == 1 and "train ended with 1: lr=-1.0 should be above 0" in failed.stdout
    assert f"lab run designs/failing.yaml --on {engine} --failed" in failed.stdout
    assert len(project.calls("train")) == 2, "a stage's own failure is not tried again"
    assert "1 failed" in project.lab("status", "failing").stdout

    last = LAST[engine]
    project.lab("run", last, "--on", engine, "--force")
    assert project.left() == [] and until(lambda: project.checkouts() == [])

    local = clustered.make(tmp_path / "local", designs=DESIGNS, change=say_of_items)
    for design in ("variants", last):
        local.lab("run", design, "-j", "2", *(["--force"] if design == last else []))
    ours = {name: entry[1:] for name, entry in project.results().items()}
    assert ours == {name: entry[1:] for name, entry in local.results().items()}
    assert sorted(ours) == project.at_remote()


def test_what_runs_is_seen_and_stopped(project: Clustered, engine: str) -> None:
    """Its node, its stage and its epochs; `lab stop` leaves the rest in the queue."""
    assert "2 of 2 runs queued" in project.lab("queue", "slow", "--on", engine).stdout
    project.backend().start(1)
    node = until(lambda: [r.pending.node for r in project.records().values() if r.pending and r.curves])[0]
    status = project.lab("status").stdout
    assert re.search(rf"train [12]/\d+  val/f1_macro 0\.\d+ on {node}", status), status
    assert f"1 worker on {engine}" in status
    assert f"1 worker on {engine} ends after the run that it is at" in project.lab("stop").stdout
    until(lambda: project.backend().workers() == 0)
    assert sorted(record.status for record in project.records().values()) == [FINISHED, QUEUED]


def test_a_driver_is_killed_and_called_again(project: Clustered, engine: str) -> None:
    script = (
        "from pathlib import Path; import clustered\n"
        f"project = clustered.Clustered(Path.cwd(), {engine!r})\n"
        "rows = project.execution().add([project.run(f'run-{n}', seed=n, sleep=2) for n in range(4)])\n"
        "print([row.status for row in rows])"
    )
    paths = os.pathsep.join(["src", str(Path(__file__).parent), str(Path(clustered.trivial.__file__).parent)])
    environment = clustered.trivial.environ(PYTHONPATH=paths)

    def driver() -> psutil.Popen:
        import subprocess
        import sys

        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return psutil.Popen([sys.executable, "-c", script], cwd=project.root, env=environment, **pipes)

    first = driver()
    until(lambda: project.calls("train"))
    first.kill()
    first.communicate()
    output = driver().communicate(timeout=200)[0]
    assert output.splitlines()[-1] == str([FINISHED] * 4), output
    assert project.at_remote() == [f"run-{number}" for number in range(4)]
    assert len(project.calls("train")) == 4, "runs outlive the driver"
    assert project.left() == []


def test_a_node_is_lost_in_a_stage(project: Clustered, engine: str, request: pytest.FixtureRequest) -> None:
    cluster: Any = request.getfixturevalue("slurm" if engine == "slurm" else "ray_cluster")
    finished: list[bool] = []
    runs = [project.run(f"run-{number}", seed=number, sleep=5) for number in range(3)]
    execution = project.execution()
    thread = threading.Thread(target=lambda: finished.append(succeeded(execution.add(runs))))
    thread.start()
    until(lambda: len(project.calls("train")) >= 2)
    lose(cluster, project)
    try:
        thread.join(200)
        assert finished == [True]
        assert project.at_remote() == ["run-0", "run-1", "run-2"]
        until(lambda: project.left() == [])
    finally:
        cluster.restore()


def lose(cluster: Slurm | RealRay, project: Clustered) -> None:
    """A node's machine is gone, with all that it runs."""
    if isinstance(cluster, RealRay):
        cluster.kill()
        return
    node = next(record.pending.node for record in project.records().values() if record.status == RUNNING)  # type: ignore
    cluster.kill(node)
    cluster.kill_jobs(node)


def test_what_is_ended_is_taken_up(project: Clustered, engine: str) -> None:
    """A stage, DVC and the program on the node are killed; each time the run is taken up, and nothing is left."""
    for number, victim in enumerate(("stand_in.py train", "dvc exp run", "node.pyz")):
        execution = project.execution()
        rows: list[Any] = []
        run = project.run(f"run-{number}", seed=number, sleep=2)
        thread = threading.Thread(
            target=lambda execution=execution, run=run, rows=rows: rows.extend(execution.add([run]))
        )
        thread.start()
        until(lambda number=number: len(project.calls("train")) > number * 2)
        victims = [p for p in project.left() if victim in " ".join(p.cmdline())]
        if victim == "node.pyz":
            victims = [until(lambda: project.left())[0].parent() if not victims else victims[0]]
            program = project.left()[-1]
            while str(project.nodes) in program.environ().get("LAB_TASK", ""):
                program = program.parent()  # type: ignore[assignment]
            victims = [program]
        victims[0].send_signal(signal.SIGKILL)
        thread.join(120)
        assert [row.status for row in rows] == [FINISHED], rows
        assert len(project.calls("train")) == (number + 1) * 2
    assert project.at_remote() == ["run-0", "run-1", "run-2"]
    until(lambda: project.left() == [] and project.checkouts() == [])


def test_each_run_sees_the_gpus_that_it_asked_for(project: Clustered, engine: str) -> None:
    """None, a whole one, and a half each of the same."""
    script = project.root / "src" / "stand_in.py"
    note = (
        "calls.write(f\"{stage} {params['lr']} {params['seed']} {os.environ.get('CUDA_VISIBLE_DEVICES', 'all')!r}\\n\")"
    )
    known = "calls.write(f\"{stage} {params['lr']} {params['seed']}\\n\")"
    assert known in script.read_text()
    script.write_text(script.read_text().replace(known, note))
    project.commit("tells its GPUs")
    project.call("git", "push", "-q", "origin", "main")
    known_backend = project.backend()
    jobs = []
    for number, gpus in enumerate((None, 1, 0.5, 0.5)):
        run = project.run(f"run-{number}", seed=number)
        jobs.append(Job(run.name, run.params, "train", Resources(gpus=gpus)))
    with known_backend.alone():
        known_backend.put(jobs)
    known_backend.start(4)
    until(lambda: len(project.calls("train")) == 4 and project.backend().workers() == 0)
    assert sorted(project.calls("train")) == ["0.1 0 ''", "0.1 1 '0'", "0.1 2 '0'", "0.1 3 '0'"]


# The driver's own checks


def test_what_nodes_would_not_see_is_refused(tmp_path: Path) -> None:
    project = clustered.make(tmp_path / "project", designs=DESIGNS)
    (project.root / "src" / "stand_in.py").open("a").write("# changed\n")
    with pytest.raises(UserError, match="not committed: src/stand_in.py"):
        project.enqueue(project.run("one"))
    project.commit("changed")
    with pytest.raises(UserError, match="has no commit .* yet: git push origin main"):
        project.enqueue(project.run("one"))
    project.call("git", "push", "-q", "origin", "main")
    project.call("dvc", "remote", "modify", "--local", "storage", "url", str(project.root / "here"))
    with pytest.raises(UserError, match="DVC's remote storage is a folder of this project"):
        project.enqueue(project.run("one"))
    project.call("dvc", "remote", "modify", "--local", "storage", "url", str(tmp_path / "storage"))
    project.call("git", "remote", "remove", "origin")
    with pytest.raises(UserError, match="there is no git remote origin"):
        project.enqueue(project.run("one"))
    assert project.records() == {}


def test_settings_are_checked(tmp_path: Path) -> None:
    project = clustered.make(tmp_path / "project", clusters="fast: {engine: slurm, partion: gpu}\nodd: {engine: pbs}\n")
    with pytest.raises(UserError, match="fast.partion is no setting. Did you mean 'partition'?"):
        backend(project.root, "fast")
    with pytest.raises(UserError, match="odd.engine: 'pbs' is not one of slurm, ray"):
        backend(project.root, "odd")
    with pytest.raises(UserError, match="there are dvc, dvc-workers, slurm, ray, fast, odd. Did you mean 'fast'?"):
        backend(project.root, "fats")


def test_runs_that_wait_elsewhere_are_not_waited_for(tmp_path: Path) -> None:
    project = clustered.make(tmp_path / "project")
    project.enqueue(project.run("one"))
    here = Clustered(project.root, "dvc")
    known = project.backend()
    execution = here.execution()
    execution.project.pending = lambda: list(known.pending())
    with pytest.raises(
        UserError, match="1 of these runs is queued already, to be run on slurm: lab run with --on slurm"
    ):
        execution.add([project.run("one")])
    assert FAILED not in {record.status for record in project.records().values()}
