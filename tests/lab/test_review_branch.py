"""A review branch: one commit that anybody can check, whatever the answer, and that loses nobody's words."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import answered
import contracts
import in_process
import numpy as np
import pytest
import trivial
import yaml
from matplotlib.image import imread, imsave
from trivial import Trivial

from lab import yaml12
from lab.analysis.decisions import RULES
from lab.analysis.verdict import judge
from lab.errors import UserError
from lab.records.studies import read
from lab.report import frame, report
from lab.review import branch as review
from lab.review import comment, push, verify

pytestmark = pytest.mark.slow  # experiments take seconds


@pytest.fixture
def project(answers: Trivial, tmp_path: Path) -> Trivial:
    """A copy in which both designs have run."""
    return trivial.copied(answers, tmp_path / "project")


@pytest.fixture(scope="module")
def shared(answers: Trivial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `project`, its git remote, its DVC remote, and what `lab review small --push` brought there."""
    place = tmp_path_factory.mktemp("shared")
    project = trivial.copied(answers, place / "project")
    project.call("git", "init", "-q", "--bare", "-b", "main", str(place / "remote"))
    project.call("git", "remote", "add", "origin", str(place / "remote"))
    # After the experiments: their own commits know no remote.
    project.call("dvc", "remote", "add", "--force", "--default", "shared", str(place / "data"))
    project.commit("a remote")
    project.call("git", "push", "-q", "origin", "main")
    told = lab(project, "review", "designs/small.yaml", "--push")
    assert "4 experiments, and the branch" in told
    return place


def lab(project: Trivial, *arguments: str, code: int = 0) -> str:
    """What `lab` prints on both streams. It ends with `code`, and never with a traceback."""
    done = in_process.lab(project.root, *arguments)
    assert done.returncode == code and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stdout + done.stderr


def make(project: Trivial, design: str, arm: str | None = None, best: bool = False) -> review.Branch:
    """`lab review DESIGN [--arm ARM] [--best]` in this process, which has all imports already."""
    study = read(project.project(), design)
    verdict = judge(study)
    return review.make(study, verdict, review.chosen(study, verdict, arm, best))


def refused(project: Trivial, design: str, **choice: Any) -> str:
    """The message where it refuses."""
    with pytest.raises(UserError) as refusal:
        make(project, design, **choice)
    return str(refusal.value)


def problems(project: Trivial) -> list[str]:
    """What `lab review --check` finds of the branch, in this process."""
    return verify.check(project.project(), "small").problems


def committed(project: Trivial) -> list[str]:
    """The same once what the work tree has is on the branch; then it is as before."""
    before = git(project, "rev-parse", "HEAD")
    project.commit("forged")
    found = problems(project)
    git(project, "reset", "-q", "--hard", before)
    return found


def git(project: Trivial, *arguments: str) -> str:
    return project.call("git", *arguments).stdout.strip()


def shown(project: Trivial, path: str, rev: str = "exp/small") -> str:
    return git(project, "show", f"{rev}:{path}")


def report_path(project: Trivial, design: str = "small") -> str:
    """Of the report that is there; before there is one, of the one that is to come.

    A clone that has fetched no experiments would name it by the day of its branch, and not of the baseline.
    """
    folder = Path("docs/04-report")
    there = [path.name for path in (project.root / folder).glob(f"*_{design}.md")]
    return str(folder / (there or [f"{report.name(read(project.project(), design))}.md"])[0])


def record(project: Trivial, arm: str, seed: int) -> str:
    return next(
        r.commit
        for r in project.records().values()
        if (r.experiment.get("arm"), r.experiment.get("seed")) == (arm, seed)
    )


def clone_of(shared: Path, place: Path) -> Trivial:
    """A colleague's clone, on the branch."""
    subprocess = Trivial(shared)
    subprocess.call("git", "clone", "-q", str(shared / "remote"), str(place))
    clone = Trivial(place)
    clone.call("git", "switch", "-q", "exp/small")
    for key, value in {"user.name": "Test", "user.email": "test@localhost"}.items():
        git(clone, "config", key, value)
    return clone


