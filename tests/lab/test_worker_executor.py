"""`lab.execution.worker`: runs carried out in a lasting checkout are the experiments that DVC would make of them."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pygit2
import pytest
import random_pipelines
import yaml
from random_pipelines import Twins, quietly

from lab.errors import UserError
from lab.execution.worker import compatibility
from lab.execution.worker.cache import Cache
from lab.execution.worker.carry_out import Checkout, Command, StageFailed, Unsupported, in_a_shell
from lab.execution.worker.compatibility import FILES, make, queued, task
from lab.execution.worker.content import Hashes
from lab.git import Repository

pytestmark = pytest.mark.slow

DATA = 12  # files of data


def carry_out(
    checkout: Checkout,
    name: str,
    changes: dict[str, bytes] | None = None,
    targets: tuple[str, ...] = ("train",),
    run: Callable[[Command], int] = quietly,
) -> tuple[str, str]:
    """An experiment's commit, and the log of its run."""
    log = io.StringIO()
    commit = queued(checkout.root, changes or {}, targets, name)
    try:
        return checkout.carry_out(task(checkout.root, commit, targets, name), run, log), log.getvalue()
    except StageFailed:
        return "", log.getvalue()


def project(root: Path, changes: dict[str, str | None] | None = None) -> Path:
    """The self-test's project with other files, and data in DVC's cache."""
    files = {name: text for name, text in {**FILES, **(changes or {})}.items() if text is not None}
    make(root, {name: text.encode() for name, text in files.items()})
    return root


def with_data(root: Path, kind: str = "hardlink,copy", files: dict[str, str] | None = None) -> Path:
    """A project whose one stage reads a folder of data and writes to it, where its params say so."""
    stage = """
stages:
  train:
    cmd: sh code/train.sh
    deps: [raw, code]
    params: [spoil, lr]
    outs: [model]
"""
    script = 'cat raw/*/* >model; if grep -q "spoil: 1" params.yaml; then chmod u+w raw/0/0; echo spoilt >raw/0/0; fi\n'
    project(
        root,
        {
            ".dvc/config": f"[core]\n    analytics = false\n[cache]\n    type = {kind}\n",
            "dvc.yaml": stage,
            "params.yaml": "spoil: 0\nlr: 1\n",
            "code/train.sh": script,
            "code/one.txt": None,
            **(files or {}),
        },
    )
    add_data(root, "raw", {f"{index % 3}/{index}": f"{index}\n" for index in range(DATA)})
    return root


def add_data(root: Path, name: str, files: dict[str, str]) -> None:
    """Have a folder in DVC's cache, and its .dvc file in git."""
    from dvc.repo import Repo

    for path, text in files.items():
        (root / name / path).parent.mkdir(parents=True, exist_ok=True)
        (root / name / path).write_text(text)
    with Repo(str(root)) as repo:
        repo.add([str(root / name)])
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", "commit", "-qm", "data"], cwd=root, check=True)


def read(root: Path, commit: str, path: str) -> str:
    return Repository(root).text(commit, path)


def check_cache(root: Path) -> None:
    """Each object is what its name says, and nothing half is there."""
    for path in (root / ".dvc/cache/files/md5").rglob("*"):
        if path.is_file():
            md5 = path.parent.name + path.name
            assert Hashes().content(path).md5 == md5.removesuffix(".dir"), path


# DVC's, to the byte


@pytest.mark.parametrize("seed", range(20))
def test_random_pipelines_come_out_as_dvcs(seed: int, tmp_path: Path) -> None:
    compare(seed, tmp_path, runs=1 + seed % 2)


ONCE_DIFFERENT = {
    "an output in git that came out of the run cache": 176,
    "a link to what the cache lacks": 105,
    "a kind of link that does not work here": 113,
}


@pytest.mark.parametrize("seed", ONCE_DIFFERENT.values(), ids=ONCE_DIFFERENT)
def test_what_once_differed_comes_out_as_dvcs(seed: int, tmp_path: Path) -> None:
    compare(seed, tmp_path, runs=5)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(20, 220))
