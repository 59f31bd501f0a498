"""Forgeries of a review branch and of the experiments behind it: each is named, by the code of the default branch.

The forger makes everything else fit: of a forged experiment, report and branch are made anew. Figures are drawn once,
since other tests look at them.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import in_process
import pygit2
import pytest
import trivial
import yaml
from pygit2.enums import FileMode
from trivial import Trivial

from lab.analysis.verdict import judge
from lab.records.studies import read
from lab.report import figures, report
from lab.review import branch, rerun, verify

BRANCH = "refs/heads/exp/small"
Edit = bytes | None | tuple[FileMode, bytes]
"""What becomes of a file: its content, nothing any more, or another kind of entry."""


class Forger:
    """Who may push commits and refs, and has the project `trivial` with the branch exp/small in it."""

    def __init__(self, project: Trivial):
        self.project = project
        self.git = pygit2.Repository(str(project.root))
        self.main = str(self.git.references["refs/heads/main"].target)
        self.tip = str(self.git.references[BRANCH].target)
        self.baseline = read(project.project(), "small").commit
        self.name = report.name(read(project.project(), "small"))

    def text(self, path: str, commit: str = "") -> str:
        return self.git[commit or self.tip].tree[path].data.decode()  # type: ignore[union-attr]

    def commit(self, edits: Mapping[str, Edit], start: str = "", parents: list[str] | None = None) -> str:
        """A commit with these files changed."""
        start = start or self.tip
        index = pygit2.Index()
        index.read_tree(self.git[start].tree)  # type: ignore[union-attr]
        for path, content in edits.items():
            for entry in [entry for entry in index if f"{entry.path}/".startswith(f"{path}/")]:
                index.remove(entry.path)
            if content is None:
                continue
            mode, data = content if isinstance(content, tuple) else (FileMode.BLOB, content)
            entry = pygit2.Oid(hex=data.decode()) if mode == FileMode.COMMIT else self.git.create_blob(data)
            index.add(pygit2.IndexEntry(path, entry, mode))
        who = self.git.default_signature
        tree = index.write_tree(self.git)
        above = [pygit2.Oid(hex=parent) for parent in (parents if parents is not None else [start])]
        return str(self.git.create_commit(None, who, who, "forged", tree, above))

    def found(self, commit: str, name: str | None = None) -> list[str]:
        """What the check says of it on CI, where the default branch is checked out."""
        return verify.check(self.project.project(), name, commit).problems

    def experiment(self, arm: str, seed: int) -> tuple[str, str]:
        """The ref and the commit of a run."""
        for record in self.project.project().records():
            block = record.experiment
            if (block.get("design"), block.get("arm"), block.get("seed")) == ("small", arm, seed):
                return f"refs/exps/{record.baseline[:2]}/{record.baseline[2:]}/{record.name}", record.commit
        raise AssertionError((arm, seed))

    def replace(self, edits: Mapping[str, Edit], parents: list[str] | None = None, seed: int = 1) -> str:
        """Change the experiment of 0.5 with that seed, and make the branch anew of what there is then."""
        ref, commit = self.experiment("0.5", seed)
        forged = self.commit(edits, commit, [self.baseline] if parents is None else parents)
        self.git.references[ref].set_target(pygit2.Oid(hex=forged))
        return self.reviewed()

    def reviewed(self) -> str:
        """The branch as lab makes it."""
        study = read(self.project.project(), "small")
        verdict = judge(study)
        return branch.make(study, verdict, branch.chosen(study, verdict)).commit


@pytest.fixture(scope="module")
def made(answers: Trivial, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forger]:
    project = trivial.copied(answers, tmp_path_factory.mktemp("forged") / "project")
    drawn = figures.pictures(study := read(project.project(), "small"), judge(study))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(figures, "pictures", lambda *_: drawn)
        forger = Forger.__new__(Forger)
        forger.project = project
        forger.tip = forger.reviewed()
        yield Forger(project)


@pytest.fixture
def forger(made: Forger) -> Iterator[Forger]:
    """With all refs as they were before."""
    refs = {name: made.git.references[name].target for name in made.git.references if name.startswith("refs/")}
    yield made
    for name in [name for name in made.git.references if name.startswith("refs/") and name not in refs]:
        made.git.references.delete(name)
    for name, target in refs.items():
        made.git.references.create(name, target, force=True)


def test_an_honest_branch_is_told_by_its_report(forger: Forger) -> None:
    assert forger.found(forger.tip) == []
    assert forger.found(forger.main) == [], "and of a branch without report and results nothing is asked"
    work = ("src/stand_in.py", "conf/new.yaml", "lab.yaml", "dvc.yaml", ".github/workflows/ci.yml")
    assert forger.found(forger.commit(dict.fromkeys(work, b"another: way\n"), forger.main)) == []


SOMETHING = b"something: else\n"
BROUGHT: dict[str, dict[str, Edit]] = {
    name: {name: SOMETHING}
    for name in (
        "dvc.yaml",
        "conf/config.yaml",
        "conf/model/new.yaml",
        "requirements.txt",
        "requirements-lab.txt",
        "Makefile",
        ".github/workflows/ci.yml",
        ".github/CODEOWNERS",
        ".gitlab-ci.yml",
        ".dvc/config",
        ".dvc/config.local",
        ".dvcignore",
        ".gitattributes",
        ".gitignore",
        ".gitmodules",
        ".env",
        ".pre-commit-config.yaml",
        "tests/conftest.py",
        "lab.yaml",
        "src/lab/review/verify.py",
        "src/lab/review/allowed.py",
        "src/stand_in.py",
        "src/sitecustomize.py",
        "conftest.py",
        "models/champion/champion.yaml",
        "models/champion/champion.dvc",
        "models/model.pt.dvc",
        "designs/large.yaml",
        "designs/new.yaml",
        "docs/extend.md",
        "docs/04-report/README.md",
        "docs/index.md",
        "README.md",
        "metrics/more.json",
        "metrics.json",
        "data/.gitignore",
        "Params.yaml",
        "DVC.lock",
        "docs/04-Report/2026-01-01_small.md",
        "Metrics/infer.json",
        "params.yaml ",
        "a\nb",
    )
}


@pytest.mark.parametrize("edits", BROUGHT.values(), ids=map(repr, BROUGHT))
def test_what_is_no_result_is_named(forger: Forger, edits: dict[str, Edit]) -> None:
    [path] = edits
    said = forger.found(forger.commit(edits))
    assert any(problem.startswith(f"{path} is changed against the default branch") for problem in said), said


@pytest.mark.parametrize("path", ["lab.yaml", "src/sitecustomize.py", ".gitmodules"])
def test_commits_that_undo_each_other_are_named(forger: Forger, path: str) -> None:
    """And what a merged branch had; and what a merge has that none of its parents had."""
    forged = forger.commit({path: SOMETHING})
    tree = forger.git[forger.tip].tree  # type: ignore[union-attr]
    undone = forger.commit({path: tree[path].data if path in tree else None}, forged)
    ours = forger.commit({}, forger.tip, [forger.tip, forged])
    for way in (undone, ours):
        [problem] = forger.found(way)
        assert problem.startswith(f"the commit {forged[:7]} has changed {path}, and a later one takes it back")
    merged = forger.commit({path: SOMETHING}, forger.tip, [forger.tip, forger.main])
    assert any(problem.startswith(path) for problem in forger.found(merged))


REPORTS = {
    "a second report": "docs/04-report/2026-01-01_large.md",
    "one that lab has not made": "docs/04-report/results.md",
    "a page": "docs/04-report/{name}.html",
    "another's figures": "docs/04-report/2026-01-01_large/arms.png",
}


@pytest.mark.parametrize("path", REPORTS.values(), ids=REPORTS)
def test_one_report_is_what_a_branch_has(forger: Forger, path: str) -> None:
    forged = forger.commit({path.format(name=forger.name): b"# 0.99\n"})
    assert forger.found(forged), "without a name the branch has to say what it is"
    said = forger.found(forged, "small")
    assert any(problem.startswith(path.format(name=forger.name)) for problem in said), said


BESIDE = {
    "no figure": ("better.png", "is no part of the report"),
    "a script": ("run.py", "is changed against"),
    "a folder": ("more/table.csv", "is changed against"),
    "others' predictions": ("predictions/else.parquet", "is changed against"),
}


@pytest.mark.parametrize(("path", "expected"), BESIDE.values(), ids=BESIDE)
def test_what_lies_beside_the_report_is_the_reports(forger: Forger, path: str, expected: str) -> None:
    said = forger.found(forger.commit({f"docs/04-report/{forger.name}/{path}": b"1,2\n"}))
    assert len(said) == 1 and path in said[0] and expected in said[0], said


def test_kinds_of_entries_are_told(forger: Forger) -> None:
    """A file that may be run, a link out of the project, another repository in a folder's place."""
    content = forger.text("metrics/infer.json").encode()
    kinds = {
        "metrics/infer.json": ((FileMode.BLOB_EXECUTABLE, content), "executable"),
        "params.yaml": ((FileMode.LINK, b"/etc/passwd"), "a link"),
        f"docs/04-report/{forger.name}/table.csv": ((FileMode.LINK, b"../../../../../etc/passwd"), "a link"),
        f"docs/04-report/{forger.name}.md": ((FileMode.BLOB_EXECUTABLE, b""), "executable"),
        "dvclive/plots": ((FileMode.COMMIT, forger.main.encode()), "another repository"),
    }
    for path, (edit, kind) in kinds.items():
        edits = {path: edit}
        if isinstance(edit, tuple) and path.endswith(".md"):
            edits = {path: (FileMode.BLOB_EXECUTABLE, forger.text(path).encode())}
        said = forger.found(forger.commit(edits))
        assert any(problem.startswith(f"{path} is {kind}") for problem in said), (path, said)