def write(project: Trivial, path: str, words: str) -> None:
    """Write an analysis into a report of the work tree."""
    file = project.root / path
    text = file.read_text()
    assert report.ANALYSIS in text
    file.write_text(text.replace(report.ANALYSIS, words))


def test_one_commit_on_the_baseline_with_the_winners_results(project: Trivial) -> None:
    (project.root / "notes.txt").write_text("not committed")
    before = git(project, "status", "--short"), git(project, "rev-parse", "HEAD")
    told = lab(project, "review", "small")
    assert (git(project, "status", "--short"), git(project, "rev-parse", "HEAD")) == before
    assert "SUPPORTED: Which learning rate?" in told and "git remote add origin URL" in told
    baseline = read(project.project(), "small").commit
    assert git(project, "rev-list", "--parents", "-1", "exp/small").split()[1:] == [baseline]
    winner = record(project, "0.5", 0)
    for path in ("params.yaml", "dvc.lock", "metrics", "dvclive", "effective"):
        assert git(project, "rev-parse", f"exp/small:{path}") == git(project, "rev-parse", f"{winner}:{path}")
    changed = git(project, "diff", "--name-only", winner, "exp/small").splitlines()
    path = report_path(project)
    assert path in changed and path.replace(".md", "/verdict.json") in changed
    assert any(name.endswith(".png") for name in changed) and not any(name.endswith(".html") for name in changed)
    assert {name for name in changed if not name.startswith("docs/04-report/")} <= {"data/.gitignore"}
    said = git(project, "log", "-1", "--format=%B", "exp/small")
    assert said.startswith("Which learning rate?\n\nSUPPORTED\n0.5 − 0.1 in infer.f1_macro: +0.4")
    assert f"Baseline: {baseline}" in said and winner in said


def test_again_it_changes_only_with_the_answer(project: Trivial) -> None:
    first = make(project, "small")
    assert make(project, "small") == dataclasses.replace(first, changed=False)
    make(project, "small", arm="0.1")
    assert git(project, "rev-parse", "exp/small~1") == first.commit
    assert json.loads(shown(project, "metrics/infer.json"))["f1_macro"] == 0.1
    assert "has no arm 0.4, only 0.1, 0.5, -0.2" in refused(project, "small", arm="0.4")
    assert "no run of -0.2 has finished" in refused(project, "small", arm="-0.2")


def test_a_refuted_design_gets_a_branch_with_its_report_alone(project: Trivial) -> None:
    answered.design(project, "wrong", 0.1, 0.5)  # the other way round; all of its runs are there
    told = lab(project, "review", "wrong")
    assert "REFUTED" in told and "no run applied" in told
    changed = git(project, "diff", "--name-only", "main", "exp/wrong").splitlines()
    assert changed and all(name.startswith("docs/04-report/") for name in changed)
    make(project, "wrong", best=True)
    assert json.loads(shown(project, "metrics/infer.json", "exp/wrong"))["f1_macro"] == 0.5


def test_words_are_kept_wherever_they_were_written(project: Trivial) -> None:
    path = report_path(project)
    make(project, "small")
    git(project, "switch", "-q", "exp/small")
    write(project, path, "Larger is better, on digits.")
    (project.root / "README.md").write_text("and a file of mine")
    project.commit("what it means")
    mine = git(project, "rev-parse", "HEAD")
    assert "git branch" in refused(project, "small", arm="0.1")  # it is checked out
    git(project, "switch", "-q", "main")
    make(project, "small", arm="0.1")
    assert git(project, "rev-parse", "exp/small~1") == mine
    assert (
        "Larger is better, on digits." in shown(project, path) and shown(project, "README.md") == "and a file of mine"
    )


def test_words_of_the_work_tree_come_along(project: Trivial) -> None:
    path = report_path(project)
    make(project, "small")
    file = project.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(shown(project, path) + "\n")
    write(project, path, "Written beside `lab report`.")
    make(project, "small")
    assert "Written beside `lab report`." in shown(project, path)
    file.write_text(file.read_text().replace("Written beside", "Never written over what is on the branch"))
    assert not make(project, "small").changed