def test_more_random_pipelines_come_out_as_dvcs(seed: int, tmp_path: Path) -> None:
    compare(seed, tmp_path, runs=5)


def compare(seed: int, folder: Path, runs: int) -> None:
    case = random_pipelines.case(seed)
    twins = Twins(folder, case)
    with twins.checkout:
        for number, run in enumerate(case.runs[:runs]):
            came = twins.run(run, f"run-{number}")
            if came == "unsupported: raw.dvc: its data has changed":  # a stage wrote to it: see the test of that
                break
            assert came in ("made", "failed"), came  # the generator makes nothing that is unsupported
            if number == 0 and came == "made":
                twins.go_on("run-0")


def test_self_test_passes_and_is_kept(tmp_path: Path) -> None:
    assert compatibility.passed(tmp_path)
    note = (tmp_path / compatibility.NOTE).read_text()
    assert '"passed": true' in note
    (tmp_path / compatibility.NOTE).write_text(note.replace("true", "false"))
    assert not compatibility.passed(tmp_path)


def test_dvc_takes_the_experiment_for_its_own(tmp_path: Path) -> None:
    from dvc.repo import Repo

    root = with_data(tmp_path / "project")
    with Checkout(root, tmp_path / "checkout") as checkout:
        commit, _ = carry_out(checkout, "mine")
    remote = pygit2.init_repository(str(tmp_path / "remote.git"), bare=True)
    pygit2.Repository(str(root)).remotes.create("origin", remote.path)
    with Repo(str(root)) as repo:
        repo.experiments.apply("mine")
        assert repo.status() == {}
        (shown,) = [each for each in repo.experiments.show() if each.experiments]
        assert shown.experiments[0].revs[0].rev == commit
        repo.experiments.push("origin", ["mine"])
    assert any(name.endswith("/mine") for name in remote.references)


# What goes over from run to run


def test_nothing_of_a_run_is_left_for_the_next(tmp_path: Path) -> None:
    seen: list[set[str]] = []

    def littering(command: Command) -> int:
        found = {path.relative_to(checkout.project).as_posix() for path in checkout.project.rglob("*")}
        seen.append({path for path in found if not path.startswith(".git")})
        for name in ("new.txt", "code/__pycache__/one.pyc", ".dvc/tmp/x", "raw/empty/x", "raw/more.txt", "a/b/c"):
            (checkout.project / name).parent.mkdir(parents=True, exist_ok=True)
            (checkout.project / name).write_text("litter")
        (checkout.project / "code/train.sh").write_text("changed")
        (checkout.project / "params.yaml").chmod(0o600)
        (checkout.project / "code/gone.txt").unlink()
        shutil.rmtree(checkout.project / "raw/1")
        subprocess.run(["git", "checkout", "-qb", "mine"], cwd=checkout.project, check=True)
        return 1

    root = with_data(tmp_path / "project", files={"code/gone.txt": "here\n"})
    (root / ".gitignore").write_text((root / ".gitignore").read_text() + "new.txt\n")
    with Checkout(root, tmp_path / "checkout") as checkout:
        for number in range(2):
            carry_out(checkout, f"run-{number}", run=littering)
        commit, _ = carry_out(checkout, "last")
    assert seen[0] == seen[1]
    assert "new.txt" not in seen[0] and "raw/0/0" in seen[0]
    assert read(root, commit, "code/train.sh") == (root / "code/train.sh").read_text()
    assert len(pygit2.Repository(str(root)).listall_branches()) == 1


