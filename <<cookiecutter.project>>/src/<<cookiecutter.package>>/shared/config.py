"""The config of a stage: params.yaml as DVC composed it, or conf/ with Hydra overrides where a person gives some."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from . import registry, yaml_file
from .errors import UserError, nearest

CONF = Path("conf")
PARAMS = Path("params.yaml")
# What reads more than the config, such as ${oc.env:HOME}: results would depend on it, and git keep its secrets.
OUTSIDE = re.compile(r"\$\{(?!\s*oc\.(select|create|dict\.keys|dict\.values)\s*:)[^{}]*(\$\{[^}]*\}[^{}]*)*:")


def load(overrides: list[str]) -> DictConfig:
    """The config: params.yaml without overrides; with some, conf/ composed afresh. Raises UserError.

    The second way serves `python src/train.py model=efficientnet_b1 data.image_size=384`: it starts from conf/, as
    `dvc exp run -S` does, and leaves params.yaml alone.
    """
    if overrides:
        cfg = compose(overrides)
    elif PARAMS.is_file():
        yaml_file.read(PARAMS)  # or is refused
        loaded = OmegaConf.load(PARAMS)
        if not isinstance(loaded, DictConfig):
            raise UserError(
                f"{PARAMS} should hold a mapping, as conf/ composes it: restore it by `git checkout {PARAMS}`"
            )
        cfg = loaded
        refuse_outside(PARAMS.read_text(encoding="utf-8"), str(PARAMS))
    else:
        raise UserError(f"{PARAMS} not found in {Path.cwd()}: run this from the project's root")
    check(cfg)
    return cfg


def compose(overrides: list[str]) -> DictConfig:
    """conf/ with `overrides`, every interpolation resolved. Raises UserError in Hydra's words."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    for text in overrides:
        refuse_outside(text, text)
    if not CONF.is_dir():
        raise UserError(f"{CONF}/ not found in {Path.cwd()}: run this from the project's root")
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base=None):
            cfg = hydra_compose("config", overrides=overrides)
        OmegaConf.resolve(cfg)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"cannot compose conf/ with {' '.join(overrides)}: {error}") from error
    return cfg


def refuse_outside(text: str, where: str) -> None:
    """Raises UserError: an interpolation in it reads the machine."""
    if found := OUTSIDE.search(text):
        raise UserError(f"{where}: {found[0]}…}} reads more than the config: write the value itself")


def check(cfg: Mapping[Any, Any]) -> None:
    """Refuse what no stage could use: a data set and a model of different tasks, and unknown names. Raises UserError.

    The stages call it on their config, and the pre-flight on that of each run, before anything is queued.
    """
    registry.check("task", at(cfg, "task"), registry.tasks())
    for group in ("data", "model"):
        own, task = at(cfg, f"{group}.task"), at(cfg, "task")
        if own != task:
            raise UserError(
                f"{group}={at(cfg, f'{group}.name')} is for {own}, but task is {task}: "
                f"choose task={own} for both, or another {group}"
            )
    registry.check_source(at(cfg, "data.source.kind"))
    registry.check("model.engine", at(cfg, "model.engine"), registry.engines(at(cfg, "task")))
    choices = {
        "training.optimizer": ["adamw", "adam", "sgd"],
        "training.precision": ["32", "16-mixed", "bf16-mixed"],
        "infer.voting": ["hard", "soft", "rank"],
    }
    for key, allowed in choices.items():
        value = str(at(cfg, key))
        if value not in allowed:
            raise UserError(f"{key}={value} is not one of {', '.join(allowed)}.{nearest(value, allowed)}")
    for key in ("training.max_epochs", "training.accumulate_grad_batches", "data.image_size", "data.batch_size"):
        value = at(cfg, key)
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{key}={value} should be a whole number from 1 up")


def at(cfg: Mapping[Any, Any], key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    value: Any = cfg
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