def test_it_follows_its_design_to_another_baseline(project: Trivial) -> None:
    """With what others have added to it; where that can't be told, people have to."""
    make(project, "small")
    git(project, "switch", "-q", "exp/small")
    (project.root / "notes.md").write_text("from the branch")
    project.commit("notes")
    tip = git(project, "rev-parse", "HEAD")
    git(project, "switch", "-q", "main")
    (project.root / "other.md").write_text("from main")
    with (project.root / "params.yaml").open("a") as params:
        params.write("# as main has them: both have changed, and the run's count\n")
    project.commit("main goes on")
    found = read(project.project(), "small")
    moved = dataclasses.replace(found, commit=git(project, "rev-parse", "main"))
    verdict = judge(moved)
    branch = review.make(moved, verdict, review.chosen(moved, verdict))
    assert git(project, "rev-list", "--parents", "-1", "exp/small").split()[1:] == [tip, moved.commit]
    assert (shown(project, "notes.md"), shown(project, "other.md")) == ("from the branch", "from main")
    assert json.loads(shown(project, "metrics/infer.json"))["f1_macro"] == 0.5
    (project.root / "notes.md").write_text("from main")
    project.commit("notes, too")
    again = dataclasses.replace(found, commit=git(project, "rev-parse", "main"))
    with pytest.raises(UserError, match="differ in notes.md: git switch exp/small, git merge"):
        review.make(again, verdict, branch.replicate)


def test_a_colleague_gets_the_same_table_and_the_model(shared: Path, tmp_path: Path) -> None:
    clone = clone_of(shared, tmp_path / "clone")
    told = lab(clone, "review", "--check")
    assert "dvc pull" not in told
    assert "every number of the report agrees" in told and "metrics against the baseline" in told
    assert "| metrics/infer.json | f1_macro |  | 0.5 |" in told, told
    assert "classes.cat v1.2" not in told, "a pull request's comment is for the main numbers"
    tables = [frame.rows(read(each.project(), "small")) for each in (clone, Trivial(shared / "project"))]
    finished = [[row for row in table if row["status"] == "finished"] for table in tables]
    assert finished[0] == finished[1] and len(finished[0]) == 4
    stages = yaml.safe_load((clone.root / "dvc.yaml").read_text())
    stages["stages"] |= {"export": {"cmd": "export", "outs": ["models/export"]}}
    (clone.root / "dvc.yaml").write_text(yaml.safe_dump(stages))
    clone.commit("a stage that no run has come to")
    notes = list(comment.notes(read(clone.project(), "small"), git(clone, "rev-parse", "HEAD"), None))
    assert [note.partition(" brings")[0] for note in notes if "dvc pull" in note] == [
        "Nothing has come out of export: dvc pull --allow-missing"
    ]
    clone.call("dvc", "pull", "--allow-missing")  # from the remote of now: the runs' own commits know none
    assert (clone.root / "models/model.pt").read_text() == "0.5 0"
    assert (clone.root / "data/prepared/two.txt").read_text() == "two"


def test_what_the_branch_has_of_the_baseline_is_pushed_and_told(project: Trivial, tmp_path: Path) -> None:
    """`dvc pull` there asks for all that dvc.lock names, also of stages that the applied run has not come to."""
    (project.root / "network").write_text("the baseline's")
    project.call("dvc", "add", "-q", "network")
    [out] = yaml.safe_load((project.root / "network.dvc").read_text())["outs"]
    stage = {
        "cmd": "quant",
        "params": {"params.yaml": {"lr": 99}},
        "outs": [{"path": "models/quant", "md5": out["md5"]}],
    }
    (project.root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"quant": stage}}))
    project.call("dvc", "remote", "add", "--force", "--default", "shared", str(tmp_path / "data"))
    project.commit("a baseline with all stages")
    commit = git(project, "rev-parse", "HEAD")
    assert review.left(project.project(), commit) == ["quant"]
    finished = read(project.project(), "small").finished
    assert push.push_data(project.project(), finished, commit) > 0
    assert (tmp_path / "data" / "files" / "md5" / out["md5"][:2] / out["md5"][2:]).exists()
    for place in (tmp_path / "data", project.root / ".dvc" / "cache"):
        (place / "files" / "md5" / out["md5"][:2] / out["md5"][2:]).unlink()
    push.push_data(project.project(), finished, commit)  # what is nowhere here was the baseline's to push: no error