def test_outputs_that_a_failed_stage_has_removed_are_there_again(tmp_path: Path) -> None:
    root = project(tmp_path / "project")
    with Checkout(root, tmp_path / "checkout") as checkout:
        commit, _ = carry_out(checkout, "start")
        subprocess.run(["git", "reset", "-q", "--hard", commit], cwd=root, check=True)
        other = {"params.yaml": b"lr: 0.1\nmodel: {size: 3, parts: [a, b]}\n"}
        assert not carry_out(checkout, "fails", other, run=lambda command: 1)[0]  # data and metrics have gone
        same, log = carry_out(checkout, "same")
    assert log.count("didn't change, skipping") == 3
    assert Repository(root).tree(same) == Repository(root).tree(commit)


@pytest.mark.parametrize("kind", ["hardlink,copy", "copy", "symlink"])
def test_a_stage_that_writes_to_its_data_spoils_only_its_own_run(kind: str, tmp_path: Path) -> None:
    root = with_data(tmp_path / "project", kind)
    with Checkout(root, tmp_path / "checkout") as checkout:
        first, _ = carry_out(checkout, "first")
        spoilt, _ = carry_out(checkout, "spoilt", {"params.yaml": b"spoil: 1\nlr: 2\n"})
        assert read(root, spoilt, "dvc.lock") != read(root, first, "dvc.lock")
        if kind != "copy":  # through a link it is DVC's cache itself that was written to: DVC takes it for new data
            with pytest.raises(Unsupported, match="its data has changed|is a symbolic link"):
                carry_out(checkout, "again", {"params.yaml": b"spoil: 0\nlr: 3\n"})
            return
        again, _ = carry_out(checkout, "again", {"params.yaml": b"spoil: 0\nlr: 3\n"})
    assert read(root, first, "dvc.lock").splitlines()[3:12] == read(root, again, "dvc.lock").splitlines()[3:12]
    check_cache(root)


def test_data_that_did_not_change_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_files: list[Path] = []
    md5 = Hashes.md5

    def counted(self: Hashes, path: Path, sign: tuple[int, int, int, int]) -> str:
        if sign[:3] not in self.files:
            read_files.append(path)
        return md5(self, path, sign)

    root = with_data(tmp_path / "project")
    time.sleep(0.1)  # until it is old enough to be relied upon
    with Checkout(root, tmp_path / "checkout") as checkout:
        carry_out(checkout, "first")
    monkeypatch.setattr(Hashes, "md5", counted)
    with Checkout(root, tmp_path / "checkout") as checkout:  # another process would have the note alone
        inodes = {path: path.stat().st_ino for path in (checkout.project / "raw").rglob("*")}
        for number in range(2):
            carry_out(checkout, f"next-{number}", {"params.yaml": f"spoil: 0\nlr: {number}\n".encode()})
        assert not [path for path in read_files if "raw" in path.parts]
        assert inodes == {path: path.stat().st_ino for path in (checkout.project / "raw").rglob("*")}


def with_prepared(root: Path, kind: str) -> Path:
    """A project whose dvc.lock doesn't know of its prepared data, which `part` chooses and `spoil` writes to."""
    prepare = "mkdir -p data; for i in 1 2 3; do grep part params.yaml >data/$i; done"
    train = 'cat data/* >model; if grep -q "spoil: 1" params.yaml; then chmod u+w data/1; echo spoilt >data/1; fi'
    stages = {
        "prepare": {"cmd": prepare, "params": ["part"], "outs": ["data"]},
        "train": {"cmd": train, "deps": ["data"], "params": ["spoil", "lr"], "outs": ["model"]},
    }
    files: dict[str, str | None] = dict.fromkeys(FILES)
    files[".dvc/config"] = f"[core]\n    analytics = false\n[cache]\n    type = {kind}\n"
    files["dvc.yaml"] = yaml.safe_dump({"stages": stages})
    files["params.yaml"] = "part: 1\nspoil: 0\nlr: 0\n"
    return project(root, files)


