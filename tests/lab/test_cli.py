"""`lab check`, `lab plan` and `lab schema` as a person runs them, in a repository of their own."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import contracts
import in_process
import pytest
import trivial
from rich.console import Console
from trivial import Trivial

from lab.cli import app
from lab.cli.watch import Watch
from lab.design import design_file
from lab.design.plan import Run
from lab.execution.preflight_inputs import basis
from lab.study import RUNNING, Replicate

SWEEP = "designs/classification_lr_sweep.yaml"
CHECK = """
def mistakes(settings):
    optimizer, epochs = settings["training"]["optimizer"], settings["training"]["max_epochs"]
    if optimizer not in ("adamw", "adam", "sgd"):
        raise ValueError(f"training.optimizer={optimizer} is not one of adamw, adam, sgd")
    if not isinstance(epochs, int):
        raise ValueError(f"training.max_epochs={epochs} should be a whole number")
"""


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Trivial:
    """The template's project with one commit, and a check of its own: copy it before you change it."""
    code = ("src/<<cookiecutter.package>>", *(f"src/{name}.py" for name in ("lab", *contracts.VISION_STAGES)))
    root = contracts.render(tmp_path_factory.mktemp("lab") / "project", (*contracts.CONFIG, ".gitignore", *code))
    shutil.copytree(trivial.LAB, root / "src" / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    module, _, _ = str(contracts.VISION.check).partition(":")
    (root / "src" / f"{module.replace('.', '/')}.py").write_text(CHECK)
    project = Trivial(root)
    for command in ("init -q -b main", "add -A", "commit -qm start"):
        git(project, *command.split())
    return project


@pytest.fixture
def project(committed: Trivial, tmp_path: Path) -> Trivial:
    return trivial.copied(committed, tmp_path / "copy")


def git(project: Trivial, *arguments: str) -> None:
    project.call("git", "-c", "user.name=Test", "-c", "user.email=test@localhost", *arguments)


def lab(project: Trivial, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return in_process.lab(project.root, *arguments, **environment)


def refused(project: Trivial, *arguments: str) -> str:
    """The one message of a command that is refused: exit code 2, no traceback, nothing written."""
    before = state(project)
    done = lab(project, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert state(project) == before
    return done.stderr


def state(project: Trivial) -> set[str]:
    return {
        str(path)
        for path in project.root.rglob("*")
        if not {"__pycache__", ".git"} & set(path.parts) and not path.is_relative_to(project.root / ".dvc" / "tmp")
    }


def test_a_plan_is_the_same_on_every_call_and_writes_nothing(committed: Trivial) -> None:
    before = state(committed)
    first, second = (committed.lab("plan", SWEEP, "--json", PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert first.stdout == second.stdout
    found = json.loads(first.stdout)
    assert (found["design"], len(found["runs"]), found["runs"][0]["state"]) == ("classification_lr_sweep", 18, "new")
    assert state(committed) == before


def test_a_plan_can_be_read_in_narrow_and_wide_terminals(committed: Trivial) -> None:
    for columns in ("80", "120"):
        done = lab(committed, "plan", SWEEP, COLUMNS=columns)
        assert "lr=0.003,batch_size=16" in done.stdout
        assert "18 runs in 1 wave, 0 done; they end with train" in done.stdout
    assert "\x1b" not in done.stdout


def test_the_plan_needs_no_git(project: Trivial) -> None:
    shutil.rmtree(project.root / ".git")
    done = lab(project, "plan", SWEEP, GIT_CEILING_DIRECTORIES=str(project.root.parent))
    assert done.returncode == 0, done.stderr
    assert "undated_tiny" in done.stdout


def test_status_of_a_project_in_which_nothing_has_run(project: Trivial) -> None:
    done = lab(project, "status")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "no run of a design yet: lab run DESIGN starts those of a design, lab plan DESIGN shows which they are",
        "0 workers",
    ]
    (project.root / "lab.yaml").unlink()
    for command in (["status"], ["plan", SWEEP], ["results", "classification_lr_sweep"]):
        message = refused(project, *command)
        assert message.count("\n") == 1 and "has no lab.yaml" in message
    shutil.rmtree(project.root / ".git")
    message = lab(project, "status", GIT_CEILING_DIRECTORIES=str(project.root.parent)).stderr
    assert message == "lab: nothing can have run here: there is no git repository with a commit\n"


def test_names_have_the_date_of_the_designs_commit(project: Trivial) -> None:
    path = project.root / SWEEP
    path.write_text(path.read_text() + "# a remark\n")
    os.environ["GIT_COMMITTER_DATE"] = "2025-03-04T12:00:00"
    try:
        git(project, "commit", "-qam", "remark")
    finally:
        del os.environ["GIT_COMMITTER_DATE"]
    names = [run["name"] for run in json.loads(lab(project, "plan", SWEEP, "--json").stdout)["runs"]]
    assert all(name.startswith("20250304_tiny_") for name in names)


def test_lab_imports_no_engine_to_plan(committed: Trivial) -> None:
    done = committed.lab("plan", SWEEP, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "lab.design.compose" in imported
    assert not imported & {"torch", "ultralytics", "openvino", "mlflow", "dvc.repo", "scipy", "pandas", "optuna"}


def test_the_checklist_of_a_fresh_project(committed: Trivial) -> None:
    done = lab(committed, "check", SWEEP)
    assert done.returncode == 2
    marks = {line.split()[1]: line[0] for line in done.stdout.splitlines() if line[:2] in ("✓ ", "✗ ", "! ")}
    assert marks["baseline"] == "✗"
    assert {name for name, mark in marks.items() if mark == "✗"} == {"baseline"}
    assert "lab run designs/classification_baseline.yaml" in " ".join(done.stdout.split())
    done = lab(committed, "check", "designs/classification_baseline.yaml")
    assert done.returncode == 0, done.stdout


def test_more_than_the_machine_has_is_told_by_the_checklist(project: Trivial) -> None:
    path = project.root / "designs" / "large.yaml"
    path.write_text("kind: single\ntype: train\ntask: classification\ntitle: t\nresources: {cpus: 4096}\n")
    done = lab(project, "check", "large")
    assert done.returncode == 2
    assert "a run takes 4096 cpus, by resources, and this machine has fewer" in " ".join(done.stdout.split())
    assert "a run takes 4096 cpus" in refused(project, "queue", "large", "--force")


def test_workers_are_stopped_by_a_design_too(committed: Trivial) -> None:
    assert "0 workers end" in lab(committed, "stop", "classification_baseline").stdout
    assert "Did you mean 'classification_baseline'?" in lab(committed, "stop", "classification_basline").stderr


def test_the_checklist_tells_what_is_not_committed(project: Trivial) -> None:
    path = project.root / "designs" / "classification_baseline.yaml"
    path.write_text(path.read_text() + "# a remark\n")
    (project.root / ".gitignore").write_text("")
    (project.root / ".env").write_text("MLFLOW_TRACKING_URI=https://me:hunter2@mlflow.example.org\n")
    git(project, "add", ".env", ".gitignore")
    done = lab(project, "check", "designs/classification_baseline.yaml")
    words = " ".join(done.stdout.split())
    assert done.returncode == 2
    for part in ("✗ code committed", "✗ design committed", "✗ .env", "MLflow, https://mlflow.example.org"):
        assert part in words, words
    assert "hunter2" not in words


@pytest.mark.parametrize("trouble", ["no git", "no commit", "detached"])
def test_without_a_branch_to_start_from(project: Trivial, trouble: str) -> None:
    if trouble == "detached":
        git(project, "switch", "-q", "--detach")
    else:
        shutil.rmtree(project.root / ".git")
        if trouble == "no commit":
            git(project, "init", "-q")
    done = lab(
        project, "check", "designs/classification_baseline.yaml", GIT_CEILING_DIRECTORIES=str(project.root.parent)
    )
    assert done.returncode == 2
    assert "✗ code committed" in done.stdout
    assert {"no git": "git init", "no commit": "no commit yet", "detached": "detached"}[trouble] in " ".join(
        done.stdout.split()
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((" lr:", " lrr:"), "lrr is neither a key nor a group of conf/. Did you mean 'lr'?"),
        (("strategy: grid", "strategy: gird"), "Did you mean 'grid'?"),
        (("[0.001, 0.003, 0.01]", "[]"), "line 18: sweep.parameters.lr: is empty"),
        (("metric: infer.f1_macro", "metric: quant.f1_macro"), "hypothesis.metric: quant.f1_macro is written by quant"),
    ],
)
def test_bad_designs_are_one_message(committed: Trivial, tmp_path: Path, change: tuple[str, str], words: str) -> None:
    path = tmp_path / "classification_lr_sweep.yaml"
    path.write_text((committed.root / SWEEP).read_text().replace(*change))
    assert words in refused(committed, "plan", str(path))


def test_settings_that_no_stage_takes_are_told_before_anything_runs(project: Trivial) -> None:
    path = project.root / "designs" / "bad.yaml"
    text = "kind: comparison\ntask: classification\ntype: train\ntitle: What?\n"
    text += "hypothesis: {claim: c, metric: infer.f1_macro, expected: 95}\n"
    varied = text + "comparison: {variable: training.optimizer, values: [adamw, adamm]}\n"
    common = text.replace("comparison", "single") + "base: [training.max_epochs=three]\n"
    for content, words in (
        (varied, "configs: adamm: training.optimizer=adamm is not one of adamw, adam, sgd"),
        (common, "configs: baseline: training.max_epochs=three should be a whole number"),
    ):
        path.write_text(content)
        git(project, "add", "-A")
        git(project, "commit", "-qm", "bad")
        told = refused(project, "queue", "bad", "--force")
        assert words in told, "a run would fail of it"
        assert words.removeprefix("configs: ") in refused(project, "plan", "bad")
        assert "expected: 95, but infer.f1_macro lies between 0 and 1" in told


@pytest.mark.parametrize(
    ("asked", "decided_by"),
    [
        (("infer", "infer.f1_macro"), "images"),
        (("quant", "quant.accuracy"), "images"),
        (("quant", "quant.size_mb"), "counted"),
        (("quant", "quant_speed.speedup"), "seeds"),
        (("train", "infer.f1_macro"), "seeds"),
    ],
)
def test_what_is_going_to_decide(asked: tuple[str, str], decided_by: str) -> None:
    kind, metric = asked
    content = {"kind": "single", "type": kind, "title": "What?", "hypothesis": {"claim": "c", "metric": metric}}
    assert basis(design_file.parse(content, contracts.VISION), contracts.VISION) == decided_by


def test_lab_is_about_its_own_project(committed: Trivial, project: Trivial, tmp_path: Path) -> None:
    """In a colleague's clone it would read the clone's designs against the records of the first."""
    foreign = [sys.executable, str(committed.root / "src" / "lab.py"), "plan", "classification_lr_sweep"]
    for folder in (project.root, project.root / "designs"):
        done = subprocess.run(foreign, cwd=folder, capture_output=True, text=True, env=trivial.environ())
        assert (done.returncode, done.stdout) == (2, "")
        assert f"belongs to {committed.root}, but you are in {project.root}" in done.stderr
        assert f"source {project.root}/.venv/bin/activate" in done.stderr
    outside = subprocess.run(foreign, cwd=tmp_path, capture_output=True, text=True, env=trivial.environ())
    assert outside.returncode == 2 and "is in no project" in outside.stderr


def test_what_runs_is_told_by_arm_and_seed() -> None:
    arms = [f"lr={rate},batch_size={size}" for rate in (0.001, 0.01) for size in (16, 32)]
    replicates = []
    for arm in arms:
        name = f"20261122_tiny_64_none_classification_lr_sweep_with_a_long_name_{arm}_s1"
        run = Run(name, arm, {}, 1, 0, 0, [], {}, "infer", "")
        record = SimpleNamespace(name=name, status=RUNNING, pending=None, started=None, value=lambda metric: None)
        replicates.append(Replicate(arm, {}, 1, record, run=run))
    place = Console(width=80, force_terminal=True, color_system=None, file=io.StringIO())
    design = design_file.parse({"kind": "single", "type": "train", "title": "Which?"}, contracts.VISION)
    with Watch(place, design, contracts.VISION, 2) as watch:
        watch(replicates)
    shown = place.file.getvalue()  # type: ignore[attr-defined]
    for arm in arms:
        assert any(arm in line and "seed 1" in line and "starting" in line for line in shown.splitlines()), shown


def test_git_sees_no_page_of_curves(committed: Trivial) -> None:
    """`dvc plots show` writes it anew each time."""
    subprocess.run(["git", "check-ignore", "-q", "dvc_plots/index.html"], cwd=committed.root, check=True)


def test_what_is_no_design_is_one_message(committed: Trivial) -> None:
    assert "no such file. Did you mean 'designs/classification_lr_sweep.yaml'?" in refused(
        committed, "plan", "designs/classification_lr_swep.yaml"
    )
    similar = "Did you mean 'classification_lr_sweep' or 'detection_lr_sweep'?"
    assert f"designs/ has no lr_sweep.yaml. {similar}" in refused(committed, "check", "lr_sweep")
    assert similar in refused(committed, "report", "lr_sweep")
    assert "not a design: it has no kind" in refused(committed, "check", "params.yaml")
    assert "is taken by" in refused(taken(committed), "plan", "designs/twin.yaml")
    assert "lab run designs/classification_augmentation.yaml first" in refused(
        committed, "plan", "designs/classification_ab_benchmark.yaml"
    )


def taken(committed: Trivial) -> Trivial:
    project = trivial.copied(committed, committed.root.with_name("taken"))
    text = (project.root / SWEEP).read_text()
    (project.root / "designs" / "twin.yaml").write_text(text + "name: classification_lr_sweep\n")
    return project


def test_the_schema_is_written_where_the_editors_look(project: Trivial) -> None:
    path = project.root / "designs" / "schema.json"
    before = path.read_text()
    path.unlink()
    assert lab(project, "schema").returncode == 0
    assert path.read_text() == before


def test_values_reach_no_shell(project: Trivial) -> None:
    evil = "$(touch hacked) `touch hacked`; touch hacked | touch hacked > hacked"
    (project.root / "designs" / "evil.yaml").write_text(
        f"kind: comparison\ntype: train\ntitle: What?\ncomparison: {{variable: model.name, values: ['{evil}', tame]}}\n"
    )
    done = lab(project, "plan", "designs/evil.yaml", "--json")
    assert json.loads(done.stdout)["runs"][0]["params"]["model"]["name"] == evil
    assert not list(project.root.rglob("hacked"))


def test_revisions_are_pinned_to_commits(project: Trivial) -> None:
    git(project, "tag", "v1")
    git(project, "commit", "-q", "--allow-empty", "-m", "second")
    path = project.root / "designs" / "versions.yaml"
    path.write_text(
        "kind: comparison\ntype: infer\ntitle: What?\ncomparison: {variable: infer.model, values: [v1, main]}\n"
    )
    runs = json.loads(lab(project, "plan", str(path), "--json").stdout)["runs"]
    commits = subprocess.run(["git", "log", "--format=%H"], cwd=project.root, capture_output=True, text=True).stdout
    assert [run["params"]["infer"]["model"] for run in runs] == commits.split()[::-1]
    assert [run["levels"]["infer.model"] for run in runs] == ["v1", "main"]
    path.write_text(path.read_text().replace("v1", "v7"))
    assert "v7 is no experiment, tag, branch or commit here" in refused(project, "plan", str(path))


def test_lab_is_called_as_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other people's repositories have the package, and no command of that name."""
    text = "a design of lab is missing: lab run designs/a.yaml, or lab status; src/lab run is no command"
    for has_command, said in ((True, text), (False, re.sub("lab (run d|status)", r"python -m lab \1", text))):
        monkeypatch.setattr(app, "HAS_COMMAND", has_command)
        assert app.typed(text) == app.typed(app.typed(text)) == said
        assert app.typed("lab") == ("lab" if has_command else "python -m lab")


@pytest.mark.parametrize("given", ["", ".", "designs"])
def test_a_folder_is_no_design(project: Trivial, given: str) -> None:
    assert "designs/ has no" in refused(project, "plan", given)