def test_a_forged_number_is_named(shared: Path, tmp_path: Path) -> None:
    clone = clone_of(shared, tmp_path / "clone")
    file = clone.root / report_path(clone)
    text = file.read_text()
    assert text.count("0.5008") == 3, "the answer, the arm in question, the table"
    file.write_text(text.replace("0.5008", "0.5108", 1))
    assert problems(clone) == [], "the branch counts, and not what lies about"
    clone.commit("better")
    told = lab(clone, "review", "--check", code=1)
    assert "lab: " in told and "says 0.5108, where the records give 0.5008" in told
    assert len(problems(clone)) == 1 and "lab review small draws it anew" in told
    file.write_text(text.replace(report.ANALYSIS, "My own words, with a 0.5108."))
    assert committed(clone) == []
    git(clone, "reset", "-q", "--hard", "HEAD~1")
    numbers = file.with_suffix("") / "verdict.json"
    numbers.write_text(numbers.read_text().replace('"outcome": "SUPPORTED"', '"outcome": "EQUIVALENT"', 1))
    assert "verdict.outcome is EQUIVALENT, where the records give SUPPORTED" in committed(clone)[0]
    metrics = clone.root / "metrics/infer.json"
    metrics.write_text(metrics.read_text().replace("0.5", "0.6", 1))
    said = committed(clone)
    assert len(said) == 1 and "metrics/infer.json is not as" in said[0]
    assert "it says 0.6, where the records give 0.5" in said[0]


def test_a_forged_figure_is_named(shared: Path, tmp_path: Path) -> None:
    clone = clone_of(shared, tmp_path / "clone")
    figure = next((clone.root / report_path(clone)).with_suffix("").glob("*.png"))
    drawn = figure.read_bytes()
    wrong = [f"{figure.parent.name}/{figure.name} is not the figure that the records give"]
    pixels = imread(figure)
    imsave(figure, np.clip(pixels + 0.02, 0, 1))  # as another machine's arithmetic might draw it
    assert figure.read_bytes() != drawn and committed(clone) == []
    dark = np.argwhere(pixels[..., :3].sum(-1) < 1)[0]  # of the first letter
    pixels[dark[0] : dark[0] + 12, dark[1] : dark[1] + 12] = 1
    imsave(figure, pixels)
    assert committed(clone) == wrong
    for content in (drawn[:-100], b"no image", drawn[:16] + b"\x00\x10\x00\x00" * 2 + drawn[24:]):
        figure.write_bytes(content)
        assert committed(clone) == wrong
    figure.unlink()
    assert committed(clone) == [f"{figure.parent.name}/{figure.name} is not there"]
    (figure.parent / "better.png").write_bytes(drawn)
    assert committed(clone) == [f"{figure.parent.name}/better.png is no part of the report"]


def test_the_default_branch_may_go_on(shared: Path, tmp_path: Path) -> None:
    """And be merged into the branch; code of the branch's own is named."""
    clone = clone_of(shared, tmp_path / "clone")
    remote = tmp_path / "remote"
    clone.call("cp", "-r", str(shared / "remote"), str(remote))
    git(clone, "remote", "set-url", "origin", str(remote))
    git(clone, "switch", "-q", "main")
    (clone.root / "src" / "new.py").write_text("NEW = 1\n")
    clone.commit("main goes on")
    git(clone, "push", "-q", "origin", "main")
    git(clone, "switch", "-q", "exp/small")
    assert problems(clone) == []
    git(clone, "merge", "-q", "main")
    assert (clone.root / "src" / "new.py").exists() and problems(clone) == []
    for ref in ("refs/remotes/origin/main", "refs/remotes/origin/HEAD"):  # CI fetches but what it needs
        git(clone, "update-ref", "--no-deref", "-d", ref)
    script = clone.root / "src" / "stand_in.py"
    script.write_text(script.read_text() + "# better\n")
    clone.commit("better")
    wrong = "src/stand_in.py is changed against the default branch: a review branch brings"
    assert [problem.startswith(wrong) for problem in problems(clone)] == [True]
    assert wrong in lab(clone, "review", "--check", code=1)
    git(clone, "remote", "remove", "origin")
    assert any(problem.startswith(wrong) for problem in problems(clone)), "the baseline is there to compare with"