def test_what_is_gone_is_told(forger: Forger) -> None:
    for path in ("src/stand_in.py", "lab.yaml", "designs/large.yaml", "dvc.yaml"):
        said = forger.found(forger.commit({path: None}))
        assert any(problem.startswith(f"{path} is gone against the default branch") for problem in said), said
    for path in ("metrics/infer.json", "dvc.lock", "dvclive/plots/metrics/val/loss.tsv"):
        assert any(problem.startswith(f"{path} is not as") for problem in forger.found(forger.commit({path: None})))
    moved = {"src/stand_in.py": None, "src/moved.py": forger.text("src/stand_in.py").encode()}
    said = forger.found(forger.commit(moved))
    assert {problem.split()[0] for problem in said} == set(moved)


def test_results_are_those_of_one_run(forger: Forger) -> None:
    metrics = json.loads(forger.text("metrics/infer.json"))
    better = json.dumps({**metrics, "f1_macro": 0.99}).encode()
    cases: dict[str, dict[str, Edit]] = {
        "metrics/infer.json is not as": {"metrics/infer.json": better},
        "dvc.lock is not as": with_lock(forger.text("dvc.lock"), "metrics/infer.json", better),
        "params.yaml is none of the design's": {"params.yaml": forger.text("params.yaml").encode() + b"more: 1\n"},
        "dvclive/plots/metrics/val/loss.tsv is not as": {"dvclive/plots/metrics/val/loss.tsv": b"step\tloss\n0\t0\n"},
        "dvclive/plots/metrics/new.tsv is not as": {"dvclive/plots/metrics/new.tsv": b"step\tnew\n0\t1\n"},
        "effective/train.yaml is not as": {"effective/train.yaml": b"[]\n"},
    }
    for expected, edits in cases.items():
        said = forger.found(forger.commit(edits))
        assert any(problem.startswith(expected) for problem in said), (expected, said)


