"""The config as stages see it."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from workspace import PROJECT, Workspace, load

config = load("shared.config")
errors = load("shared.errors")
settings = load("shared.settings")


@pytest.fixture(autouse=True)
def in_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)


def options() -> list[str]:
    """Every file of every config group, as an override."""
    files = sorted(path for path in (PROJECT / "conf").glob("*/*.yaml") if not path.stem.startswith("_"))
    tasks = {"data": "data", "model": "model"}
    found = []
    for path in files:
        content = yaml.safe_load(path.read_text())
        own = path.parent.name in tasks and content["task"] != "${task}"  # what is for any task takes the project's
        task = f"task={content['task']} " if own else ""
        found.append(f"{task}{path.parent.name}={path.stem}")
    return found


@pytest.mark.parametrize("overrides", options())
def test_every_config_file_composes(overrides: str) -> None:
    assert not config.mistakes(OmegaConf.to_container(config.compose(overrides.split())))


def test_every_config_file_opens_with_its_command() -> None:
    for path in (PROJECT / "conf").rglob("*.yaml"):
        if not path.stem.startswith("_"):
            lines = path.read_text().splitlines()[:3]
            assert any("dvc exp run" in line or "lab " in line for line in lines if line.startswith("#")), path


def test_params_is_what_dvc_would_compose() -> None:
    committed = subprocess.run(["git", "show", "HEAD:./params.yaml"], cwd=PROJECT, capture_output=True, text=True)
    if committed.returncode:
        pytest.skip("not in a git repository")
    composed = config.compose([])
    assert yaml.safe_load(committed.stdout).keys() == composed.keys()


def test_the_learning_rate_reaches_training() -> None:
    assert config.compose(["lr=0.01"]).training.lr == 0.01
    assert config.compose(["model=yolo11t", "task=detection"]).training.lr == 0.006, "the model's own recipe"


def test_the_site_that_is_trained_on_is_the_one_that_is_tested_on_unless_said() -> None:
    assert config.compose(["data.site=B"]).infer.site == "B"
    assert config.compose(["data.site=B", "infer.site=A"]).infer.site == "A"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["lrr=1"], "lrr=1: lrr is neither a key nor a group of conf/. Did you mean 'lr'?"),
        (
            ["recipe.weight_decay=1", "mdoel=tiny"],
            "Did you mean 'training.weight_decay'?\nmdoel=tiny: mdoel is neither",
        ),
        (["training.devices=[0,1]", "training.devices.0=3", "~lrr"], "'lrr' does not exist"),
        (["quant=openvno_fp32"], "quant=openvno_fp32: conf/quant/ has onnx_fp32, openvino_fp16, "),
        (["lr=["], "lr=["),
        (["task=classification", "model=yolo11n"], "model=yolo11n is for detection, but task is classification"),
        (["data.source.kind=yollo"], "Did you mean 'yolo'?"),
        (
            ["task=detection", "model.engine=lightening"],
            "model.engine=lightening: lightening is not one of torchvision, ultralytics",
        ),
        (["training.optimizer=adamx"], "Did you mean 'adam'"),
        (["training.precision=8"], "32, 16-mixed, bf16-mixed"),
        (["infer.voting=loud"], "hard, soft, rank"),
        (["training.max_epochs=0"], "training.max_epochs=0: 0: expected a whole number from 1"),
        (["data.image_size=big"], "data.image_size=big: 'big': expected a whole number"),
    ],
)
def test_bad_values_are_named(overrides: list[str], words: str) -> None:
    with pytest.raises(errors.UserError, match=".") as caught:
        config.load(overrides)
    assert words in str(caught.value)


def test_without_params_or_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for overrides in ([], ["lr=1"]):
        with pytest.raises(errors.UserError, match="project's root"):
            config.load(overrides)


def test_a_stage_reads_params_without_overrides(fresh: Workspace) -> None:
    params = fresh.root / "params.yaml"
    params.write_text(params.read_text().replace("kind: ", "kind: no_"))
    assert "no_digits" in fresh.message("prepare")


def test_a_key_that_nothing_reads_is_refused_where_it_was_added(
    fresh: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hydra's advice for a key that isn't there is to add it."""
    problem = "no file of conf/ has it, and no stage reads it. Did you mean 'training.weight_decay'?"
    with pytest.raises(errors.UserError) as caught:
        config.load(["+weight_decay=0.1"])
    assert str(caught.value) == f"+weight_decay=0.1: {problem}"
    monkeypatch.chdir(fresh.root)
    params = Path("params.yaml")
    params.write_text(f"weight_decay: 0.1\n{params.read_text()}")
    with pytest.raises(errors.UserError) as caught:
        config.load([])
    assert str(caught.value) == f"params.yaml, line 1: weight_decay: {problem}"


def test_a_key_that_a_file_of_conf_has_may_be_anything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It has no type until conf/schema.json gives it one."""
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    monkeypatch.setattr(settings, "SCHEMA", tmp_path / "conf" / "schema.json")
    with (tmp_path / "conf" / "model" / "tiny.yaml").open("a") as file:
        file.write("own: {depth: 3}\n")
    composed = OmegaConf.to_container(config.compose(["task=classification"]))
    assert not config.mistakes({**composed, "model": {**composed["model"], "own": {"depth": 4}}})
    assert config.mistakes({**composed, "own": {"depth": 4}})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "config.yaml").write_text("defaults: [{model: nope}]")
    with pytest.raises(errors.UserError, match="cannot compose conf/: .*model/nope"):
        config.load(["lrr=1"])


def test_nearest_names_come_in_the_same_order_whatever_the_names_come_in() -> None:
    for names in (["a_sweep", "b_sweep"], ["b_sweep", "a_sweep"]):
        assert errors.nearest("sweep", names) == " Did you mean 'a_sweep' or 'b_sweep'?"


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "${now:%Y}", "${oc.${lr}:HOME}", "${oc.select:${oc.env:HOME}}"])
def test_nothing_of_the_machine_gets_in(text: str, fresh: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.UserError, match="reads more than the config"):
        config.load([f"model.name='{text}'"])
    monkeypatch.chdir(fresh.root)
    params = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(params | {"note": text}))
    with pytest.raises(errors.UserError, match="reads more than the config"):
        config.load([])
