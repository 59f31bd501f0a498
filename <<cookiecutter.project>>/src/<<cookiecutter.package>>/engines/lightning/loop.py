"""Training with Lightning: reproducible epoch by epoch, and exact where it goes on after a kill."""

from __future__ import annotations

import logging
import math
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch.utils.data import DataLoader, Dataset, Sampler

from ...shared import devices, torch_file
from ...shared.model_file import ModelFile
from ...shared.protocols import Trained
from .module import SeededModule
from .recorder import Recorder


def fit(
    cfg: DictConfig,
    module: SeededModule,
    loaders: tuple[DataLoader, DataLoader],
    recorder: Recorder,
    work: Path,
    used: list[str],
) -> Trained:
    """Train `module` on the devices `used`, or finish what lies in `work`; `loaders` give training and validation."""
    state = work / "state.ckpt"
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # no tips, no adverts: the epoch log reports
    if state.exists() and len(history_of(state, recorder)) == cfg.training.get("stop_after"):
        return trained(work, state, recorder, used)  # it was killed after that, or is asked for again
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            accelerator="cpu" if used == ["cpu"] else "gpu",
            devices=1 if used == ["cpu"] else [int(device.removeprefix("cuda:")) for device in used],
            strategy="ddp_spawn" if len(used) > 1 else "auto",
            max_epochs=cfg.training.max_epochs,
            precision="32-true" if str(cfg.training.precision) == "32" else cfg.training.precision,
            accumulate_grad_batches=cfg.training.accumulate_grad_batches,
            gradient_clip_val=cfg.training.gradient_clip,
            deterministic="warn" if used != ["cpu"] else True,
            callbacks=[recorder, *early_stopping(cfg, recorder)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=work,
        )
        try:
            trainer.fit(module, *loaders, ckpt_path=str(state) if state.exists() else None, weights_only=True)
        except SIGTERMException as end:  # it would end the stage with 0, as if it were done
            raise SystemExit(128 + signal.SIGTERM) from end
    return trained(work, state, recorder, used)


def trained(work: Path, state: Path, recorder: Recorder, used: list[str]) -> Trained:
    """What a training left in its folder."""
    best, last = ModelFile.load(work / "best.ckpt"), ModelFile.load(work / "last.ckpt")
    return Trained(best, last, history_of(state, recorder), recorder.metric, used)


def history_of(state: Path, recorder: Recorder) -> list[dict[str, Any]]:
    """The epochs of a state, a row each."""
    return torch_file.load(state)["callbacks"][recorder.state_key]["history"]


def loader(
    cfg: DictConfig,
    images: Dataset,
    shuffled: bool,
    collate: Callable | None = None,
    weights: torch.Tensor | None = None,
) -> DataLoader:
    """Batches of `images`, in a new order each epoch where they are shuffled; `collate` makes one of samples.

    Shuffled ones come as often as training.epoch_steps takes, all of them equally often. With `weights` (images,) as
    many are drawn, each as often as its weight says.

    A last batch of one image is left out where they are: batch normalization has nothing to compare it with.
    """
    size, count = cfg.data.batch_size, len(images)  # type: ignore[arg-type]
    seen = count * passes(cfg, count) if shuffled else count
    return DataLoader(
        images,
        batch_size=size,
        drop_last=shuffled and size > 1 and seen > size and seen % size == 1,
        sampler=EpochSampler(count, cfg.seed, weights, seen // count) if shuffled else None,
        collate_fn=collate,
        num_workers=devices.workers(cfg.data.workers),
        generator=torch.Generator().manual_seed(cfg.seed),  # so that the loader draws nothing from the global one
    )


def passes(cfg: DictConfig, count: int) -> int:
    """How often an epoch goes through `count` images to have training.epoch_steps steps of the optimizer."""
    needed = cfg.training.epoch_steps * cfg.training.accumulate_grad_batches * cfg.data.batch_size
    return max(1, math.ceil(needed / count))


def early_stopping(cfg: DictConfig, recorder: Recorder) -> list[pl.Callback]:
    """Stop after training.patience epochs without a better metric of `recorder`'s; null never stops."""
    patience = cfg.training.patience
    mode = "max" if recorder.sign > 0 else "min"
    return [EarlyStopping(recorder.metric, mode=mode, patience=patience)] if patience else []


class EpochSampler(Sampler[int]):
    """Random orders, or a draw, that depend on seed and epoch alone, so that a resumed epoch sees them again."""

    def __init__(self, size: int, seed: int, weights: torch.Tensor | None = None, passes: int = 1):
        self.size, self.seed, self.weights, self.passes, self.epoch = size, seed, weights, passes, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size * self.passes

    def __iter__(self) -> Any:
        generator = torch.Generator().manual_seed(self.seed + 1000 * (self.epoch + 1))
        if self.weights is not None:
            return iter(torch.multinomial(self.weights, len(self), replacement=True, generator=generator).tolist())
        orders = [torch.randperm(self.size, generator=generator) for _ in range(self.passes)]
        return iter(torch.cat(orders).tolist())