@pytest.mark.parametrize("kind", ["hardlink,copy", "copy", "symlink"])
def test_a_folder_from_the_run_cache_is_laid_out_once(kind: str, tmp_path: Path) -> None:
    def inodes() -> list[int]:
        return [path.lstat().st_ino for path in sorted((checkout.project / "data").iterdir())]

    def params(part: int, lr: int, spoil: int = 0) -> dict[str, bytes]:
        return {"params.yaml": f"part: {part}\nspoil: {spoil}\nlr: {lr}\n".encode()}

    root = with_prepared(tmp_path / "project", kind)
    laid: dict[int, list[list[int]]] = {0: [], 1: []}
    made: set[str] = set()
    with Checkout(root, tmp_path / "checkout") as checkout:
        for lr in range(8):
            part = lr // 4 if kind == "copy" else lr % 2  # of copies a single one is kept
            commit, log = carry_out(checkout, f"run-{lr}", params(part, lr))
            assert ("'prepare' is cached" in log) == bool(laid[part])
            laid[part].append(inodes())
            made.add(yaml.safe_load(read(root, commit, "dvc.lock"))["stages"]["prepare"]["outs"][0]["md5"])
        assert len(made) == 2
        assert all(first == again for _, first, *others in laid.values() for again in others)
        carry_out(checkout, "spoilt", params(0, 8, 1))
        assert len(list((tmp_path / "checkout" / "spare").iterdir())) <= 2
        _, log = carry_out(checkout, "again", params(0, 9))
        assert [path.read_text() for path in sorted((checkout.project / "data").iterdir())] == ["part: 0\n"] * 3
        assert ("Running stage 'prepare'" in log) == (kind != "copy")  # it was the cache itself that was spoilt
    check_cache(root)


def test_a_checkout_has_one_owner(tmp_path: Path) -> None:
    root = project(tmp_path / "project")
    with Checkout(root, tmp_path / "checkout"), pytest.raises(UserError, match="another worker's"):
        Checkout(root, tmp_path / "checkout")


# Where it is made


def test_a_project_in_a_folder_of_a_repository(tmp_path: Path) -> None:
    inner = {f"inner/{name}": text for name, text in FILES.items()}
    make(tmp_path / "project", {name: text.encode() for name, text in {**inner, "README.md": "outside"}.items()})
    root = tmp_path / "project" / "inner"
    with Checkout(root, tmp_path / "checkout") as checkout:
        commit, _ = carry_out(checkout, "mine")
        assert (checkout.project / "../README.md").is_file()
    assert "train@a" in read(root, commit, "dvc.lock")
    assert read(root, commit, "metrics/prepare.json") == "{}\n"


def test_a_shallow_clone_a_linked_work_tree_and_a_bare_repository(tmp_path: Path) -> None:
    origin = project(tmp_path / "project")
    subprocess.run(["git", "clone", "-q", "--bare", origin, tmp_path / "bare"], check=True)
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{origin}", tmp_path / "clone"], check=True)
    subprocess.run(["git", "worktree", "add", "-q", tmp_path / "linked"], cwd=origin, check=True, capture_output=True)
    trees = set()
    for name in ("project", "clone", "linked", "bare"):
        with Checkout(tmp_path / name, tmp_path / f"{name}-checkout") as checkout:
            commit, _ = carry_out(checkout, f"in-{name}")
            assert (tmp_path / name / ".dvc/cache/files/md5").is_dir()
            subprocess.run(["git", "log"], cwd=checkout.project, check=True, capture_output=True)
        trees.add(Repository(tmp_path / name).tree(commit))
    assert len(trees) == 1


# What goes wrong


def test_failures_are_a_sentence(tmp_path: Path) -> None:
    root = with_data(tmp_path / "project")
    with Checkout(root, tmp_path / "checkout") as checkout:
        assert carry_out(checkout, "fails", run=lambda command: 3)[1].endswith(
            "ERROR: failed to reproduce 'train': failed to run: sh code/train.sh, exited with 3\n"
        )
        assert "output 'model' does not exist" in carry_out(checkout, "writes-nothing", run=lambda command: 0)[1]
        _, log = carry_out(checkout, "no-param", {"params.yaml": b"lr: 1\n"})
        assert log.endswith("Parameters 'spoil' are missing from 'params.yaml'.\n")
        shutil.rmtree(root / ".dvc/cache/files/md5")
        _, log = carry_out(checkout, "no-data")
        assert log.endswith("missing data: raw is not in DVC's cache; dvc pull fetches it\n")
    assert not Repository(root).experiments()


