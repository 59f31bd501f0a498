"""The config in Ultralytics' terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ...shared import devices


def arguments(cfg: DictConfig, work: Path, used: list[str]) -> dict[str, Any]:
    """What Ultralytics is started with; see https://docs.ultralytics.com/modes/train/#train-settings."""
    training, augmentation = cfg.training, cfg.augmentation
    return {
        "model": f"{cfg.model.name}.yaml",  # a label only: setup_model builds the network
        "data": str(work / "config.yaml"),
        "save_dir": str(work / "ultralytics"),
        "exist_ok": True,
        "imgsz": cfg.data.image_size,
        "batch": cfg.data.batch_size,
        "nbs": cfg.data.batch_size * training.accumulate_grad_batches,
        "workers": devices.workers(cfg.data.workers),
        "epochs": training.max_epochs,
        "optimizer": {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}[training.optimizer],
        "lr0": training.lr,
        "lrf": training.final_lr,
        "freeze": training.freeze or None,
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
