"""Training, as a person runs it: reproducible, resumable, and clear when it can't be done."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from workspace import SMALL, Workspace, load

Get = Callable[[str], Workspace]

ONE_TASK = ["classification", pytest.param("detection", marks=pytest.mark.nightly)]  # what both do by the same code


@pytest.mark.slow
def test_same_config_and_seed_give_the_same_bytes_and_nothing_else(
    trained: Get, prepared: Get, task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engines would start runs of their own in MLflow, W&B and DVC, which all wait for them here."""
    again, home, store = prepared(task).copy(tmp_path / "again"), tmp_path / "home", tmp_path / "mlflow.db"
    home.mkdir()
    (again.root / ".dvc").mkdir()
    (again.root / ".dvc" / "config").touch()
    user = ["-c", "user.name=me", "-c", "user.email=me@localhost"]
    for command in (["init"], ["add", "dvc.yaml", "params.yaml"], [*user, "commit", "--message=project"]):
        subprocess.run(["git", *command], cwd=again.root, check=True, stdout=subprocess.DEVNULL)
    for name, value in {"HOME": home, "MLFLOW_TRACKING_URI": f"sqlite:///{store}", "WANDB_MODE": "offline"}.items():
        monkeypatch.setenv(name, str(value))
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    before = content(again.root)
    again.run_anew("train", *SMALL[task])

    first, second = trained(task).files(), again.files()
    outputs = [name for name in first if name.startswith(("models/", "metrics/"))]
    assert "models/model.pt" in outputs
    assert {name: first[name] for name in outputs} == {name: second[name] for name in outputs}

    after = content(again.root)
    assert before.items() <= after.items(), "dvc.yaml and all else is as it was"
    new = after.keys() - before.keys()
    assert {path.parts[0] for path in new} <= {".cache", ".dvc", "dvclive", "effective", "metrics", "models"}
    assert not {part for path in new for part in path.parts} & {"mlruns", "mlflow.db", "wandb", "lightning_logs"}
    assert not store.exists()
    assert list(home.iterdir()) == []


def content(root: Path) -> dict[Path, bytes]:
    """Every file but git's own and compiled code."""
    paths = (path for path in root.rglob("*") if path.is_file())
    found = {path.relative_to(root): path for path in paths if not {".git", "__pycache__"} & set(path.parts)}
    return {name: path.read_bytes() for name, path in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", pytest.param("classification", marks=pytest.mark.nightly)])
def test_another_seed_gives_another_model(trained: Get, prepared: Get, task: str, tmp_path: Path) -> None:
    other = prepared(task).copy(tmp_path / "other")
    other.run("train", *SMALL[task], "seed=1")
    assert other.files()["models/model.pt"] != trained(task).files()["models/model.pt"]


@pytest.mark.slow
@pytest.mark.parametrize("task", ONE_TASK)
def test_a_killed_training_goes_on_to_the_same_model(trained: Get, prepared: Get, task: str, tmp_path: Path) -> None:
    killed = prepared(task).copy(tmp_path / "killed")
    shutil.rmtree(killed.root / ".cache" / "train", ignore_errors=True)  # of trainings that others had refused
    process = begun(killed, task)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed.root / "models").exists()

    resumed = killed.run("train", *SMALL[task])
    assert "Resuming after epoch 1 of 2" in resumed.stdout
    for name in ("models/model.pt", "metrics/train.json"):
        assert killed.files()[name] == trained(task).files()[name]
    rows = next((killed.root / "dvclive" / "plots").rglob("lr.tsv")).read_text().splitlines()
    assert len(rows) == 1 + 2, "one row an epoch, those before the kill included"
    assert not list(killed.root.glob(".cache/train/*/")), "the state is gone when training has finished"