def test_a_full_disk_is_a_failed_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model")

    root = with_data(tmp_path / "project")
    with Checkout(root, tmp_path / "checkout") as checkout:
        with monkeypatch.context() as patch:
            patch.setattr(Cache, "_put", full)
            assert carry_out(checkout, "full")[1].endswith("No space left on device: model\n")
        assert not Repository(root).experiments()
        assert carry_out(checkout, "then")[0]
    check_cache(root)


def test_a_name_is_given_once(tmp_path: Path) -> None:
    root = with_data(tmp_path / "project")
    with Checkout(root, tmp_path / "checkout") as checkout:
        first, _ = carry_out(checkout, "mine")
        assert carry_out(checkout, "mine")[0] == first
        with pytest.raises(UserError, match="there already"):
            carry_out(checkout, "mine", {"params.yaml": b"spoil: 0\nlr: 9\n"})


OTHER = "stages:\n  x: {cmd: 'true', outs: [x]}\n"
CIRCLE = "stages:\n  a: {cmd: a, deps: [x], outs: [y]}\n  b: {cmd: b, deps: [y], outs: [x]}\n"
UNSUPPORTED: dict[str, dict[str, str | None]] = {
    "overlaps": {"dvc.yaml": "stages:\n  a: {cmd: a, outs: [x]}\n  b: {cmd: b, outs: [x/y]}\n"},
    "is in git": {"dvc.yaml": "stages:\n  train: {cmd: a, outs: [code]}\n"},
    "not in the project": {"dvc.yaml": "stages:\n  train: {cmd: a, deps: [s3://bucket/x], outs: [x]}\n"},
    "a remote of its own": {"dvc.yaml": "stages:\n  train: {cmd: a, outs: [x: {remote: other}]}\n"},
    "below the project's own": {"sub/dvc.yaml": OTHER},
    "gitattributes": {".gitattributes": "*.txt text eol=crlf\n"},
    "x.dvc: deps": {"x.dvc": "deps:\n- path: y\nouts:\n- path: x\n  md5: a1b2c3\n  hash: md5\n"},
    "DVC 3's form": {"x.dvc": "outs:\n- path: x\n  md5: a1b2c3\n"},
    "needs what comes of it": {"dvc.yaml": CIRCLE},
    "Python file": {"p.py": "a = 1\n", "dvc.yaml": "stages:\n  train: {cmd: a, params: [p.py: [a]], outs: [x]}\n"},
    "auto_push": {".dvc/config": "[exp]\n    auto_push = true\n"},
    "no stage of": {"dvc.yaml": OTHER},
    ".dvcignore": {".dvcignore": "x\n", "dvc.yaml": "stages:\n  train: {cmd: a, outs: [x]}\n"},
    "there is no dvc.yaml": {"dvc.yaml": None},
    "extra keys": {"dvc.yaml": "stages:\n  train: {cmd: a, unknown: 1}\n"},
}


@pytest.mark.parametrize("reason", UNSUPPORTED)
def test_what_is_not_supported_is_found_before_anything_runs(reason: str, tmp_path: Path) -> None:
    root = project(tmp_path / "project", UNSUPPORTED[reason])
    ran: list[Command] = []
    with Checkout(root, tmp_path / "checkout") as checkout, pytest.raises(Unsupported) as caught:
        carry_out(checkout, "mine", run=lambda command: ran.append(command) or 1)
    assert reason in str(caught.value)
    assert not ran