def test_results_without_a_report_are_an_experiments(forger: Forger) -> None:
    commit = forger.experiment("0.5", 0)[1]
    own = {path: forger.text(path, commit).encode() for path in ("params.yaml", "dvc.lock", "metrics/infer.json")}
    tree = forger.git[commit].tree  # type: ignore[union-attr]
    who = forger.git.default_signature
    parents = [pygit2.Oid(hex=forger.main)]
    index = pygit2.Index()
    index.read_tree(tree)
    for path in ("designs/large.yaml",):
        index.add(
            pygit2.IndexEntry(path, forger.git.create_blob(forger.text(path, forger.main).encode()), FileMode.BLOB)
        )
    index.remove_all(["data/.gitignore"])
    honest = str(forger.git.create_commit(None, who, who, "a run", index.write_tree(forger.git), parents))
    assert forger.found(honest) == []
    said = forger.found(forger.commit({"metrics/infer.json": b'{"f1_macro": 0.99}'}, honest))
    assert any(problem.startswith("metrics/infer.json is of no experiment that is here") for problem in said)
    mixed = forger.commit({"metrics/infer.json": own["metrics/infer.json"], "dvc.yaml": SOMETHING}, forger.main)
    result = verify.check(forger.project.project(), None, mixed)
    assert result.problems == [] and "**Not checked:** metrics/infer.json" in result.summary


