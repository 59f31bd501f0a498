"""The train stage: whatever the engine, one format of results."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from ...shared import dependencies, registry
from ...shared.environment import project_root
from ...shared.errors import UserError
from ...shared.prepared import Prepared, check_slices
from ...training import epoch_log, weights

SECTIONS = ("task", "seed", "model", "augmentation", "training")
DATA_KEYS = ("image_size", "resize", "interpolation", "batch_size", "workers", "site")


def begin(started: datetime) -> None:
    """Say when training began, before the seconds that it takes to import an engine."""
    epoch_log.begin(started)


def run(cfg: DictConfig, out: Path) -> dict[str, Any]:
    """Train, and write models/, metrics/train.json below `out`; DVCLive's files grow in place. Raises UserError."""
    prepared = Prepared()
    if prepared.task != cfg.task:
        raise UserError(f"{prepared.root} holds data for {prepared.task}, but task={cfg.task}: run prepare again")
    # What infer would refuse after the whole training. It decides nothing of the model: no params of train in dvc.yaml.
    check_slices(cfg.infer.slices, prepared.items("test", cfg.infer.site))
    training = registry.training(cfg.task, cfg.model.engine)
    steps = f" of at least {cfg.training.epoch_steps} steps" if cfg.training.epoch_steps else ""
    length = f"{cfg.training.max_epochs} epoch{'' if cfg.training.max_epochs == 1 else 's'}"
    print(
        f"training.recipe={cfg.training.recipe}: {length}{steps} from lr {cfg.training.lr:g}, "
        f"augmentation {cfg.augmentation.name}, model.weights={cfg.model.weights or 'null'}",
        flush=True,
    )
    with workspace(cfg, prepared) as work:
        trained = training.train(cfg, prepared, work)

    best, last = trained.best, trained.last
    best.save(out / "models" / "model.pt")
    short = trained.metric.rpartition("/")[2]
    for model in (best, last):  # one file where the last epoch was the best
        name = f"epoch={model.epoch:02d}-val_{short}={model.metrics[short]:.3f}{training.SUFFIX}"
        model.save(out / "models" / "checkpoints" / name)
    metrics = {f"val_{name}": value for name, value in best.metrics.items()}
    metrics |= {"best_epoch": best.epoch, "epochs": len(trained.history)}
    (out / "metrics").mkdir()
    (out / "metrics" / "train.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(
        f"best epoch {best.epoch} of {len(trained.history)}: "
        + ", ".join(f"{k} {v:.4f}" for k, v in best.metrics.items())
    )
    epochs = [{"epoch": row["epoch"], "ended": row["ended"]} for row in trained.history]
    return {"devices": trained.devices, **weights.used(cfg.model), "epochs": epochs}


@contextmanager
def workspace(cfg: DictConfig, prepared: Prepared) -> Iterator[Path]:
    """A folder for the engine's state, named by all that decides the result; removed when training has finished.

    A run that was killed finds its state there and goes on, also from another temporary copy of the repository, or on
    another node: LAB_CHECKPOINTS names a folder that nodes share. A second run of the very same training at the same
    time gets a folder of its own. What `training.stop_after` has ended keeps its state: a longer one goes on from it.
    """
    states = Path(os.environ.get("LAB_CHECKPOINTS") or project_root() / ".cache" / "train")
    whole, stop = states / fingerprint(cfg, prepared), cfg.training.get("stop_after")
    folder = whole.with_name(f"{whole.name}-{stop}") if stop else whole
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with tempfile.TemporaryDirectory(dir=folder.parent) as own:
            yield Path(own)
        return
    try:
        shorter = sorted((after, other) for after, other in stopped(whole) if not stop or after < stop)
        if not folder.exists() and shorter:
            shutil.copytree(shorter[-1][1], part := folder.with_suffix(".part"), dirs_exist_ok=True)
            part.rename(folder)
        folder.mkdir(exist_ok=True)
        yield folder
        for _, other in shorter:
            shutil.rmtree(other, ignore_errors=True)
        if not stop:
            shutil.rmtree(folder)
    finally:
        lock.release()


def stopped(whole: Path) -> Iterator[tuple[int, Path]]:
    """The same training where it was stopped early: after how many epochs, and its folder."""
    for path in whole.parent.glob(f"{whole.name}-*"):
        after = path.name.rpartition("-")[2]
        if path.is_dir() and after.isdigit():
            yield int(after), path


def fingerprint(cfg: DictConfig, prepared: Prepared) -> str:
    """A hash of config, data, code and weights: a state is only resumed by the training that left it."""
    digest = hashlib.sha256()
    decisive = {
        key: OmegaConf.to_container(cfg[key]) if OmegaConf.is_config(cfg[key]) else cfg[key] for key in SECTIONS
    }
    decisive["training"].pop("stop_after", None)  # type: ignore[union-attr]
    decisive["data"] = {key: OmegaConf.to_container(cfg.data)[key] for key in DATA_KEYS}  # type: ignore[index]
    digest.update(json.dumps(decisive, sort_keys=True).encode())
    digest.update((prepared.root / "items.csv").read_bytes())
    for file in dependencies.files("train", cfg):
        digest.update(str(file).encode() + file.read_bytes())
    return digest.hexdigest()[:16]