def begun(space: Workspace, task: str) -> subprocess.Popen[bytes]:
    """A training that has come to the end of its first epoch."""
    process = subprocess.Popen(
        space.command("train", *SMALL[task]),
        cwd=space.root,
        env=space.environment(),
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while (
        not list(space.root.glob(".cache/train/*/state.*t")) and process.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("task", ONE_TASK)
def test_a_training_that_is_asked_to_end_does_not_say_that_it_is_done(prepared: Get, task: str, tmp_path: Path) -> None:
    """Lightning takes the signal, and its exit code is 0."""
    space = prepared(task).copy(tmp_path / "ended")
    process = begun(space, task)
    process.terminate()
    assert process.wait() in (-signal.SIGTERM, 128 + signal.SIGTERM)
    assert not (space.root / "models").exists()


@pytest.mark.slow
@pytest.mark.parametrize("task", ONE_TASK)
def test_a_training_that_was_stopped_early_goes_on_to_the_same_model(
    trained: Get, prepared: Get, task: str, tmp_path: Path
) -> None:
    space = prepared(task).copy(tmp_path / "stopped")
    space.run("train", *SMALL[task], "training.stop_after=1")
    metrics = json.loads(space.files()["metrics/train.json"])
    assert metrics["epochs"] == 1
    again = space.run("train", *SMALL[task], "training.stop_after=1")
    assert json.loads(space.files()["metrics/train.json"]) == metrics and "Resuming" not in again.stdout
    assert "Resuming after epoch 1 of 2" in space.run("train", *SMALL[task]).stdout
    for name in ("models/model.pt", "metrics/train.json"):
        assert space.files()[name] == trained(task).files()[name]
    assert curves(space) == curves(trained(task)), "of every epoch: nodes train rungs from the start"


def curves(space: Workspace) -> dict[str, str]:
    """The metrics of each epoch, by file."""
    folder = space.root / "dvclive" / "plots"
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.tsv")}


def test_who_follows_a_training_learns_when_its_first_epoch_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch_log = load("training.epoch_log")
    monkeypatch.chdir(tmp_path)
    for name, value in {"DVC_ROOT": tmp_path, "DVC_EXP_NAME": "run", "DVC_EXP_BASELINE_REV": "b" * 40}.items():
        monkeypatch.setenv(name, str(value))
    started = epoch_log.datetime.now(epoch_log.UTC)
    epoch_log.begin(started)
    log = epoch_log.EpochLog(epochs=1, batches=1)
    log.epoch({"train/loss": 0.5})
    log.close()
    [file] = (tmp_path / ".cache" / "epochs").iterdir()
    first, began, row = map(json.loads, file.read_text().splitlines())
    assert list(first) == ["started"] and list(began) == ["began"] and row["epoch"] == 0
    assert first["started"] <= began["began"] <= row["ended"]


def test_nodes_may_share_what_is_left_of_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = load("stages.train")
    monkeypatch.setattr(train, "fingerprint", lambda cfg, prepared: "this training")
    monkeypatch.setenv("LAB_CHECKPOINTS", str(tmp_path))
    cfg = OmegaConf.create({"training": {"stop_after": None}})
    with train.workspace(cfg, None) as work:
        assert work == tmp_path / "this training"
    assert not work.exists()


def test_a_longer_training_goes_on_from_a_shorter_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = load("stages.train")
    monkeypatch.setattr(train, "fingerprint", lambda cfg, prepared: "this")
    monkeypatch.setenv("LAB_CHECKPOINTS", str(tmp_path))
    left = []
    for stop in (2, 1, 4, None):
        with train.workspace(OmegaConf.create({"training": {"stop_after": stop}}), None) as work:
            left.append((work / "state").read_text() if (work / "state").exists() else "")
            (work / "state").write_text(f"after {stop}")
    assert left == ["", "", "after 2", "after 4"], "none from a longer one"
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.slow
def test_checkpoints_are_named_by_epoch_and_metric(trained: Get, task: str) -> None:
    names = sorted(path.name for path in (trained(task).root / "models" / "checkpoints").iterdir())
    metrics = json.loads((trained(task).root / "metrics" / "train.json").read_text())
    metric, suffix = {"detection": ("mAP50_95", "pt"), "classification": ("f1_macro", "ckpt")}[task]
    assert f"epoch={metrics['best_epoch']:02d}-val_{metric}={metrics[f'val_{metric}']:.3f}.{suffix}" in names
    assert any(name.startswith("epoch=02") for name in names), "the last epoch"


def test_a_short_trainings_average_follows_it() -> None:
    average, weights = [torch.zeros(2)], [torch.ones(2)]
    for updates in range(1, 21):
        load("engines.lightning.module").moving_average(average, weights, torch.tensor(updates))
    assert 0.99 < average[0].min() < 1


@pytest.mark.slow
@pytest.mark.nightly
def test_every_option_takes_effect(prepared: Get, task: str, tmp_path: Path) -> None:
    """Whatever is set, another model comes out: an option that changes nothing would make a comparison a fake."""
    average = f"training.ema={'false' if task == 'detection' else 'true'}"
    policies = [f"augmentation={name}" for name in ("none", "default", "cutout", "randaugment", "mixup", "full")]
    options = [
        "seed=0",  # the plain one
        "training.optimizer=sgd",
        "training.optimizer=adam",
        "training.accumulate_grad_batches=2",
        "training.weight_decay=0.1",
        "training.warmup_epochs=0.5",
        "data.batch_size=4" if task == "detection" else "data.batch_size=16",
        "data.image_size=96" if task == "detection" else "data.image_size=32",
        average,
        *(["training.label_smoothing=0.2"] if task == "classification" else []),
        *policies,
    ]
    space = prepared(task).copy(tmp_path / "space")
    if task == "detection":  # a fifth of the scenes
        space.run("prepare", "task=detection", "data.source.scenes={train:64,val:16,test:16}")
    models = dict(zip(options, space.run_each("train", *([*SMALL[task], option] for option in options)), strict=True))
    plain = models.pop("seed=0")
    default = {"detection": "augmentation=default", "classification": "augmentation=none"}[task]
    assert models.pop(default) == plain
    assert plain not in models.values(), [option for option, model in models.items() if model == plain]
    assert len(set(models.values())) == len(models)


@pytest.mark.slow
def test_patience_stops_early(trained: Get, task: str, tmp_path: Path) -> None:
    """From a trained model, and without learning, nothing gets better."""
    space = trained(task).copy(tmp_path / "space")
    (space.root / "models" / "model.pt").rename(space.root / "start.pt")
    still = ["model.weights=start.pt", "lr=1e-12", "training.warmup_epochs=0", "augmentation=none"]
    space.run("train", *SMALL[task], *still, "training.max_epochs=15", "training.patience=1")
    assert json.loads((space.root / "metrics" / "train.json").read_text())["epochs"] < 15


@pytest.mark.slow
def test_weights_of_another_run_can_be_taken(trained: Get, task: str, tmp_path: Path) -> None:
    space = trained(task).copy(tmp_path / "space")
    weights = next((space.root / "models" / "checkpoints").iterdir())
    (space.root / "start.pt").write_bytes(weights.read_bytes())
    space.run("train", *SMALL[task], "model.weights=start.pt", "training.max_epochs=1", "lr=1e-9", "training.ema=false")
    before = json.loads((trained(task).root / "metrics" / "train.json").read_text())
    after = json.loads((space.root / "metrics" / "train.json").read_text())
    used = yaml.safe_load(space.files()["effective/train.yaml"])[0]["used"]
    assert used["weights"] == {"file": "start.pt", "md5": md5((space.root / "start.pt").read_bytes()).hexdigest()}
    metric = {"detection": "val_mAP50", "classification": "val_accuracy"}[task]
    assert after[metric] >= before[metric] - 0.1, "one epoch without learning keeps about what was there"


@pytest.mark.slow
def test_weights_that_do_not_fit(trained: Get, task: str, tmp_path: Path) -> None:
    space = trained(task).copy(tmp_path / "space")
    (space.root / "models" / "model.pt").rename(space.root / "start.pt")
    other = {
        "detection": "model.architecture.scales.t=[0.5,0.25,1024]",
        "classification": "model.architecture=test_efficientnet_gn",
    }[task]
    options = [*SMALL[task], other, "model.weights=start.pt"]
    message = space.message("train", *options)
    assert "start.pt does not fit the model" in message and "model.strict=false" in message
    loaded = space.run("train", *options, "model.strict=false", "training.max_epochs=1")
    assert "weights from start.pt" in loaded.stdout
    listed = {int(n): names.split() for n, names in re.findall(r"(\d+) [a-z ]+:\n((?:    \S+\n)+)", loaded.stdout)}
    assert listed and max(listed) > 3 and all(len(names) == n for n, names in listed.items()), "all of them"

    (space.root / "start.pt").write_bytes(b"no model")
    assert "damaged" in space.message("train", *options)
    (space.root / "start.pt").unlink()
    assert "no such file" in space.message("train", *options)


@pytest.mark.slow
def test_refusals(prepared: Get, task: str, tmp_path: Path) -> None:
    space = prepared(task).copy(tmp_path / "space")
    small = SMALL[task]
    other = {"detection": "classification", "classification": "detection"}[task]
    architecture = {"detection": "yolo11q.yaml", "classification": "efficientnet_bo"}[task]
    assert architecture in space.message("train", *small, f"model.architecture={architecture}")
    assert "torch finds no GPU" in space.message("train", *small, "training.devices=cuda")
    assert "training.precision=bf16-mixed needs a GPU" in space.message(
        "train", *small, "training.precision=bf16-mixed"
    )
    assert "training.devices=fast" in space.message("train", *small, "training.devices=fast")
    assert "No site 'C'" in space.message("train", *small, "data.site=C")
    assert f"task={other}" in space.message("train", f"task={other}")
    assert "Did you mean 'adam'" in space.message("train", *small, "training.optimizer=adamv")
    assert "training.learning_rate" in space.message("train", *small, "training.learning_rate=1")
    assert "yolo12z" in space.message("train", "model=yolo12z")
    assert "data.batch_size=0" in space.message("train", *small, "data.batch_size=0")
    if task == "detection":
        assert "multiples of 32, such as 64" in space.message("train", *small, "data.image_size=48")


def test_nothing_prepared(fresh: Workspace) -> None:
    assert "No prepared data" in fresh.message("train", "lr=0.1")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detection", pytest.param("classification", marks=pytest.mark.nightly)])
def test_ultralytics_is_needed_by_its_own_models_alone(prepared: Get, task: str, tmp_path: Path) -> None:
    """Its licence is not everybody's: every stage runs where importing it fails."""
    space = prepared(task).copy(tmp_path / "space")
    (space.root / "src" / "ultralytics.py").write_text("raise ImportError('not here')")
    without = {"detection": ["model=fcos18", "data.source.scenes={train: 40, val: 16, test: 16}"]}
    overrides = [*SMALL[task], *without.get(task, []), "training.max_epochs=1", "quant=openvino_fp32"]
    stages = ("prepare", "train", "infer", "quant")
    done = space.run_all_anew(stages, overrides)
    assert [line for line in done.stdout.splitlines() if line.startswith("done ")] == [f"done {s}" for s in stages]