# Of the experiment of 0.5 with seed 1


def test_an_experiment_differs_in_its_results_alone(forger: Forger) -> None:
    for path in ("src/stand_in.py", "dvc.yaml", "conf/config.yaml", "lab.yaml", ".dvc/config", "designs/small.yaml"):
        text = forger.text(path, forger.baseline) + "# of my own\n"
        said = forger.found(forger.replace({path: text.encode(), "metrics/more.json": b"{}"}))
        assert any("has changed metrics/more.json, which" in problem for problem in said), said
        assert any(f"has changed {path}, which none of its stages writes" in problem for problem in said), said
    said = forger.found(forger.replace({"data/.gitignore": b"/prepared\n*.py\n"}))
    assert any("has changed data/.gitignore" in problem for problem in said)
    said = forger.found(forger.replace({}, parents=[str(forger.git[forger.baseline].parent_ids[0])]))
    assert any("is no child of the commit" in problem for problem in said)
    commit = forger.experiment("0.5", 1)[1]
    executable = (FileMode.BLOB_EXECUTABLE, forger.text("metrics/infer.json", commit).encode())
    said = forger.found(forger.replace({"metrics/infer.json": executable}))
    assert any(problem.endswith("is executable: expected a plain file") for problem in said)


def forge_metric(text: str) -> bytes:
    return json.dumps({**json.loads(text), "f1_macro": 0.99}).encode()


def forge_seconds(text: str) -> bytes:
    [note] = yaml.safe_load(text)
    return yaml.safe_dump([note | {"seconds": 1e7}]).encode()


@pytest.mark.parametrize(
    ("path", "change"), [("metrics/infer.json", forge_metric), ("effective/train.yaml", forge_seconds)]
)
def test_a_result_that_its_lock_does_not_have_is_named(
    forger: Forger, path: str, change: Callable[[str], bytes]
) -> None:
    commit = forger.experiment("0.5", 1)[1]
    said = forger.found(forger.replace({path: change(forger.text(path, commit))}))
    assert any(problem.startswith(f"{path} of ") and "is not what its dvc.lock says" in problem for problem in said), (
        said
    )


