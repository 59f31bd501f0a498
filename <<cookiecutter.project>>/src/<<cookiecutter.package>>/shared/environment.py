"""Keep the engines to themselves: nothing in HOME, no telemetry, no unasked downloads, no loggers of their own."""

from __future__ import annotations

import os
from pathlib import Path


def project_root() -> Path:
    """The repository that the user works in. DVC names it when it runs a stage in a temporary copy."""
    return Path(os.environ.get("DVC_ROOT", ".")).resolve()


def quiet(threads: int, online: bool) -> None:
    """Set the environment of this process, before any engine is imported.

    `threads` is pinned because results on the CPU depend on it; passive waiting because OpenMP's default, spinning,
    makes two processes on a busy machine ten times slower. `online` lets Ultralytics fetch the weights that the user
    asked for by model.weights=pretrained.
    """
    cache = project_root() / ".cache"
    os.environ.update(
        OMP_NUM_THREADS=str(threads),
        OMP_WAIT_POLICY="PASSIVE",
        YOLO_CONFIG_DIR=str(cache / "ultralytics"),
        YOLO_AUTOINSTALL="0",
        YOLO_VERBOSE="false",
        ULTRALYTICS_SKIP_REQUIREMENTS_CHECKS="1",
        NO_ALBUMENTATIONS_UPDATE="1",  # albumentations asks the network for its newest version on import
        MPLBACKEND="agg",
        DVC_NO_ANALYTICS="1",
        DO_NOT_TRACK="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        NNCF_CI="1",
        TF_BUILD="1",  # the one of CI's variables that keeps OpenVINO's telemetry from writing to HOME on import
    )
    if not online:
        os.environ.update(YOLO_OFFLINE="1", HF_HUB_OFFLINE="1")
    for variable, folder in (
        ("MPLCONFIGDIR", "matplotlib"),
        ("TORCH_HOME", "torch"),
        ("TORCHINDUCTOR_CACHE_DIR", "inductor"),
        ("HF_HOME", "huggingface"),
    ):  # a shared cache that the user has set stays
        os.environ.setdefault(variable, str(cache / folder))
    (cache / "ultralytics").mkdir(parents=True, exist_ok=True)  # Ultralytics falls back to /tmp where it is missing


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
