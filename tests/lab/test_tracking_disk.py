"""Full disks: a file system of 4 MiB in memory, which nobody but the test sees."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tracked
from tracked import dump, export

from lab.records.project import Project
from lab.tracking import background
from lab.tracking import mirror as mirrors
from lab.tracking.conformance import Question, question

pytestmark = pytest.mark.slow

PAGE = b"." * 2**20
TOLD = "it is tried again, and nothing waits for it"


@pytest.fixture
def play(tmp_path: Path) -> Callable[[str, Path], None]:
    """Plays a scene of this file where a small disk is mounted. In a name space of one's own that takes no rights."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare to mount a small disk with")
    mount = 'mount -t tmpfs -o size=4m none "$0" && exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount]
    tried = subprocess.run([*command, str(tmp_path), "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"a small disk can't be mounted here: {tried.stderr.strip()}")

    def call(scene: str, disk: Path) -> None:
        disk.mkdir(parents=True)
        code = f"import test_tracking_disk as scenes; scenes.{scene}(scenes.Path({str(disk)!r}))"
        arguments = [*command, str(disk), sys.executable, "-c", code]
        environment = tracked.environment()
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr

    return call


@pytest.mark.nightly
def test_no_room_for_artifacts(play: Callable[[str, Path], None], tmp_path: Path) -> None:
    """Metrics and params are there all the same, and when there is room again, so are the artifacts."""
    play("artifacts", tmp_path / "tests" / "mlartifacts")


def artifacts(disk: Path) -> None:
    """There is room for those of two runs, and for a part of the third's."""
    root, designs = disk.parent, [with_pages(question("grid", 4, 3), 3), question("other", 2, 3)]
    said, full, found = mirrored(root, designs, disk, 5 * 2**19)
    assert said == [
        f"the artifacts of grid-2 were not taken: the disk of {disk} is full; {TOLD}",
        f"MLflow at {root / 'mlflow.db'} answers again, and has all there is",
    ], said
    assert dump(figures(full)) == dump(figures(found)), "all else was there while the disk was full"
    assert dump(found) == dump(undisturbed(root.parent, designs))
    assert [path.read_bytes() == PAGE for path in disk.rglob("run.md")] == [True] * 3


@pytest.mark.nightly
def test_no_room_at_all(play: Callable[[str, Path], None], tmp_path: Path) -> None:
    """Not even for MLflow's own file: what was missed is there when there is room again."""
    play("everything", tmp_path / "tests")


def everything(disk: Path) -> None:
    """There is room for a part of the points."""
    design = question("grid", 3, 600)
    said, full, found = mirrored(disk, [design], disk, 2**19)
    assert said == [
        f"the disk of {disk / 'mlflow.db'} is full; {TOLD}",
        f"MLflow at {disk / 'mlflow.db'} answers again, and has all there is",
    ], said
    assert 0 < points(full) < points(found), "it was full in the middle of a pass"
    assert dump(found) == dump(undisturbed(disk.parent, [design]))


def test_no_room_for_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror in the background goes on where what it says can't be written, and `lab run` without a mirror."""
    ended = []

    def full(line: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def watch(mirror: Any, names: Any, say: Callable[[str], None], needed: Any) -> None:
        say("it is full")
        ended.append(True)

    monkeypatch.setattr(background, "watch", watch)
    monkeypatch.setattr(background, "give_way", lambda: None)
    background.follow(mirror_of(tmp_path), -1, lambda: True, full)
    assert ended

    (tmp_path / ".dvc" / "tmp" / "lab" / "mirror.log").mkdir()
    assert background.start(tmp_path).complaint().startswith("not mirrored: ")


def mirror_of(root: Path) -> mirrors.Mirror:
    """The mirror of a project that has nothing but the folder."""
    pages: Any = None
    return mirrors.Mirror(Project(root), pages)


def with_pages(design: Question, number: int) -> Question:
    """The design with an artifact of 1 MiB for so many of its runs."""
    made = [replace(each, made=replace(each.made, artifacts={"run.md": PAGE})) for each in design.members[:number]]
    return replace(design, members=[*made, *design.members[number:]])


def mirrored(root: Path, designs: list[Question], disk: Path, room: int) -> tuple[list[str], Any, Any]:
    """Watch a project where the disk has so many bytes left, and none in the way from the third pass on.

    Returns what is said, and what the store has before the third pass and in the end.
    """
    mirrors.POLL, mirrors.PATIENCE = 0.1, (0.1, 0.1)
    store, mirror, said, full = tracked.store(root), mirror_of(root), [], []
    ballast = disk / "ballast"
    ballast.write_bytes(b"." * (shutil.disk_usage(disk).free - room))

    def passing(_: Any) -> list[Question]:
        full.append(export(store) if len(full) == 2 else None)
        if len(full) == 3:
            ballast.unlink()
        return designs

    mirror.designs = passing  # type: ignore[method-assign]
    mirrors.watch(mirror, (), said.append, lambda: len(said) < 2 and len(full) < 9)
    return said, full[2], export(store)


def figures(found: Any) -> Any:
    """All but the artifacts."""
    return {key: {**each, "artifacts": []} for key, each in found.items()}


def points(found: Any) -> int:
    """How many points all runs have together."""
    return sum(len(history) for each in found.values() for history in each.get("metrics", {}).values())


def undisturbed(folder: Path, designs: list[Question]) -> Any:
    """What a store has where there was room all the time."""
    store = tracked.store(folder)
    tracked.send(store, *designs, artifacts=folder / "mlartifacts")
    return export(store)