def test_what_its_lock_says_has_to_hang_together(forger: Forger) -> None:
    commit = forger.experiment("0.5", 1)[1]
    lock: dict[str, Any] = yaml.safe_load(forger.text("dvc.lock", commit))
    [model] = [out for out in lock["stages"]["train"]["outs"] if out["path"] == "models/model.pt"]
    text, other = forger.text("dvc.lock", commit), md5(b"another model")
    (forger.project.root / ".dvc" / "storage").mkdir(exist_ok=True)  # a remote that can be asked
    everywhere = forger.replace({"dvc.lock": text.replace(model["md5"], other).encode()})
    said = verify.check(forger.project.project(), None, everywhere)
    assert not said.problems, "it may have been freed, and nothing rests on it"
    assert "Not to be looked at, and nothing here rests on it: models/model.pt of " in said.summary
    applied = forger.text("dvc.lock", forger.experiment("0.5", 0)[1])
    lock = yaml.safe_load(applied)
    [winner] = [out for out in lock["stages"]["train"]["outs"] if out["path"] == "models/model.pt"]
    everywhere = forger.replace({"dvc.lock": applied.replace(winner["md5"], other).encode()}, seed=0)
    assert any(
        problem.startswith("models/model.pt of ") and "neither in DVC's cache" in problem
        for problem in forger.found(everywhere)
    )
    once = forger.found(forger.replace({"dvc.lock": text.replace(model["md5"], other, 1).encode()}))
    assert any("the stage infer has not run with its settings and its inputs" in problem for problem in once), once
    code = md5(forger.text("src/stand_in.py", commit).encode())
    said = forger.found(forger.replace({"dvc.lock": text.replace(code, other).encode()}))
    assert any("the stage train has read another src/stand_in.py" in problem for problem in said), said
    seconds = forge_seconds(forger.text("effective/train.yaml", commit))
    said = forger.found(forger.replace(with_lock(text, "effective/train.yaml", seconds)))
    assert any("its stage train ended at" in problem and "its commit was made at" in problem for problem in said), said


def test_settings_are_those_of_the_plan(forger: Forger) -> None:
    commit = forger.experiment("0.5", 1)[1]
    params = yaml.safe_load(forger.text("params.yaml", commit))
    params["training"]["max_epochs"] = 99
    said = forger.found(forger.replace({"params.yaml": yaml.safe_dump(params).encode()}))
    assert any(
        "ran with training.max_epochs=99, where the design gives 0.5, seed 1: " in problem for problem in said
    ), said


def test_a_baseline_of_ones_own_comes_along_and_is_named(forger: Forger) -> None:
    """Runs, report and branch agree with each other; what they started from is nobody's but the forger's."""
    project = trivial.copied(forger.project, forger.project.root.parent / "own")
    project.call("git", "switch", "-q", "-c", "own", forger.baseline)
    script = project.root / "src" / "stand_in.py"
    script.write_text(script.read_text() + "# easier\n")
    project.commit("easier")
    trivial.carry_out(project, "small", lambda lr, seed: {"f1_macro": 0.9 if lr == 0.5 else 0.1})
    made = Forger(project)
    made.tip = made.reviewed()
    project.call("git", "switch", "-q", "main")
    result = verify.check(project.project(), None, made.tip)
    assert any(problem.startswith("src/stand_in.py is changed against") for problem in result.problems)


def test_a_commit_is_no_run(forger: Forger) -> None:
    """What the design has not run is answered by others' results: of experiments, or of the default branch."""
    ref, commit = forger.experiment("0.5", 1)
    forger.git.references.delete(ref)
    files = ("params.yaml", "dvc.lock", "metrics/train.json", "metrics/infer.json", "effective/train.yaml")
    forged = forger.commit({path: forger.text(path, commit).encode() for path in files})
    back = forger.commit({}, forger.tip, [forged])
    said = forger.found(back, "small")
    assert any("is a commit of the branch and no experiment" in problem for problem in said), said


