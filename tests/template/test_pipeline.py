"""A project of each task, run for real: what its README promises, without a network and with an empty home."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import BakedProject
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

pytestmark = pytest.mark.slow
SCORES = {"detection": ("mAP50", 0.90), "classification": ("f1_macro", 0.95)}
TASKS = [pytest.param(task, marks=pytest.mark.xdist_group(task)) for task in SCORES]  # each baseline is made once
# The one dvc.yaml is for all tasks; by day a question about classification is asked as well, by test_readme.
ONE_TASK = [
    pytest.param("detection", marks=pytest.mark.xdist_group("detection")),
    pytest.param("classification", marks=[pytest.mark.xdist_group("classification"), pytest.mark.nightly]),
]

SMALL = {"detection": ("-S", "model=yolo11t")}
BY_NIGHT = ("detection", "classification", "segmentation", "multilabel")  # tests/package trains them, too


def offline() -> list[str]:
    """A prefix that runs a command without any network, where the system allows it."""
    prefix = ["unshare", "--map-root-user", "--net"]
    allowed = shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    return prefix if allowed else []


@pytest.fixture(scope="module")
def baseline(bake, environment, tmp_path_factory, request) -> Callable[[str], BakedProject]:
    """The project of a task after its first `dvc exp run`, made once and committed: by day of a small model."""
    made: dict[str, BakedProject] = {}
    by_day = request.config.getoption("markexpr") != "nightly"

    def get(task: str) -> BakedProject:
        if task not in made:
            project = bake(environment, project=f"{task}-lab", task=task)
            home = tmp_path_factory.mktemp("home")
            small = SMALL.get(task, ()) if by_day else ()
            done = project.run(*offline(), "dvc", "exp", "run", *small, env={"HOME": str(home)})
            assert ran(done) == ["prepare", "train", "infer", "quant"]
            assert [str(path.relative_to(home)) for path in home.rglob("*")] == [], "nothing is written to the home"
            changed = project.run("git", "status", "--short", "--untracked-files=all").stdout.split("\n")
            edited = [line for line in changed if line.startswith(" M") and not (small and line == " M params.yaml")]
            assert edited == [], "what was in the first commit stays"
            assert not [line for line in changed if line.endswith((".pt", ".png", ".parquet", ".cache", ".bin"))], (
                changed
            )
            assert not (project.path / "mlruns").exists() and not (project.path / "runs").exists()
            project.run("git", "add", "--all")
            project.run("git", "commit", "--quiet", "--message", "baseline")
            made[task] = project
        return made[task]

    return get


def ran(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The stages that DVC ran, not those that it skipped or restored."""
    return re.findall(r"Running stage '(\w+)'", done.stdout)


def metrics(project: BakedProject, name: str) -> dict:
    return json.loads(project.read(f"metrics/{name}.json"))


@pytest.mark.parametrize("task", ONE_TASK)
def test_the_baseline_is_good(baseline, task: str) -> None:
    project = baseline(task)
    metric, least = SCORES[task]
    assert metrics(project, "infer")[metric] >= least
    quant = metrics(project, "quant")
    assert quant[metric] >= least
    assert quant["size_mb"] < quant["torch_size_mb"]
    epochs = (project.path / "dvclive" / "plots" / "metrics" / "lr.tsv").read_text().splitlines()
    assert len(epochs) == 1 + metrics(project, "train")["epochs"], "one row an epoch"


@pytest.mark.parametrize("task", ONE_TASK)
def test_only_what_changed_is_to_run(baseline, task: str) -> None:
    project = baseline(task)
    assert to_run(project) == []
    assert to_run(project, "infer.latency.repeats=1") == ["infer"]
    assert to_run(project, "quant.repeats=1") == ["quant"]
    assert to_run(project, "infer.site=B", "quant=openvino_fp16") == ["infer", "quant"]


def to_run(project: BakedProject, *choices: str) -> list[str]:
    """The stages that DVC would run with these settings in params.yaml, which is left as it was."""
    model = yaml.safe_load(project.read("params.yaml"))["model"]["name"]
    with initialize_config_dir(str(project.path / "conf"), version_base=None):
        config = compose("config", [f"model={model}", *choices])
    OmegaConf.resolve(config)
    (project.path / "params.yaml").write_text(OmegaConf.to_yaml(config))
    done = project.run("dvc", "repro", "--dry")
    project.run("git", "checkout", "--quiet", "params.yaml")
    return ran(done)


@pytest.mark.nightly
@pytest.mark.parametrize("task", TASKS)
def test_only_what_changed_runs(baseline, task: str) -> None:
    project = baseline(task)
    run = ("dvc", "exp", "run")
    short = [f"{key}=1" for key in ("warmup", "repeats", "rounds")]  # what is measured here doesn't count
    quant = [word for setting in short for word in ("-S", f"quant.{setting}")]
    infer = [word for setting in short for word in ("-S", f"infer.latency.{setting}")]
    assert ran(project.run(*run)) == []
    changed = ("-S", "infer.site=B", "-S", "quant=openvino_fp16")
    assert ran(project.run(*run, *changed, *infer, *quant)) == ["infer", "quant"]
    assert ran(project.run(*run)) == [], "what has been measured once comes out of DVC's cache"


