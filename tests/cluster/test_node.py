"""The unit of work, which both engines start: run twice, killed, cut off, and in an environment that isn't right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import clustered
import psutil
import pytest
from clustered import Clustered, until
from real_slurm import free_ports

from lab.execution.cluster import node_archive
from lab.execution.cluster.backend import ClusterBackend
from lab.execution.cluster.node import checkout
from lab.execution.cluster.node import run as node
from lab.execution.cluster.tasks import Task
from lab.execution.standings import disturbed

PUBLISHERS = 32
RESUMING = """        state = Path(os.environ["LAB_CHECKPOINTS"]) / str(epoch)
        if state.exists():
            print(f"epoch {epoch} is there", flush=True)
        else:
            time.sleep(sleep / EPOCHS)
        state.touch()
"""
SECRET = "nobody-s-business"


@pytest.fixture
def project(tmp_path: Path) -> Clustered:
    return clustered.make(tmp_path / "project")


def task_of(project: Clustered, run: Any) -> tuple[Task, dict[str, Any]]:
    """A run as a node is told of it, queued but submitted to nobody."""
    project.enqueue(run)
    backend = project.backend()
    assert isinstance(backend, ClusterBackend)
    (task,) = [task for task in backend.pending() if task.name == run.name]
    task.folder.mkdir(parents=True)
    (task.folder / "attempts").write_text("x")
    backend._describe(task)
    return task, json.loads((task.folder / "task.json").read_text())


def start(task: Task, told: dict[str, Any], **environment: str) -> subprocess.Popen[str]:
    """The program, as an engine starts it."""
    (task.folder / "task.json").write_text(json.dumps(told))
    folder = task.folder.parents[1]
    arrays = folder / "arrays"
    arrays.mkdir(exist_ok=True)
    (arrays / "one").write_text(f"{task.id}\n")
    node_archive.write(folder)
    command = [sys.executable, str(folder / node_archive.FILE), str(folder), "one", "0"]
    variables = clustered.trivial.environ(**environment)
    return subprocess.Popen(command, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def outcome(process: subprocess.Popen[str], task: Task) -> str:
    """What it has noted in the end."""
    said = process.communicate(timeout=120)[0]
    note = json.loads((task.folder / "note.json").read_text())
    assert note["state"] == "over", said
    return note["outcome"]


def test_twice_is_once(project: Clustered) -> None:
    """A node that was cut off goes on beside its successor, and comes back."""
    task, told = task_of(project, project.run("one", sleep=3))
    first = start(task, told)
    until(lambda: project.calls("train"))
    first.send_signal(signal.SIGSTOP)
    elsewhere = {**told, "cache": f"{project.nodes}/cache-of-another-node"}
    assert outcome(start(task, elsewhere), task) == "done"
    first.send_signal(signal.SIGCONT)
    first.communicate(timeout=120)
    assert json.loads((task.folder / "note.json").read_text())["outcome"] == "done", "the late one has nothing to say"
    assert project.at_remote() == ["one"]
    assert outcome(start(task, told), task) == "present"
    assert len(project.calls("train")) == 2
    assert project.left() == [] and [path.name for path in project.checkouts()] == ["cache-of-another-node"]
    assert project.records()["one"].value("infer.f1_macro") == 0.1, "it is brought here"


def test_a_program_that_is_killed_leaves_nothing(project: Clustered) -> None:
    task, told = task_of(project, project.run("one", sleep=60))
    process = start(task, told)
    until(lambda: project.calls("train"))
    assert len(project.left()) >= 2, "DVC and its stage"
    guard = [child for child in psutil.Process(process.pid).children() if not child.environ().get("LAB_TASK")]
    guard[0].kill()  # and there is another one
    time.sleep(2 * node.LOOK)
    process.kill()
    process.wait()
    until(lambda: project.left() == [] and project.checkouts() == [], 20)
    assert project.at_remote() == []


def test_a_run_over_its_time_has_failed(project: Clustered) -> None:
    task, told = task_of(project, project.run("one", sleep=60))
    assert told["seconds"] is None, "its design has no limit"
    assert outcome(start(task, {**told, "seconds": 8.0, "timeout": "8s"}), task) == "failed"
    assert "ERROR: ended by the time limit of its design: 8s" in task.log.read_text()
    record = project.records()["one"]
    assert record.status == "failed" and not disturbed(record) and "time limit" in record.reason
    assert project.left() == [] and project.at_remote() == []


def test_another_node_goes_on_from_a_checkpoint(project: Clustered, tmp_path: Path) -> None:
    """Where a shared place is configured; it is empty again in the end. Elsewhere the log says that it starts over."""
    script = project.root / "src" / "stand_in.py"
    waits = "        time.sleep(sleep / EPOCHS)\n"
    assert waits in script.read_text()
    script.write_text(script.read_text().replace(waits, RESUMING))
    project.commit("resumes")
    project.call("git", "push", "-q", "origin", "main")
    task, told = task_of(project, project.run("one", sleep=9))
    told |= {"checkpoints": str(tmp_path / "shared"), "attempt": 2}
    first = start(task, told)
    until(lambda: list(tmp_path.glob("shared/*/1")))
    first.kill()
    first.communicate()
    assert outcome(start(task, {**told, "cache": str(tmp_path / "cache of another node")}), task) == "done"
    log = (task.folder / "log").read_text()
    assert log.count("is there") == 2, log
    assert "starts over" not in log and list((tmp_path / "shared").iterdir()) == []

    task, told = task_of(project, project.run("two", lr=-1.0))
    assert outcome(start(task, told | {"attempt": 2}), task) == "failed"
    assert "this one starts over: no checkpoints: in conf/cluster.yaml" in (task.folder / "log").read_text()


def test_a_guard_that_is_killed_at_the_end_leaves_nothing(tmp_path: Path) -> None:
    """It was killed after the last look at it: nothing would have removed the checkout before another run came."""
    tree, lock = checkout.new_checkout(tmp_path, "run")
    (tree / "model.pt").touch()
    guard = checkout.Guard(tree, lock)
    os.kill(guard.pid, signal.SIGKILL)
    guard.end()
    os.close(lock)
    assert list(tmp_path.iterdir()) == []


def test_what_ended_with_its_machine_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, lock = checkout.new_checkout(tmp_path, "lost")
    (tree / "file").touch()
    monkeypatch.setattr(checkout, "GRACE", -1.0)
    checkout.sweep(tmp_path)
    assert tree.exists(), "it is in use"
    os.close(lock)
    checkout.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_many_publish_at_once(project: Clustered) -> None:
    """Each its own experiment: all arrive. All the same one: it arrives once, and everybody knows."""
    _, told = task_of(project, project.run("one"))
    base = told["ref"].rpartition("/")[0]

    def publisher(name: str, number: int) -> node.Run:
        tree = project.root.parent / f"tree-{name}-{number}"
        tree.mkdir()
        run = node.Run({**told, "ref": f"{base}/{name}"}, tree, lambda kind, value: None)
        run.check_out()
        run.git("commit", "-q", "--allow-empty", "-m", str(number))
        run.git("update-ref", f"{base}/{name}", "HEAD")
        return run

    def publish(run: node.Run) -> str:
        barrier.wait()
        return run.publish()

    for names, expected in (
        ([f"own-{number}" for number in range(PUBLISHERS)], {"done": PUBLISHERS}),
        (["same"] * PUBLISHERS, {"done": 1, "present": PUBLISHERS - 1}),
    ):
        with ThreadPoolExecutor(PUBLISHERS) as pool:
            runs = list(pool.map(publisher, names, range(PUBLISHERS)))
            barrier = threading.Barrier(PUBLISHERS)
            assert Counter(pool.map(publish, runs)) == expected
    assert len(project.at_remote()) == PUBLISHERS + 1


def test_another_environment_is_refused(project: Clustered, tmp_path: Path) -> None:
    (project.root / "requirements.txt").write_text("pyyaml==6.0\nno-such-package==1.0 ; sys_platform == 'win32'\n")
    project.commit("pins")
    project.call("git", "push", "-q", "origin", "main")
    task, told = task_of(project, project.run("one"))
    assert set(told["versions"]) == {"python", "dvc", "pyyaml"}
    told["versions"] |= {"pyyaml": "1.2.3", "torch-of-ours": "9"}
    assert outcome(start(task, told), task) == "refused"
    (record,) = project.records().values()
    assert "There: pyyaml 6" in record.reason and "Here: pyyaml 1.2.3, torch-of-ours 9" in record.reason
    assert record.status == "failed" and project.calls("train") == []
    told["python"] = str(tmp_path / "none" / "python")
    assert outcome(start(task, told), task) == "refused"
    assert "has no Python at" in project.records()["one"].reason


def test_an_environment_is_built_once(project: Clustered, tmp_path: Path) -> None:
    """By the first of several runs that need it at the same time; the others wait."""
    (project.root / "requirements.txt").write_text("toml==0.10.2\n")
    project.commit("pins")
    project.call("git", "push", "-q", "origin", "main")
    _, told = task_of(project, project.run("one"))
    told |= {"python": "build"}
    said: list[str] = []

    def python(number: int) -> str:
        tree = tmp_path / "nodes" / f"tree-{number}"
        tree.mkdir(parents=True)
        run = node.Run(told, tree, lambda kind, value: said.append(value))
        run.check_out()
        return run.python()

    with ThreadPoolExecutor(3) as pool:
        (path,) = set(pool.map(python, range(3)))
    assert len(said) == 1 and said[0].startswith("building ")
    assert (
        subprocess.run([path, "-c", "import toml; print(toml.__version__)"], capture_output=True).stdout == b"0.10.2\n"
    )


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that speaks S3."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    (port,) = free_ports(1)
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"

        def made() -> bool:
            script = f"import boto3; boto3.client('s3', endpoint_url={address!r}).create_bucket(Bucket='lab')"
            return subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0

        until(made)
        yield address
    finally:
        server.kill()
        server.wait()


def test_models_go_to_s3(project: Clustered, bucket: str) -> None:
    """The remote is that of the repository's config; its credentials are the node's own."""
    project.call("dvc", "remote", "modify", "storage", "url", "s3://lab/project")
    project.call("dvc", "remote", "modify", "storage", "endpointurl", bucket)
    project.commit("S3")
    project.call("git", "push", "-q", "origin", "main")
    task, told = task_of(project, project.run("one"))
    assert SECRET not in json.dumps(told), "credentials don't travel"
    assert outcome(start(task, told), task) == "done"
    record = project.records()["one"]
    md5 = record.outputs["models/model.pt"]["md5"]
    project.project().store.fetch([md5])
    assert project.project().store.file(md5) is not None