def test_a_contract_that_was_changed_afterwards_is_named(shared: Path, tmp_path: Path) -> None:
    """And judges nothing: the verdict is by that of the commit that the runs started from."""
    clone = clone_of(shared, tmp_path / "clone")
    contract = yaml12.mapping((clone.root / "lab.yaml").read_text())
    contract["metrics"]["*.f1_macro"] |= {"direction": "minimize", "exact": True}
    (clone.root / "lab.yaml").write_text(yaml12.dump(contract))
    [problem] = committed(clone)
    assert problem.startswith("lab.yaml is changed against the default branch")


# Whether a model is right on each of twelve test images.
RIGHT = {"old": [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1], "new": [1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1]}
PREPARE = """
    from matplotlib.image import imsave
    for i in range(12):
        imsave(f"data/prepared/{i}.png", [[0, 1], [1, i / 12]])
"""
INFER = """
if stage == "infer":
    import pandas as pd
    Path("results/infer").mkdir(parents=True, exist_ok=True)
    right = RIGHT[params["experiment"]["arm"]]
    frame = pd.DataFrame({"path": [f"data/prepared/{i}.png" for i in range(12)], "actual": "cat", "confidence": 0.9})
    said = frame.assign(predicted=["cat" if each else "dog" for each in right], correct=[each > 0 for each in right])
    said.to_parquet("results/infer/predictions.parquet")
    write("metrics/infer.json", json.dumps({"accuracy": sum(right) / 12}))
"""

# What lab.yaml names for them: an accuracy of weighted images, and how a picture is shown.
PICTURES = """
def score(frame):
    return frame.assign(score=frame["correct"].astype(float), surety=frame["confidence"])


def describe(row):
    return row["predicted"]


def truth(row):
    return row["actual"]


def title(row):
    return f"{row['actual']}, taken for {row['predicted']}"


def draw(axes, row, colour, side, read):
    axes.set_title(row["predicted"], color=colour, loc=side)


def legend(frame, colours):
    return ""


def accuracy(frame, metric):
    correct = frame["correct"].to_numpy(float)
    return lambda weights: correct @ weights / weights.sum(0)
"""


@pytest.fixture
def looked_at(tmp_path: Path) -> Trivial:
    """A clone, on the branch, of a project whose verdict on two models rests on test images: git is all that it has."""
    project = trivial.make(tmp_path / "project")
    stages = trivial.STAGES.replace(
        "params: [infer]\n", "params: [infer]\n    outs: [results/infer/predictions.parquet]\n"
    )
    (project.root / "dvc.yaml").write_text(stages)
    script = project.root / "src" / "stand_in.py"
    text = script.read_text().replace("    sys.exit()\n", f"{PREPARE}    sys.exit()\n", 1)
    script.write_text(f"{text}\nRIGHT = {RIGHT}\n{INFER}")
    (project.root / "src" / "pictures.py").write_text(PICTURES)
    contract = yaml12.mapping(contracts.TRIVIAL_TEXT)
    contract["metrics"]["*.accuracy"]["per_item"] = "pictures:accuracy"
    names = ("score", "describe", "truth", "title", "draw", "legend")
    contract["item_pictures"] = {name: f"pictures:{name}" for name in names}
    (project.root / "lab.yaml").write_text(yaml12.dump(contract))
    question = answered.QUESTION | {
        "type": "infer",
        "hypothesis": {"claim": "The new one", "metric": "infer.accuracy", "arm": "new", "versus": "old"},
        "comparison": {"variable": "infer.model", "values": {name: f"infer.model={name}" for name in RIGHT}},
    }
    git(project, "tag", "old")
    (project.root / "designs").mkdir()
    (project.root / "designs" / "models.yaml").write_text(yaml.safe_dump(question))
    with (project.root / ".gitignore").open("a") as ignored:
        ignored.write("/results/\n/data/prepared/\n")
    project.commit("two models")
    git(project, "tag", "new")
    lab(project, "run", "designs/models.yaml", "-j", "2", "--force")
    lab(project, "review", "models")
    project.call("git", "clone", "-q", "-b", "exp/models", str(project.root), str(tmp_path / "clone"))
    for key, value in {"user.name": "Test", "user.email": "test@localhost"}.items():
        git(Trivial(tmp_path / "clone"), "config", key, value)
    return Trivial(tmp_path / "clone")


