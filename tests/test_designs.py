"""Every shipped design, run end to end by `lab run`: smaller than shipped, but the same questions and the same code."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import TEMPLATE, BakedProject

pytestmark = pytest.mark.slow
SHIPPED = sorted(path.stem for path in (TEMPLATE / "<<cookiecutter.project>>" / "designs").glob("*.yaml"))
SMALL = {
    "detection": ["model=yolo11t", "data.source.scenes={train: 48, val: 24, test: 24}", "data.batch_size=16"],
    "classification": ["data.image_size=32", "data.batch_size=64"],
}
QUICK = ["training.max_epochs=1", "training.warmup_epochs=0.5", "infer.latency.repeats=3", "quant.repeats=3"]


def shrink(path: Path, task: str) -> None:
    """The design with one seed, little data, one epoch and few levels."""
    design = yaml.safe_load(path.read_text())
    design["seeds"] = [0]
    design["base"] = [*SMALL[task], *QUICK, *design.get("base", [])]
    if "sweep" in design and design["sweep"].get("strategy", "grid") != "grid":
        design["sweep"]["max_runs"] = 3
    if design.get("comparison", {}).get("variable") == "data.image_size":
        text = json.dumps(design)
        for large, small in (("224", "32"), ("384", "64"), ("512", "96"), ("640", "128")):
            text = text.replace(large, small)
        design = json.loads(text)
    path.write_text(yaml.safe_dump(design, sort_keys=False))


def order(name: str) -> tuple[bool, bool, str]:
    """The baseline first, which sweeps ask for; those that compare other designs' models last."""
    return "ab_benchmark" in name or "ensemble" in name, "baseline" not in name, name


@pytest.fixture(scope="module", params=["detection", "classification"])
def studies(request, bake, environment) -> tuple[BakedProject, list[str]]:
    """A project whose designs of one task are shrunk and committed, and their names in the order to run them."""
    task = request.param
    project = bake(environment, project=f"{task}-studies", task=task)
    names = sorted((name for name in SHIPPED if name.startswith(task)), key=order)
    for name in names:
        shrink(project.path / "designs" / f"{name}.yaml", task)
    project.run("git", "commit", "--all", "--quiet", "--message", "small designs")
    return project, names


def test_every_shipped_design_runs(studies) -> None:
    project, names = studies
    lab = ("python", "src/lab.py")
    for name in names:
        design = f"designs/{name}.yaml"
        done = project.run(*lab, "run", design, "-j", "2", check=False)
        assert done.returncode == 0, f"{name}: {done.stdout[-5000:]}{done.stderr[-3000:]}"
        runs = json.loads(project.run(*lab, "plan", design, "--json").stdout)["runs"]
        assert {run["state"] for run in runs} == {"finished"}, name
