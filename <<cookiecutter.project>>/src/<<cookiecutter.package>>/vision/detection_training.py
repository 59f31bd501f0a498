"""Training a detector with Ultralytics, without its side effects and with an exact resume.

Ultralytics owns the loop, the loss and the augmentation. Ours are: the data (read from the prepared layout, so that no
label cache is written into it), the checkpoints (Ultralytics keeps half-precision averages only, and the date, so that
neither a resumed run nor a repeated one gives the same bytes), the seeds of each epoch, and the journal.
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
from PIL import Image
from torchvision.transforms import v2
from ultralytics.data.augment import Albumentations
from ultralytics.data.dataset import YOLODataset
from ultralytics.engine import trainer as engine
from ultralytics.models.yolo.detect import DetectionTrainer

from ..errors import UserError
from . import detection, devices
from .augmentation import pixels
from .environment import project_root, quiet_ultralytics
from .journal import Journal
from .layout import Item, Prepared, boxes
from .model_file import ModelFile, load_weights
from .train import Trained

METRIC = "val/mAP50_95"
STRIDE = 32  # pixels of the coarsest map: Ultralytics rounds other sizes up, silently
NAMES = {
    "metrics/precision(B)": "val/precision",
    "metrics/recall(B)": "val/recall",
    "metrics/mAP50(B)": "val/mAP50",
    "metrics/mAP50-95(B)": METRIC,
}


def train(cfg: DictConfig, prepared: Prepared, work: Path) -> Trained:
    """Train cfg.model on the site cfg.data.site; `work` keeps the state of a run that was killed. Raises UserError."""
    used = devices.resolve(cfg.training.devices, "training.devices")
    devices.check_precision(cfg.training.precision, used)
    if cfg.training.label_smoothing:
        raise UserError(
            "training.label_smoothing is for classification: Ultralytics' detection loss has none, set it to 0"
        )
    size = cfg.data.image_size
    if size % STRIDE:
        raise UserError(f"data.image_size={size}: YOLO takes multiples of {STRIDE}, such as {size + -size % STRIDE}")
    OmegaConf.save(cfg, work / "config.yaml")
    state = read_state(work)
    if state is None or not state["finished"]:
        quiet_ultralytics()
        # Processes for several GPUs are started by Ultralytics, which imports this module by its name.
        source = str(Path(__file__).resolve().parents[2])
        os.environ["PYTHONPATH"] = os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])
        Trainer(overrides=arguments(cfg, work, used)).train()
        state = read_state(work)
        assert state is not None, "training ended without a checkpoint"
    best, last = ModelFile.load(work / "best.pt"), ModelFile.load(work / "last.pt")
    return Trained(best, last, state["history"], METRIC, used)


def arguments(cfg: DictConfig, work: Path, used: list[str]) -> dict[str, Any]:
    """The config in Ultralytics' terms; see https://docs.ultralytics.com/modes/train/#train-settings."""
    training, augmentation = cfg.training, cfg.augmentation
    return {
        "model": f"{cfg.model.name}.yaml",  # a label only: setup_model builds the network
        "data": str(work / "config.yaml"),
        "save_dir": str(work / "ultralytics"),
        "exist_ok": True,
        "imgsz": cfg.data.image_size,
        "batch": cfg.data.batch_size,
        "nbs": cfg.data.batch_size * training.accumulate_grad_batches,
        "workers": cfg.data.workers,
        "epochs": training.max_epochs,
        "optimizer": {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}[training.optimizer],
        "lr0": training.lr,
        "lrf": 0.05,
        "weight_decay": training.weight_decay,
        "warmup_epochs": training.warmup_epochs,
        "patience": training.patience or 0,
        "amp": {"32": False, "16-mixed": True, "bf16-mixed": "bf16"}[str(training.precision)],
        "device": "cpu" if used == ["cpu"] else ",".join(device.removeprefix("cuda:") for device in used),
        "seed": cfg.seed,
        "deterministic": True,
        "cls": 1.0,
        "translate": augmentation.translate,
        "scale": augmentation.scale,
        "degrees": augmentation.rotate,
        "fliplr": augmentation.flip,
        "hsv_h": 0.0,
        "hsv_s": augmentation.brightness,
        "hsv_v": augmentation.brightness,
        "mosaic": augmentation.mosaic,
        "close_mosaic": max(1, training.max_epochs // 10) if augmentation.mosaic else 0,
        "mixup": augmentation.mixup,
        "auto_augment": None,
        "erasing": 0.0,
        "pretrained": False,
        "plots": False,
        "verbose": False,
    }


class Images(YOLODataset):
    """The prepared images of a split, with labels from the layout."""

    def get_img_files(self, img_path: list[Item]) -> list[str]:  # type: ignore[override]
        return [str(item.path) for item in img_path]

    def get_labels(self) -> list[dict[str, Any]]:
        return [self._label(item) for item in self.img_path]  # type: ignore[arg-type]

    def _label(self, item: Item) -> dict[str, Any]:
        rows = boxes(item)
        with Image.open(item.path) as image:  # reads the header only
            shape = (image.height, image.width)
        return {
            "im_file": str(item.path),
            "shape": shape,
            "cls": rows[:, :1],
            "bboxes": rows[:, 1:],
            "segments": [],
            "keypoints": None,
            "normalized": True,
            "bbox_format": "xywh",
        }

    def build_transforms(self, hyp: Any = None) -> Any:
        transforms = super().build_transforms(hyp)
        if self.augment:
            # Ultralytics applies albumentations wherever it happens to be installed: results would depend on that.
            steps = [step for step in transforms.transforms if not isinstance(step, Albumentations)]
            if extra := pixels(self.data["augmentation"], boxes=True):
                steps.insert(len(steps) - 1, PixelTransform(v2.Compose(extra)))  # before the last, which makes tensors
            transforms.transforms = steps
        return transforms


class PixelTransform:
    """Transforms of the pixels alone, for the (H, W, 3) BGR uint8 images of Ultralytics' datasets."""

    def __init__(self, transform: v2.Transform):
        self.transform = transform

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        image = torch.from_numpy(np.ascontiguousarray(labels["img"][..., ::-1].transpose(2, 0, 1)))
        labels["img"] = np.ascontiguousarray(self.transform(image).numpy().transpose(1, 2, 0)[..., ::-1])
        return labels


class Trainer(DetectionTrainer):
    """Ultralytics' trainer on a project's config, which it reads from args.data (so that DDP's processes can, too)."""

    journal: Journal | None = None

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
        network = detection.build(self.architecture, classes)
        if cfg.weights:
            weights, source, strict = find_weights(cfg)
            load_weights(network, weights, source, strict)
        if self.device.type == "cpu":
            network = network.to(memory_format=torch.channels_last)  # a third faster; Ultralytics does it on CUDA only
        self.model = network

    def build_dataset(self, img_path: list[Item], mode: str = "train", batch: int | None = None) -> Images:
        training = mode == "train"
        return Images(
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
            self.journal = Journal(self.epochs, len(self.train_loader), state["history"] if state else ())
            self.add_callback("on_train_batch_end", lambda trainer: trainer.journal.batch())

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
        metrics = {NAMES[name]: float(value) for name, value in self.metrics.items() if name in NAMES}
        losses: dict[str, Any] = self.label_loss_items(self.tloss)  # type: ignore[assignment]
        losses |= {name: value for name, value in self.metrics.items() if name.startswith("val/")}
        assert self.journal is not None
        self.journal.epoch({**{name: float(v) for name, v in losses.items()}, **metrics, "lr": self.lr["lr/pg0"]})

        snapshot = ModelFile(
            task="detection",
            name=self.cfg.model.name,
            architecture=self.architecture,
            classes=list(self.data["names"].values()),
            image_size=self.args.imgsz,
            state_dict=self.ema.ema.float().state_dict(),
            epoch=self.epoch,
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
            "history": self.journal.history,
        }
        torch.save(state, self.work / "state.tmp")
        os.replace(self.work / "state.tmp", self.work / "state.pt")
        return True

    def final_eval(self) -> None:
        """Nothing: the best epoch was evaluated when it ended, and infer evaluates on the test split."""

    def _do_train(self) -> None:
        try:
            super()._do_train()
        finally:
            if self.journal:
                self.journal.close()


def read_state(work: Path) -> dict[str, Any] | None:
    """What a run that was killed left, or None."""
    path = work / "state.pt"
    return torch.load(path, map_location="cpu", weights_only=False) if path.exists() else None


def find_weights(cfg: DictConfig) -> tuple[dict[str, Any], str, bool]:
    """The weights that cfg.weights names, where they came from, and whether all of them must fit. Raises UserError."""
    from ultralytics.nn.tasks import load_checkpoint
    from ultralytics.utils.downloads import attempt_download_asset

    if cfg.weights == "pretrained":
        path = project_root() / ".cache" / "weights" / Path(str(cfg.architecture)).with_suffix(".pt").name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            attempt_download_asset(path)
        except Exception as error:
            raise UserError(
                f"cannot fetch {path.name} ({error}): put the file there, {path}, or use model.weights=null"
            ) from error
        strict = False  # its head is for COCO's 80 classes
    else:
        path, strict = Path(cfg.weights), cfg.strict
        path = path if path.is_absolute() else project_root() / path
    if not path.is_file():
        raise UserError(f"model.weights={cfg.weights}: no such file ({path}). Expected pretrained, null or a .pt file")
    try:
        return ModelFile.load(path).state_dict, path.name, strict
    except UserError:
        pass  # not ours: one of Ultralytics'
    try:
        return load_checkpoint(path)[0].float().state_dict(), path.name, strict
    except Exception as error:
        raise UserError(f"model.weights={path} is damaged or not a YOLO checkpoint ({type(error).__name__})") from error
