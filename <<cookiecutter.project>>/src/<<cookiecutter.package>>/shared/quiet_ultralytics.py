"""Keep Ultralytics to itself."""

from __future__ import annotations

import os
from pathlib import Path


def quiet(cache: Path, online: bool) -> None:
    """Set the environment of this process, before Ultralytics is imported; `online` lets it fetch weights."""
    folder = cache / "ultralytics"
    folder.mkdir(parents=True, exist_ok=True)  # Ultralytics falls back to /tmp where it is missing
    os.environ.update(
        YOLO_CONFIG_DIR=str(folder),
        YOLO_AUTOINSTALL="0",
        YOLO_VERBOSE="false",
        ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS="1",
    )
    if not online:
        os.environ.update(YOLO_OFFLINE="1")


def quiet_ultralytics() -> None:
    """Switch off what Ultralytics does unasked, in this process only.

    Its DVC callback would edit dvc.yaml, its MLflow callback would start a run of its own. The settings are a dict that
    writes itself to disk on every update; the base class's update doesn't. Networks are built as under its
    ULTRALYTICS_SAFE_LOAD, which is read on import: else parts of an architecture, which a model file brings along, are
    given to `eval`.
    """
    from ultralytics import settings
    from ultralytics.nn import tasks

    off = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")
    dict.update(settings, dict.fromkeys(off, False))
    tasks.SAFE_LOAD = True
