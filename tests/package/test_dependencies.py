"""What the stages depend on, to DVC, to a training that goes on, and to Python: the same, and of their own checkout."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import PACKAGE, PROJECT, SMALL, Workspace, load, make

Get = Callable[[str], Workspace]
config = load("shared.config")
dependencies = load("shared.dependencies")

EXAMPLES = [
    [],
    ["task=classification", "model=efficientnet_b0"],
    ["task=detection", "model=yolo11n", "data=yolo", "data.source.path=src"],
    ["task=classification", "data=own", "data.source.path=src"],
    ["model.weights=conf/config.yaml"],
    ["model.weights=pretrained"],
    ["infer.model=an/experiment-1"],
]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that is a repository of DVC's, and the current folder."""
    root = make(tmp_path / "project").root
    monkeypatch.chdir(root)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    subprocess.run(["git", "init", "--quiet"], check=True)
    from dvc.repo import Repo

    Repo.init(str(root)).close()
    return root


def compose(overrides: list[str]) -> bytes:
    """params.yaml as DVC writes it."""
    from dvc.utils.hydra import compose_and_dump

    compose_and_dump("params.yaml", str(Path("conf").resolve()), None, "config", "", overrides)
    return Path("params.yaml").read_bytes()


def test_params_is_to_the_byte_what_dvc_composes(repository: Path) -> None:
    assert compose([]) == (PROJECT / "params.yaml").read_bytes()


@pytest.mark.parametrize("overrides", EXAMPLES)
def test_dvc_sees_the_same_dependencies(repository: Path, overrides: list[str]) -> None:
    from dvc.repo import Repo

    compose(overrides)
    with Repo() as repo:
        stages = {
            stage.name: [dep.def_path for dep in stage.deps if dep.def_path != "params.yaml"]
            for stage in repo.index.stages
        }
    cfg = config.compose(overrides)
    for stage, paths in stages.items():
        ours = [path.as_posix() for path in dependencies.paths(stage, cfg)]
        assert ours == paths


def test_a_new_champion_makes_what_measured_the_last_one_stale(repository: Path) -> None:
    watched = Path("models/champion/champion.yaml")
    assert watched in dependencies.paths("infer", config.compose(["infer.model=champion"]))
    assert watched not in dependencies.paths("infer", config.compose([]))


@pytest.mark.parametrize("overrides", EXAMPLES)
def test_every_dependency_is_there(repository: Path, overrides: list[str]) -> None:
    """But for what other stages make."""
    made = {Path("data/prepared"), Path("models/model.pt")}
    for stage in dependencies.stages():
        paths = dependencies.paths(stage, config.compose(overrides))
        assert [path for path in paths if not path.exists() and path not in made] == []


@pytest.mark.slow
def test_an_overwritten_weights_file_makes_the_training_stale(
    trained: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trained("classification").copy(tmp_path / "project").root
    monkeypatch.chdir(root)
    subprocess.run(["git", "init", "--quiet"], check=True)
    from dvc.repo import Repo

    Path("start-1.0.pt").write_bytes(b"weights")
    compose(["task=classification", "model=tiny", "model.weights=start-1.0.pt"])
    with Repo.init(str(root)) as repo:
        repo.commit("train", force=True)
        assert "train" not in repo.status(["train"])
        Path("start-1.0.pt").write_bytes(b"other weights")
        assert repo.status(["train"])["train"] == [{"changed deps": {"start-1.0.pt": "modified"}}]


@pytest.mark.slow
def test_a_training_goes_on_only_with_the_same_code_and_weights(
    prepared: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = prepared("classification").copy(tmp_path / "project").root
    monkeypatch.chdir(root)
    Path("start.pt").write_bytes(b"weights")
    cfg = config.compose([*SMALL["classification"], "model.weights=start.pt"])

    def fingerprint() -> str:
        return load("stages.train").fingerprint(cfg, load("shared.prepared").Prepared())

    first, package = fingerprint(), Path("src") / PACKAGE
    for file in ("inference/latency.py", "engines/ultralytics/images.py", "tasks/detection/networks/ultralytics.py"):
        changed(package / file)
        assert fingerprint() == first, f"{file} has no part in it"
    for path in (
        package / "engines/lightning/module.py",
        package / "shared/prepared.py",
        package / "tasks/classification/training/lightning.py",
        Path("src/train.py"),
        Path("start.pt"),
    ):
        changed(path)
        assert fingerprint() != first, path
        first = fingerprint()


def changed(path: Path) -> None:
    """Another byte."""
    path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize("stage", ["prepare", "train", "infer", "quant"])
def test_a_stage_imports_the_package_of_its_own_checkout(tmp_path: Path, stage: str) -> None:
    """Even where the environment knows the main project, by a .pth file of an installed one, or by PYTHONPATH."""
    main, checkout = make(tmp_path / "main").root, make(tmp_path / "checkout")
    broken = main / "src" / PACKAGE / "__init__.py"
    broken.write_text("raise SystemExit('the package of the main project')")
    site = tmp_path / "site"
    site.mkdir()
    (site / "main.pth").write_text(f"{main / 'src'}\n")
    (tmp_path / "sitecustomize.py").write_text(f"import site; site.addsitedir({str(site)!r})")
    search = [sys.executable, "-c", "import sys; print(sys.path)"]
    known = subprocess.run(search, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert str(main / "src") in known.stdout, "the .pth file counts"
    for path in (tmp_path, main / "src"):
        done = subprocess.run(
            checkout.command(stage, "data.source.kind=nowhere"),
            cwd=checkout.root,
            env=checkout.environment() | {"PYTHONPATH": str(path)},
            capture_output=True,
            text=True,
        )
        assert done.stderr.startswith(f"{stage}: data.source.kind=nowhere: nowhere is not one of "), done.stderr