def test_a_second_run_of_a_seed_is_listed(forger: Forger) -> None:
    ref, commit = forger.experiment("0.5", 1)
    better = forge_metric(forger.text("metrics/infer.json", commit))
    lucky = forger.commit(
        with_lock(forger.text("dvc.lock", commit), "metrics/infer.json", better), commit, [forger.baseline]
    )
    forger.git.references.create(f"{ref}_again", pygit2.Oid(hex=lucky))
    result = verify.check(forger.project.project(), None, forger.reviewed())
    name = ref.rpartition("/")[2]
    assert f"Superseded: {name} ({commit[:7]}) ran 0.5, seed 1, too" in result.summary
    assert "infer.f1_macro 0.5015" in result.summary and result.problems == []


def test_a_whole_run_made_up_is_what_git_can_not_tell(forger: Forger) -> None:
    """Carried out again, it is told."""
    commit = forger.experiment("0.5", 1)[1]
    better = forge_metric(forger.text("metrics/infer.json", commit))
    forged = forger.replace(with_lock(forger.text("dvc.lock", commit), "metrics/infer.json", better))
    result = verify.check(forger.project.project(), None, forged)
    assert result.problems == [] and "lab review small --rerun 2 repeats two of them" in result.summary
    study = read(forger.project.project(), "small")
    assert len(rerun.drawn(study, 3)) == 3 and len(rerun.drawn(study, 9)) == 4
    [record] = [record for record in study.finished if record.value("infer.f1_macro") == 0.99]
    again = rerun.repeat(study, record)
    told = dict(rerun.compared(study, record, again, 0.01))
    assert told["infer.f1_macro: recorded 0.99, again 0.5015"] is False and told["models/model.pt: the same"]
    again.machines["train"] = again.machines["infer"] = {"cores": 64}  # elsewhere nobody asks for the same bits
    far, near = (dict(rerun.compared(study, record, again, tolerance)) for tolerance in (0.01, 0.5))
    assert not all(far.values()) and all(near.values()) and "within 50.00%" in next(iter(near))


def test_an_honest_run_comes_out_again(forger: Forger) -> None:
    told = in_process.lab(forger.project.root, "review", "small", "--rerun", "1")
    assert told.returncode == 0, told.stdout + told.stderr
    assert "metrics are the same" in told.stdout and "models/model.pt: the same" in told.stdout