@pytest.mark.nightly
@pytest.mark.parametrize("task", TASKS)
def test_a_queue_of_two(baseline, task: str) -> None:
    project = baseline(task)
    short = ("-S", "training.max_epochs=1", *SMALL.get(task, ()))
    queued = project.run("dvc", "exp", "run", "infer", "--queue", *short, "-S", "lr=0.001,0.004")
    names = re.findall(r"Queued experiment '([\w-]+)'", queued.stdout)
    assert len(names) == 2
    project.run("dvc", "queue", "start", "-j", "2")
    deadline = time.monotonic() + 900
    while re.search("Queued|Running", status := project.run("dvc", "queue", "status").stdout):
        assert time.monotonic() < deadline, status
        time.sleep(5)
    project.run("dvc", "queue", "stop")

    rows = json.loads(project.run("dvc", "exp", "show", "--json").stdout)
    experiments = {e["name"]: e["revs"][0]["data"] for row in rows for e in row["experiments"] or []}
    rates = {experiments[name]["params"]["params.yaml"]["data"]["lr"] for name in names}
    losses = {json.dumps(experiments[name]["metrics"]["dvclive/metrics.json"]["data"]["train"]) for name in names}
    assert rates == {0.001, 0.004}
    assert len(losses) == 2, "another learning rate gives another loss"


@pytest.mark.parametrize("task", ONE_TASK)
def test_plots_and_tables_render(baseline, task: str, tmp_path: Path) -> None:
    project = baseline(task)
    page = project.run("dvc", "plots", "show", "--out", str(tmp_path / "plots")).stdout.strip()
    assert page.startswith("file://")
    text = (tmp_path / "plots" / "index.html").read_text()
    for name in ("samples.png", "confusion.csv", "curve.csv", "reliability.csv", "lr.tsv"):
        assert name in text
    assert SCORES[task][0] in project.run("dvc", "metrics", "show").stdout


@pytest.mark.parametrize(
    "chosen", [" and ".join(f"not {task}" for task in BY_NIGHT), pytest.param("", marks=pytest.mark.nightly)]
)
def test_the_projects_own_tests(bake, environment, chosen: str) -> None:
    """In a project of each task; those that train in one alone, since all tasks are in each project."""
    project = bake(environment, project="own-tests", task="classification")
    done = project.run("make", "test", env={"PYTEST_ADDOPTS": f"-k '{chosen}'"} if chosen else None)
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) <= 80, done.stdout[-500:]
    if not chosen:
        other = bake(environment, project="own-config-tests", task="detection")
        other.run("python", "-m", "pytest", "-m", "not slow")


@pytest.mark.xdist_group("detection")
def test_overrides_without_dvc(baseline) -> None:
    """The commands of a person who does not want DVC now."""
    project = baseline("detection")
    settings = ("model=yolo11t", "training.max_epochs=1", "task=detection")
    done = project.run("python", "src/train.py", *settings)
    assert "epoch 1/1" in done.stdout
    assert not project.run("git", "status", "--short", "params.yaml").stdout
    project.run("dvc", "checkout", "--force")


WORKER = """
import time
from pathlib import Path
from lab.execution.dvc.backend import DvcBackend
backend = DvcBackend(Path.cwd())
backend.start(1)
while any(run.status in ("queued", "running") for run in backend.pending()):
    time.sleep(1)
"""
OF_THE_MOMENT = ("metrics/infer_speed.json", "effective/")  # times


@pytest.mark.nightly
@pytest.mark.parametrize("task", TASKS)
def test_our_workers_make_the_same_bits(task: str, baseline: Callable[[str], BakedProject], tmp_path: Path) -> None:
    """Three seeds: the first is learned from, the others are forked. In two copies, so that no run cache helps."""
    locks = {}
    for whose in ("lab", "dvc"):
        project = BakedProject(shutil.copytree(baseline(task).path, tmp_path / whose, symlinks=True))
        for seed in (7, 8, 9):
            settings = ["-S", f"seed={seed}", "-S", "training.max_epochs=1"]
            project.run("dvc", "exp", "run", "--queue", "--name", f"seed-{seed}", *settings, "infer")
        if whose == "lab":
            project.run("python", "-c", WORKER, env={"PYTHONPATH": "src"})
        else:
            project.run("dvc", "queue", "start")
            waiting = ("Queued", "Running")
            while any(word in project.run("dvc", "queue", "status").stdout for word in waiting):
                time.sleep(5)
        for seed in (7, 8, 9):
            refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
            (ref,) = [ref for ref in refs if ref.endswith(f"/seed-{seed}")]
            stages = yaml.safe_load(project.run("git", "show", f"{ref}:dvc.lock").stdout)["stages"]
            outs = [out for stage in ("train", "infer") for out in stages[stage]["outs"]]
            same = {out["path"]: out["md5"] for out in outs if not out["path"].startswith(OF_THE_MOMENT)}
            locks[whose, seed] = same
    for seed in (7, 8, 9):
        assert locks["lab", seed] == locks["dvc", seed]
        assert "models/model.pt" in locks["lab", seed]


@pytest.mark.slow
def test_data_under_dvc_goes_to_the_remote_and_to_clones(bake, environment):
    project = bake(environment, project="tracked")
    folder = project.path / "datasets" / "own"
    folder.mkdir(parents=True)
    (folder / "one.txt").write_text("one")
    assert project.run("git", "status", "--porcelain").stdout == "", "dvc exp run would put it into git"
    project.run("dvc", "add", "-q", "datasets/own")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "data")
    assert "No changes" in project.run("dvc", "data", "status").stdout
    assert "2 files pushed" in project.run("dvc", "push").stdout