def test_what_is_said_of_test_images_is_checked(looked_at: Trivial) -> None:
    """As far as git alone tells: not how the images look that are shown."""
    report = looked_at.root / report_path(looked_at, "models")
    beside = report.with_suffix("")

    def found() -> list[str]:
        looked_at.commit("forged")
        return verify.check(looked_at.project(), "models").problems

    assert (beside / "disagreements.png").exists()
    assert verify.check(looked_at.project(), "models").problems == []
    text = report.read_text()
    assert text.count("seed 0: p = 0.62") == 1
    report.write_text(text.replace("seed 0: p = 0.62", "seed 0: p = 0.002"))
    [wrong] = found()
    assert "says 0.002, where the records give 0.62: McNemar's exact test" in wrong
    report.write_text(text)
    for name, row in {"per_image": "0,3,8,1", "disagreements": "data/prepared/3.png,-1,1.8,1"}.items():
        file = beside / f"{name}.csv"
        rows = file.read_text()
        assert row in rows, rows
        file.write_text(rows.replace(row, row.replace("3", "5", 1)))
        [wrong] = found()
        assert f"{file.name} says" in wrong and "where the records give" in wrong
        file.write_text(rows)
    (beside / "per_image.png").write_bytes((beside / "arms.png").read_bytes())
    assert found() == [f"{beside.name}/per_image.png is not the figure that the records give"]


def test_what_is_missing_is_said(project: Trivial, shared: Path, tmp_path: Path) -> None:
    clone = clone_of(shared, tmp_path / "clone")
    git(clone, "remote", "remove", "origin")
    with pytest.raises(UserError, match="no experiment of small is in this clone, and there is no remote"):
        verify.check(clone.project())
    assert "which design?" in lab(project, "review", "--check", code=2)
    assert "'--help' is no commit" in lab(project, "review", "--check", "--commit=--help", code=2)
    branch, found = make(project, "small"), read(project.project(), "small")
    with pytest.raises(UserError, match="there is no git remote origin"):
        push.push(found, branch)
    git(project, "remote", "add", "origin", str(tmp_path / "nowhere"))
    project.call("dvc", "config", "--unset", "core.remote")
    with pytest.raises(UserError, match="DVC has no default remote"):
        push.push(found, branch)


def test_nothing_of_others_is_pushed_over(shared: Path, tmp_path: Path) -> None:
    project = trivial.copied(Trivial(shared / "project"), tmp_path / "project")
    remote = tmp_path / "remote"
    project.call("cp", "-r", str(shared / "remote"), str(remote))
    git(project, "remote", "set-url", "origin", str(remote))
    ref = next(
        line for line in git(project, "for-each-ref", "--format=%(refname)").split() if line.endswith("small_0.5_s1")
    )
    other = git(project, "rev-parse", "main")
    git(Trivial(remote), "update-ref", ref, other)
    told = lab(project, "review", "small", "--arm", "0.1", "--push", code=2)
    assert "git push failed" in told and ref in told
    assert git(Trivial(remote), "rev-parse", ref) == other
    # All or nothing: the branch has not moved either.
    assert git(Trivial(remote), "rev-parse", "exp/small") == git(project, "rev-parse", "exp/small~1")