def test_texts_from_outside_are_no_markup(forger: Forger) -> None:
    title = b"<img src=x> @everyone"
    path = f"docs/04-report/{forger.name}.md"
    text = forger.text(path).replace("Which learning rate?", title.decode())
    result = verify.check(forger.project.project(), None, forger.commit({path: text.encode()}))
    assert result.problems and "@everyone" not in result.summary
    assert "<img" not in result.summary.replace("\\<img", "") and "\\<img" in result.summary


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1, 2", b"[" * 100_000, b"[]", b"null"])
def test_a_damaged_report_is_a_sentence(forger: Forger, content: bytes) -> None:
    forged = forger.commit({f"docs/04-report/{forger.name}/verdict.json": content})
    told = in_process.lab(forger.project.root, "review", "--check", "--commit", forged)
    assert told.returncode in (1, 2) and "verdict.json" in told.stderr and "Traceback" not in told.stderr


def test_a_name_is_never_an_option(forger: Forger) -> None:
    for name in ("--help", "-h", "exp/--help", "HEAD~99", ""):
        told = in_process.lab(forger.project.root, "review", "--check", f"--commit={name}")
        assert told.returncode == 2 and "is no commit of this clone" in told.stderr, told


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def with_lock(lock: str, path: str, content: bytes) -> dict[str, Edit]:
    """A file, and dvc.lock as it would be with it."""
    stages = yaml.safe_load(lock)
    for stage in stages["stages"].values():
        for out in stage["outs"]:
            if out["path"] == path:
                out |= {"md5": md5(content), "size": len(content)}
    return {path: content, "dvc.lock": yaml.safe_dump(stages, sort_keys=False).encode()}


# Honest branches, while the default branch goes on


def test_an_honest_branch_stays_honest_after_an_update(forger: Forger) -> None:
    """A template update, or an edit of what draws reports, comes to main: branches of older runs carry none of it."""
    update: dict[str, Edit] = {
        "src/lab/report/report.md.jinja": b"another\n",
        "src/lab/new.py": b"NEW = 1\n",
        "src/stand_in.py": forger.text("src/stand_in.py").encode() + b"# newer\n",
        "lab.yaml": forger.text("lab.yaml").encode() + b"# newer\n",
        "requirements.txt": b"newer==1\n",
        "Makefile": b"newer:\n",
    }
    forger.git.references["refs/heads/main"].set_target(pygit2.Oid(hex=forger.commit(update, forger.main)))
    assert forger.found(forger.tip) == [], "made before the update"
    again = forger.reviewed()
    assert forger.found(again) == [], "and after it"
    mixed = forger.commit({path: content for path, content in update.items() if path.startswith("src/lab")}, again)
    assert forger.found(mixed) == [], "what main has by now is no news"
    both = forger.commit(update, again, [again, str(forger.git.references["refs/heads/main"].target)])
    assert forger.found(both) == [], "nor where it was merged"
    forged = forger.commit({"src/lab/new.py": b"NEW = 2\n"}, again)
    assert [problem.split()[0] for problem in forger.found(forged)] == ["src/lab/new.py"]
    older = forger.commit({"Makefile": b"older:\n"}, both, [both])
    assert [problem.split()[0] for problem in forger.found(older)] == ["Makefile"]


def test_a_squashed_baseline_is_the_default_branchs(forger: Forger) -> None:
    """Runs on a branch that was merged as one commit: its files are main's by now, its commits are not."""
    edits: dict[str, Edit] = {"src/helper.py": b"HELP = 1\n"}
    merged = forger.commit({**edits, "src/main_alone.py": b"1\n"}, forger.main)
    forger.git.references["refs/heads/main"].set_target(pygit2.Oid(hex=merged))
    own = forger.commit(edits, forger.tip)
    assert forger.found(own) == []
    assert [problem.split()[0] for problem in forger.found(forger.commit({"src/helper.py": b"HELP = 2\n"}, own))]


def test_signatures_are_shown(forger: Forger, tmp_path: Path) -> None:
    """As git judges them; one that is not that of its commit is refused."""
    project = forger.project
    key = tmp_path / "key"
    project.call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", str(key))
    signers = tmp_path / "signers"
    signers.write_text(f"test@localhost {key.with_suffix('.pub').read_text()}")
    options = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={key}"]
    tree = str(forger.git[forger.tip].tree.id)  # type: ignore[union-attr]
    made = ["commit-tree", "-S", "-p", forger.tip, "-m", "signed", tree]
    signed = project.call("git", *options, *made).stdout.strip()
    project.call("git", *options, "tag", "-s", "-m", "checked", "checked", signed)
    for key_, value in {"gpg.ssh.allowedSignersFile": str(signers), "gpg.format": "ssh"}.items():
        project.call("git", "config", key_, value)
    result = verify.check(project.project(), None, signed)
    assert result.problems == []
    assert f"Signed: the branch ({signed[:7]}), by test@\u200blocalhost: good" in result.summary, result.summary
    assert f"Signed: the tag checked of {signed[:7]}: good" in result.summary
    text = project.call("git", "cat-file", "commit", signed).stdout.replace("\n\nsigned", "\n\nforged")
    command = ["git", "hash-object", "-t", "commit", "-w", "--stdin"]
    done = subprocess.run(command, cwd=project.root, input=text, capture_output=True, text=True, check=True)
    assert any("is not that of what it signs" in problem for problem in forger.found(done.stdout.strip()))
