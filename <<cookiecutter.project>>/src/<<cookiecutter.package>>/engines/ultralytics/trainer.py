"""Training with Ultralytics, without its side effects and with an exact resume.

Ultralytics owns the loop, the loss and the augmentation. Ours are: the data (read from the prepared layout, so that no
label cache is written into it), the checkpoints (Ultralytics keeps half-precision averages only, and the date, so that
neither a resumed run nor a repeated one gives the same bytes), the seeds of each epoch, and the epoch log.
"""

from __future__ import annotations

import os
import random
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from ultralytics.engine import trainer as engine
from ultralytics.engine.trainer import BaseTrainer

from ...shared import devices, torch_file
from ...shared.errors import UserError
from ...shared.model_file import ModelFile, load_weights
from ...shared.prepared import Item, Prepared
from ...shared.protocols import Trained
from ...shared.quiet_ultralytics import quiet_ultralytics
from ...training.epoch_log import EpochLog
from ...training.state_dict import renamed
from .arguments import arguments
from .images import PreparedImages
from .weights import find_weights

STRIDE = 32  # pixels of the coarsest map: Ultralytics rounds other sizes up, silently
SOURCE = Path(__file__).resolve().parents[3]  # the folder src of this checkout


def check(cfg: DictConfig) -> None:
    """Raises UserError for what Ultralytics does not know, or would change silently."""
    if cfg.training.label_smoothing:
        raise UserError("training.label_smoothing is for classification: Ultralytics' losses have none, set it to 0")
    if cfg.training.epoch_steps:
        raise UserError("training.epoch_steps is Lightning's: Ultralytics shows each image once an epoch, set it to 0")
    for key, none in (("class_weights", False), ("balanced", False), ("layer_decay", 1), ("gradient_clip", None)):
        if cfg.training[key] != none:
            raise UserError(f"training.{key} is for classification: Ultralytics doesn't know it, leave it as it is")
    size = cfg.data.image_size
    if size % STRIDE:
        raise UserError(f"data.image_size={size}: YOLO takes multiples of {STRIDE}, such as {size + -size % STRIDE}")


def fit(trainer: type[ResumingTrainer], cfg: DictConfig, work: Path, metric: str) -> Trained:
    """Train by a task's `trainer`, or finish what lies in `work`; `metric` is what decides. Raises UserError."""
    used = devices.of_training(cfg)
    check(cfg)
    OmegaConf.save(cfg, work / "config.yaml")
    state = read_state(work)
    if state is None or not (state["finished"] or state["epoch"] + 1 == cfg.training.get("stop_after")):
        quiet_ultralytics()
        # Processes for several GPUs are started by Ultralytics, which imports the trainer's module by its name.
        os.environ["PYTHONPATH"] = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])
        trainer(overrides=arguments(cfg, work, used)).train()
        state = read_state(work)
        assert state is not None, "training ended without a checkpoint"
    best, last = ModelFile.load(work / "best.pt"), ModelFile.load(work / "last.pt")
    return Trained(best, last, state["history"], metric, used)


def read_state(work: Path) -> dict[str, Any] | None:
    """What a run that was killed left, or None."""
    path = work / "state.pt"
    return torch_file.load(path) if path.exists() else None