def test_data_comes_before_references(shared: Path, tmp_path: Path) -> None:
    project = trivial.copied(Trivial(shared / "project"), tmp_path / "project")
    remote = tmp_path / "remote"
    project.call("git", "init", "-q", "--bare", str(remote))
    git(project, "remote", "set-url", "origin", str(remote))
    project.call("dvc", "remote", "add", "--force", "--default", "shared", str(tmp_path / "empty"))
    project.call("rm", "-rf", ".dvc/cache")
    told = lab(project, "review", "small", "--push", code=2)
    assert "is neither in DVC's cache here nor on the remote shared, so nothing was pushed to git" in told
    assert git(Trivial(remote), "for-each-ref") == ""


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("git@github.com:me/it.git", "gh pr create --base main --head exp/small --fill"),
        (
            "https://gitlab.example.org/me/it",
            "git push -o merge_request.create -o merge_request.target=main origin exp/small",
        ),
        ("/srv/git/it", ""),
    ],
)
def test_the_commands_are_those_of_the_remote(project: Trivial, url: str, expected: str) -> None:
    git(project, "remote", "add", "origin", url)
    branch = review.Branch("exp/small", "0" * 40, None, True)
    assert review.commands(project.project(), branch) == ["lab review small --push", *([expected] if expected else [])]


