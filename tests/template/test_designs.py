"""Every shipped design, run end to end by `lab run`.

Those of two tasks as they are shipped, to their verdicts; those of the others, and those that say that the embedded
data leave them undecided, smaller than shipped, but the same questions and the same code.
"""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TEMPLATE, BakedProject

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
SHIPPED = sorted(path.stem for path in (TEMPLATE / "<<cookiecutter.project>>" / "designs").glob("*.yaml"))
AS_SHIPPED = ("classification", "detection")
UNDECIDED = "# Undecided on the embedded "  # how such a file says it; tests/lab/test_design_files.py holds it to more
DECIDED = {"SUPPORTED", "REFUTED", "EQUIVALENT"}
SMALL = {
    "detection": {
        "model": "yolo11t",
        "data.source.scenes": "{train: 48, val: 16, test: 16}",
        "data.batch_size": 16,
        "data.image_size": 64,
    },
    "classification": {
        "data.source.fractions.val": "0.1",
        "data.source.fractions.test": "0.6",
        "data.batch_size": 64,
        "data.image_size": 32,
    },
    "segmentation": {
        "model": "yolo11t_seg",
        "data.source.scenes": "{train: 48, val: 16, test: 16}",
        "data.batch_size": 16,
        "data.image_size": 64,
    },
    "multilabel": {
        "data.source.scenes": "{train: 96, val: 32, test: 32}",
        "data.batch_size": 32,
        "data.image_size": 32,
    },
}
WITHOUT = {"model": "fcos18"}  # Ultralytics
QUICK = {
    "training.max_epochs": 1,
    "training.warmup_epochs": 0.5,
    "infer.latency.repeats": 3,
    "infer.latency.rounds": 1,
    "quant.repeats": 3,
    "quant.rounds": 1,
}
SIZES = {224: 32, 384: 64, 512: 96, 640: 128}


def shrink(path: Path, small_ones: dict[str, Any]) -> None:
    """The design with one seed, little data and one epoch, but for what it sets or varies itself."""
    design = yaml.safe_load(path.read_text())
    design["base"] = [
        each for each in design.get("base", []) if each.split("=")[0].rpartition(".")[0] not in small_ones
    ]
    own = yaml.safe_dump({key: design.get(key) for key in ("base", "sweep", "comparison", "ablation")})
    small = [
        f"{key}={value}" for key, value in (small_ones | QUICK).items() if key not in own.replace("infer.model", "")
    ]
    if "ablation" in design:  # with one epoch there is no warm-up to take away, as the verdict would say: INVALID
        small = [each.replace("max_epochs=1", "max_epochs=2") for each in small]
    design["base"] = [*small, *design["base"]]
    design["seeds"] = [0]
    if design.get("sweep", {}).get("strategy", "grid") != "grid":
        design["sweep"]["max_runs"] = 2
    if design.get("comparison", {}).get("variable") == "data.image_size":
        comparison = design["comparison"]
        comparison["values"] = [SIZES[size] for size in comparison["values"]]
        for place in (comparison, design["hypothesis"]):
            place |= {key: SIZES[place[key]] for key in ("arm", "versus") if key in place}
    path.write_text(yaml.safe_dump(design, sort_keys=False))


def order(name: str) -> tuple[bool, bool, str]:
    """The baseline first, which sweeps ask for; those that compare other designs' models last."""
    return "ab_benchmark" in name or "ensemble" in name, "baseline" not in name, name


def questions(task: str) -> list[str]:
    """The names of a task's designs, in the order to run them."""
    return sorted((name for name in SHIPPED if name.startswith(task)), key=order)


def commit_without_mirror(project: BakedProject) -> None:
    """Commits the designs as they are now; whoever looks at MLflow mirrors them once, at the end."""
    tracking = project.path / "conf" / "tracking.yaml"
    tracking.write_text(tracking.read_text().replace("backends: [mlflow]", "backends: []"))
    project.run("git", "commit", "--all", "--quiet", "--message", "designs of a test")


def outcome(project: BakedProject, name: str, at_a_time: str) -> str:
    """Runs a design to its end, and what its verdict is."""
    lab = ("python", "src/lab.py")
    done = project.run(*lab, "run", name, "-j", at_a_time, check=False)
    assert done.returncode == 0, f"{name}: {done.stdout[-5000:]}{done.stderr[-3000:]}"
    found = json.loads(project.run(*lab, "results", name, "--json").stdout)
    assert {run["status"] for run in found["runs"]} == {"finished"}, name
    return found["answer"]["outcome"]


@pytest.mark.parametrize("task", AS_SHIPPED)
def test_shipped_designs_decide(task: str, bake, environment) -> None:
    """On the embedded data, at their own settings, unless they say why not; that they run is shown of these, too."""
    project = bake(environment, project=f"{task}-questions", task=task)
    texts = {name: project.read(f"designs/{name}.yaml") for name in questions(task)}
    undecided = [name for name, text in texts.items() if UNDECIDED in text]
    for name in undecided:
        shrink(project.path / "designs" / f"{name}.yaml", SMALL[task])
    commit_without_mirror(project)
    found = {
        name: outcome(project, name, "2" if "-j 2" in text.splitlines()[0] else "1") for name, text in texts.items()
    }
    wrong = {name: each for name, each in found.items() if name not in undecided and each not in DECIDED}
    assert not wrong, found