class ResumingTrainer(BaseTrainer):
    """Ultralytics' trainer on a project's config, which it reads from args.data (so that DDP's processes can, too).

    A task's trainer is made of this one and, after it, Ultralytics' own for the task.
    """

    TASK: str
    NAMES: dict[str, str]  # the log's names of Ultralytics' metrics
    IMAGES: type[PreparedImages]
    epoch_log: EpochLog | None = None

    def build_network(self, architecture: Any, classes: list[str]) -> Any:
        """The task's untrained network."""
        raise NotImplementedError

    def get_dataset(self) -> dict[str, Any]:
        self.cfg = cfg = DictConfig(OmegaConf.load(self.args.data))
        self.work = Path(self.args.data).parent
        prepared = Prepared()
        return {
            "train": prepared.items("train", cfg.data.site),
            "val": prepared.items("val", cfg.data.site),
            "names": dict(enumerate(prepared.classes)),
            "nc": len(prepared.classes),
            "channels": 3,
            "augmentation": cfg.augmentation,
        }

    def setup_model(self) -> None:
        cfg, classes = self.cfg.model, list(self.data["names"].values())
        self.architecture = OmegaConf.to_container(cfg)["architecture"]  # type: ignore[index]
        network = self.build_network(self.architecture, classes)
        if cfg.weights:
            weights, source, strict = find_weights(cfg)
            load_weights(network, renamed(weights, network.state_dict()), source, strict)
        if self.device.type == "cpu":
            network = network.to(memory_format=torch.channels_last)  # a third faster; Ultralytics does it on CUDA only
        self.model = network

    def build_dataset(self, img_path: list[Item], mode: str = "train", batch: int | None = None) -> PreparedImages:
        training = mode == "train"
        return self.IMAGES(
            img_path=img_path,
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=training,
            hyp=copy(self.args),
            rect=False,
            stride=self.stride,
            data=self.data,
        )

    def preprocess_batch(self, batch: dict) -> dict:
        batch = super().preprocess_batch(batch)
        batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        return batch

    def build_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        optimizer = super().build_optimizer(*args, **kwargs)
        for group in optimizer.param_groups:
            if "fused" in group:
                group["fused"], group["foreach"] = True, False
        return optimizer

    def _build_train_pipeline(self) -> None:
        if self.optimizer is not None:
            # Ultralytics would go on with half the batch: another experiment than the one that was asked for.
            raise torch.OutOfMemoryError("out of memory")
        super()._build_train_pipeline()

    def _setup_train(self) -> None:
        check_amp, engine.check_amp = engine.check_amp, lambda model: True  # it would download a model to compare with
        try:
            super()._setup_train()
        finally:
            engine.check_amp = check_amp
        if not self.cfg.training.ema:
            self.ema.decay = lambda x: 0.0

    def resume_training(self, ckpt: Any) -> None:
        state = read_state(self.work)
        if state:
            self.model.load_state_dict(state["model"])
            self.ema.ema.load_state_dict(state["ema"])
            self.ema.updates = state["updates"]
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            self.best_fitness = state["best_fitness"]
            self.stopper.__dict__.update(state["stopper"])
            self.start_epoch = state["epoch"] + 1
            print(f"Resuming after epoch {self.start_epoch} of {self.epochs}")
        if engine.RANK in {-1, 0}:
            self.epoch_log = EpochLog(self.epochs, len(self.train_loader), state["history"] if state else ())
            self.add_callback("on_train_batch_end", lambda trainer: trainer.epoch_log.batch())

    def _model_train(self) -> None:
        """Each epoch has seeds of its own, so that a resumed one sees what an undisturbed one sees."""
        super()._model_train()
        seed = self.args.seed + 1000 * (self.epoch + 1)
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self.train_loader.generator.manual_seed(seed)
        if self.train_loader.num_workers == 0:  # new workers every epoch would cost seconds
            self.train_loader.reset()

    def save_model(self) -> bool:
        metrics = {self.NAMES[name]: float(value) for name, value in self.metrics.items() if name in self.NAMES}
        losses: dict[str, Any] = self.label_loss_items(self.tloss)  # type: ignore[assignment]
        losses |= {name: value for name, value in self.metrics.items() if name.startswith("val/")}
        assert self.epoch_log is not None
        self.epoch_log.epoch({**{name: float(v) for name, v in losses.items()}, **metrics, "lr": self.lr["lr/pg0"]})

        snapshot = ModelFile(
            task=self.TASK,
            engine="ultralytics",
            name=self.cfg.model.name,
            architecture=self.architecture,
            classes=list(self.data["names"].values()),
            image_size=self.args.imgsz,
            resize="letterbox",
            state_dict=self.ema.ema.float().state_dict(),
            epoch=self.epoch + 1,
            metrics={name.removeprefix("val/"): value for name, value in metrics.items()},
        )
        content = snapshot.to_bytes()
        (self.work / "last.pt").write_bytes(content)
        if self.best_fitness == self.fitness:
            (self.work / "best.pt").write_bytes(content)
        state = {
            "epoch": self.epoch,
            "finished": self.stop,
            "model": self.model.state_dict(),
            "ema": self.ema.ema.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "best_fitness": self.best_fitness,
            "stopper": {key: getattr(self.stopper, key) for key in ("best_fitness", "best_epoch")},
            "history": self.epoch_log.history,
        }
        torch.save(state, self.work / "state.tmp")
        os.replace(self.work / "state.tmp", self.work / "state.pt")
        self.stop |= self.epoch + 1 == self.cfg.training.get("stop_after")
        return True

    def final_eval(self) -> None:
        """Nothing: the best epoch was evaluated when it ended, and infer evaluates on the test split."""

    def _do_train(self) -> None:
        try:
            super()._do_train()
        finally:
            if self.epoch_log:
                self.epoch_log.close()