def test_two_who_ran_the_same_on_one_commit(shared: Path, tmp_path: Path) -> None:
    """The second one's push is refused, and what it advises then works: theirs count, and nobody's words are lost."""
    remote = tmp_path / "remote"
    (tmp_path / "any").mkdir()
    first, second = (trivial.copied(Trivial(shared / "project"), tmp_path / name) for name in ("first", "second"))
    for project in (first, second):
        project.call("cp", "-r", str(shared / "project" / ".git" / "config"), ".git/config")
        git(project, "remote", "set-url", "origin", str(remote))
        git(project, "branch", "-D", "exp/small")
    git(first, "init", "-q", "--bare", "-b", "main", str(remote))
    git(first, "push", "-q", "origin", "main")
    runs = [line.split()[0] for line in git(second, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()]
    for ref in (ref for ref in runs if "_small_" in ref):  # the same runs, made by somebody else
        commit = git(second, "rev-parse", ref)
        parent, tree = git(second, "rev-parse", f"{ref}^"), git(second, "rev-parse", f"{ref}^{{tree}}")
        git(second, "update-ref", ref, git(second, "commit-tree", tree, "-p", parent, "-m", "by another"))
        assert git(second, "rev-parse", ref) != commit
    lab(first, "review", "small", "--push")
    told = lab(second, "review", "small", "--push", code=2)
    assert "Others have run the same on the same commit" in told and "small_0.5_s1" in told
    advised = [line.split("   ")[0].strip() for line in told.splitlines() if line.startswith("  git ")]
    assert len(advised) == 3, told
    kept = git(second, "rev-parse", "exp/small")
    for command in advised:
        second.call("sh", "-c", command)
    assert git(second, "rev-parse", "my-small") == kept
    lab(second, "review", "small", "--push")
    assert (
        git(first, "ls-remote", "origin", "refs/heads/exp/small")
        and verify.check(second.project(), "small").problems == []
    )


def test_a_damaged_file_is_pushed_to_nobody(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor promoted, nor judged by; it is named, with where a sound one is. From a remote it is not taken."""
    project = trivial.copied(Trivial(shared / "project"), tmp_path / "project")
    run = next(each for each in project.records().values() if each.experiment.get("arm") == "0.5")
    md5 = run.outputs["models/model.pt"]["md5"]
    model = project.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    sound = model.read_text()
    model.chmod(0o644)
    model.write_text("another model")
    for command in (["review", "small", "--push"], ["promote", "small"]):
        told = lab(project, *command, code=2)
        assert f"is damaged in DVC's cache: {model} has other bytes than its name, an MD5 hash, says." in told
        assert f"The remote shared has a sound one: rm {model}, and the same command again" in told
    git(project, "remote", "set-url", "origin", str(tmp_path / "nobody"))
    project.call("dvc", "remote", "modify", "shared", "url", str(tmp_path / "empty"))
    assert "No sound one is on a remote" in lab(project, "promote", "small", code=2)
    there = tmp_path / "empty" / "files" / "md5" / md5[:2] / md5[2:]
    there.parent.mkdir(parents=True)
    there.write_text("another model as well")
    there.chmod(0o444)  # DVC takes it for sound
    assert "No sound one is on a remote" in lab(project, "promote", "small", code=2)
    model.unlink()
    project.project().store.fetch([md5])
    assert not model.exists() and f"{md5} came damaged from DVC's remote, and was not taken" in capsys.readouterr().err
    told = lab(project, "promote", "small", code=2)
    assert "is damaged in DVC's cache" in told and not (project.root / "models" / "champion").exists()
    there.chmod(0o644)
    there.write_text(sound)
    model.unlink()
    assert "is the champion" in lab(project, "promote", "small")


@pytest.mark.nightly
def test_what_draws_reports_may_change(shared: Path, tmp_path: Path) -> None:
    """A report made before is checked by the code that drew it, one made after by today's; a forged one by neither."""
    clone = clone_of(shared, tmp_path / "clone")
    git(clone, "switch", "-q", "main")
    template = clone.root / "src" / "lab" / "report" / report.TEMPLATE
    template.write_text(template.read_text().replace("## ", "## On ", 1))
    clone.commit("reports look otherwise")
    git(clone, "fetch", "-q", "origin", "refs/exps/*:refs/exps/*")
    git(clone, "remote", "remove", "origin")
    before = clone.lab("review", "small", "--check").stdout
    assert "every number of the report agrees" in before and "today's draws another" in before
    made = clone.lab("review", "small").stdout
    assert "exp/small is now at" in made
    after = clone.lab("review", "small", "--check").stdout
    assert "every number of the report agrees" in after and "today's" not in after
    git(clone, "switch", "-q", "exp/small")
    file = clone.root / report_path(clone)
    file.write_text(file.read_text().replace("0.5008", "0.5108", 1))
    clone.commit("better")
    git(clone, "switch", "-q", "main")
    told = clone.lab("review", "small", "--check", check=False)
    assert told.returncode == 1 and "says 0.5108, where the records give 0.5008" in told.stderr


@pytest.mark.nightly
def test_a_report_is_checked_by_the_rules_of_its_day(shared: Path, tmp_path: Path) -> None:
    """Where the rules have changed since, the default branch's code that had them says whether its numbers agree."""
    clone = clone_of(shared, tmp_path / "clone")
    git(clone, "switch", "-q", "main")
    decisions = clone.root / "src" / "lab" / "analysis" / "decisions.py"
    text = decisions.read_text()
    assert f"\nRULES = {RULES}\n" in text and '("higher", "lower"' in text
    text = text.replace(f"\nRULES = {RULES}\n", f"\nRULES = {RULES + 1}\n")
    decisions.write_text(text.replace('("higher", "lower"', '("greater", "lower"'))
    clone.commit("other rules")
    git(clone, "fetch", "-q", "origin", "refs/exps/*:refs/exps/*")
    git(clone, "remote", "remove", "origin")
    told = clone.lab("review", "small", "--check").stdout
    assert "every number of the report agrees" in told
    assert f"judged by the rules of its day (version {RULES})" in told and "it is SUPPORTED" in told
    git(clone, "switch", "-q", "exp/small")
    numbers = (clone.root / report_path(clone)).with_suffix("") / "verdict.json"
    numbers.write_text(numbers.read_text().replace(f'"rules": {RULES}', '"rules": 1'))
    clone.commit("by rules that nobody had")
    git(clone, "switch", "-q", "main")
    refused = clone.lab("review", "small", "--check", check=False)
    assert refused.returncode == 1 and f"verdict.json: rules is 1, where the records give {RULES + 1}" in refused.stderr