@pytest.fixture(
    scope="module", params=[*(task for task in SMALL if task not in AS_SHIPPED), "detection without Ultralytics"]
)
def studies(request, bake, environment) -> tuple[BakedProject, list[str]]:
    """A project whose designs of one task are shrunk and committed, and their names in the order to run them."""
    task, *without = request.param.split(" ", 1)
    project = bake(environment, project=f"{task}-studies", task=task, ultralytics="no" if without else "yes")
    names = questions(task)
    for name in names:
        shrink(project.path / "designs" / f"{name}.yaml", SMALL[task] | (WITHOUT if without else {}))
    commit_without_mirror(project)
    return project, names


def test_every_shipped_design_runs(studies) -> None:
    project, names = studies
    for name in names:
        outcome(project, name, "2")
    check_results(project, names)


def check_results(project: BakedProject, names: list[str]) -> None:
    """Every design has its verdict and its figures in MLflow, once; and one of them a report and a branch."""
    tracking = project.path / "conf" / "tracking.yaml"
    tracking.write_text(tracking.read_text().replace("backends: []", "backends: [mlflow]"))
    assert "0 brought up to date" in project.run("python", "src/lab.py", "mirror", "--all").stdout
    with sqlite3.connect(project.path / "mlflow.db") as store:
        verdicts = dict(
            store.execute(
                "SELECT design.value, verdict.value FROM tags design JOIN tags verdict USING (run_uuid)"
                " WHERE design.key = 'design.id' AND verdict.key = 'verdict'"
            )
        )
        mirrored = [name for (name,) in store.execute("SELECT value FROM tags WHERE key = 'dvc.exp.name'")]
        runs = store.execute("SELECT count(*) FROM runs").fetchone()
        ours = store.execute("SELECT count(*) FROM tags WHERE key = 'mlflow.mirror.sent'").fetchone()
    assert runs == ours, "no engine has brought runs of its own"
    assert sorted(verdicts) == sorted(names)
    assert "INVALID" not in verdicts.values(), verdicts
    refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps/*/*/*").stdout.split()
    assert set(mirrored) == {ref.rpartition("/")[2] for ref in refs}
    assert "0 runs new, 0 brought up to date" in project.run("python", "src/lab.py", "mirror", "--all").stdout

    lab = ("python", "src/lab.py")
    named = {kind: next(name for name in names if kind in name) for kind in ("lr_sweep", "quantization")}
    told = project.run(*lab, "report", named["lr_sweep"]).stdout
    assert "UNDERPOWERED" in told, "one seed"
    # Importance is drawn where something was learnt in an epoch.
    assert {"response", "parallel"} <= {path.stem for path in (project.path / "docs" / "04-report").rglob("*.png")}
    assert "exp/" in project.run(*lab, "review", named["lr_sweep"], "--best").stdout
    check_review(project, named["quantization"])
    check_champion(project, named["quantization"])


def check_review(project: BakedProject, name: str) -> None:
    """A verdict that rests on test images is recomputed from git alone, in a clone that reaches no DVC remote."""
    lab = ("python", "src/lab.py")
    project.run(*lab, "review", name, "--best")
    clone = BakedProject(project.path.parent / "clone")
    project.run("git", "clone", "--quiet", "--branch", f"exp/{name}", str(project.path), str(clone.path))
    (clone.path / ".venv").symlink_to((project.path / ".venv").resolve())
    assert "every number of the report agrees" in clone.run(*lab, "review", "--check").stdout
    (said,) = (clone.path / "docs" / "04-report").glob(f"*_{name}/predictions/*int8*.parquet")
    other = next(path for path in said.parent.iterdir() if path.name != said.name)
    said.write_bytes(other.read_bytes())
    clone.run("git", "-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "--all", "-m", "forged")
    forged = clone.run(*lab, "review", "--check", check=False)
    assert forged.returncode == 1 and f"{said.name} is not what" in forged.stderr, forged.stderr


def check_champion(project: BakedProject, name: str) -> None:
    """A real model is refused with one seed, and promoted against that objection with all its files."""
    lab = ("python", "src/lab.py")
    refused = project.run(*lab, "promote", name, check=False)
    assert refused.returncode == 2 and "a lucky seed can't be told" in refused.stderr, refused.stderr
    project.run(*lab, "promote", name, "--force", "a test")
    champion = project.path / "models" / "champion"
    files = {path.relative_to(champion).as_posix() for path in champion.rglob("*") if path.is_file()}
    weights = "champion.pt" if name.startswith(("detection", "segmentation")) else "champion.ckpt"
    assert {"champion.yaml", "champion.dvc", f"checkpoints/{weights}"} <= files
    assert any(file.startswith("openvino/") and file.endswith(".bin") for file in files)
    said = yaml.safe_load((champion / "champion.yaml").read_text())
    assert said["forced"]["reason"] == "a test"

    shipped = yaml.safe_load(project.read(f"designs/{name}.yaml"))
    design = {
        "kind": "single",
        "type": "infer",
        "task": shipped["task"],
        "title": "Is the champion as good as when it was promoted?",
        "hypothesis": {"claim": "It is", "metric": "infer.images", "expected": 1},
        "base": [*shipped["base"], "infer.model=champion"],
        "seeds": [0],
    }
    (project.path / "designs" / "champion.yaml").write_text(yaml.safe_dump(design))
    project.run("git", "add", "designs", "conf")
    project.run("git", "commit", "--quiet", "--message", "the champion once more")
    project.run(*lab, "run", "champion")
    (run,) = json.loads(project.run(*lab, "plan", "champion", "--json").stdout)["runs"]
    assert run["state"] == "finished" and run["params"]["infer"]["model"] == said["revision"], run