def test_a_link_among_inputs_and_a_changed_pipeline_are_dvcs(tmp_path: Path) -> None:
    def linking(command: Command) -> int:
        quietly(command)
        (command.folder / "code/link").symlink_to("one.txt")
        return 0

    def changing(command: Command) -> int:
        (command.folder / "dvc.yaml").write_text("stages: {}\n")
        return quietly(command)

    root = project(tmp_path / "project")
    with Checkout(root, tmp_path / "checkout") as checkout:
        with pytest.raises(Unsupported, match="symbolic link"):
            carry_out(checkout, "links", run=linking)
        with pytest.raises(Unsupported, match="has changed dvc.yaml"):
            carry_out(checkout, "changes", run=changing)
        (root / "code" / "link").symlink_to("one.txt")
        subprocess.run("git add -A && git commit -qm link", shell=True, cwd=root, check=True)
        with pytest.raises(Unsupported, match="code/link is a symbolic link"):
            carry_out(checkout, "has-link")
    assert not Repository(root).experiments()


# Killed


def killed_at(line: int, root: Path, folder: Path) -> bool:
    """Whether a process that carries `mine` out was killed at that line of lab.execution.worker; else it is done."""
    pid = os.fork()
    if pid == 0:
        left = line

        def trace(frame, event, argument):  # noqa: ANN001, ANN202
            nonlocal left
            if "/execution/worker/" not in frame.f_code.co_filename:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), 9)
            return trace

        try:
            checkout = Checkout(root, folder)
            sys.settrace(trace)
            carry_out(checkout, "mine", {"params.yaml": b"spoil: 0\nlr: 5\n"})
            checkout.close()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9


def check_killed(lines: list[int], folder: Path) -> None:
    """After each kill the next start makes the same experiment of the same name, and the cache is whole."""
    start = with_data(folder / "start")
    trees = set()
    for line in lines:
        root = folder / str(line)
        shutil.copytree(start, root, symlinks=True)
        was_killed = killed_at(line, root, root / "checkout")
        assert was_killed or line > 3000
        made = [experiment.commit for experiment in Repository(root).experiments()]
        check_cache(root)
        with Checkout(root, root / "checkout") as checkout:
            commit, _ = carry_out(checkout, "mine", {"params.yaml": b"spoil: 0\nlr: 5\n"})
        assert not made or made == [commit]
        check_cache(root)
        trees.add(Repository(root).tree(commit))
    assert len(trees) == 1


def test_killed_at_some_lines_it_heals(tmp_path: Path) -> None:
    check_killed([150, 900, 1500, 2100], tmp_path)


@pytest.mark.nightly
def test_killed_at_any_line_it_heals(tmp_path: Path) -> None:
    check_killed(list(range(20, 4000, 40)), tmp_path)


# Side by side


def test_two_workers_share_a_cache(tmp_path: Path) -> None:
    root = with_data(tmp_path / "project")
    children = []
    for worker in range(2):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                with Checkout(root, tmp_path / f"checkout-{worker}") as checkout:
                    for number in range(6):  # the same runs in both, by other names
                        params = f"spoil: 0\nlr: {number}\n".encode()
                        assert carry_out(checkout, f"run-{worker}-{number}", {"params.yaml": params})[0]
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0]
    experiments = Repository(root).experiments()
    assert len(experiments) == 12
    assert len({Repository(root).tree(experiment.commit) for experiment in experiments}) == 6
    assert len([path for path in (root / ".dvc/cache/runs").rglob("*") if path.is_file()]) == 6
    check_cache(root)


def test_a_command_runs_in_the_users_shell(tmp_path: Path) -> None:
    command = Command("train", 'test "$DVC_STAGE" = train && echo done >out', tmp_path, {"DVC_STAGE": "train"})
    assert in_a_shell(command) == 0
    assert (tmp_path / "out").read_text() == "done\n"
    assert in_a_shell(command._replace(text="exit 4")) == 4
