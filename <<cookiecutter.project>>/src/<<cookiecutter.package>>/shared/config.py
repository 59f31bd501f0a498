"""The config of a stage: params.yaml as DVC composed it, or conf/ with Hydra overrides where a person gives some."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import registry, settings, yaml_file
from .errors import UserError, nearest
from .settings import Mistake

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONF = Path("conf")
PARAMS = Path("params.yaml")
# What reads more than the config, such as ${oc.env:HOME}: results would depend on it, and git keep its secrets.
OUTSIDE = re.compile(r"\$\{(?!\s*oc\.(select|create|dict\.keys|dict\.values)\s*:)[^{}]*(\$\{[^}]*\}[^{}]*)*:")


def load(overrides: list[str]) -> DictConfig:
    """The config: params.yaml without overrides; with some, conf/ composed afresh. Raises UserError.

    The second way serves `python src/train.py model=efficientnet_b1 data.image_size=384`: it starts from conf/, as
    `dvc exp run -S` does, and leaves params.yaml alone.
    """
    from omegaconf import DictConfig, OmegaConf

    if overrides:
        cfg = compose(overrides)
        content: Any = OmegaConf.to_container(cfg)
        found = [(said(key, overrides), key, problem) for key, problem in mistakes(content, networks=False)]
        told = {problem for place, _, problem in found if place}
        # What is there only since conf/ takes it from another key, as training.lr is ${lr}, is told once.
        refuse([(place or f"{CONF}/: {key}", why) for place, key, why in found if place or why not in told])
        return cfg
    if not PARAMS.is_file():
        raise UserError(f"{PARAMS} not found in {Path.cwd()}: run this from the project's root")
    content, text = yaml_file.read(PARAMS, loader=yaml_file.Plain), PARAMS.read_text(encoding="utf-8")
    if not isinstance(content, dict):
        raise UserError(f"{PARAMS} should hold a mapping, as conf/ composes it: restore it by `git checkout {PARAMS}`")
    refuse_outside(text, str(PARAMS))
    refuse(
        [
            (f"{PARAMS}, line {yaml_file.line_of(text, key)}: {key}", why)
            for key, why in mistakes(content, networks=False)
        ]
    )
    cfg = OmegaConf.create(content)
    assert isinstance(cfg, DictConfig)
    return cfg


def compose(overrides: list[str], resolve: bool = True) -> DictConfig:
    """conf/ with `overrides`, every interpolation resolved, or as it is written.

    Raises UserError: the files and keys that aren't there, with the nearest; anything else in Hydra's words.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for text in overrides:
        refuse_outside(text, text)
    if not CONF.is_dir():
        raise UserError(f"{CONF}/ not found in {Path.cwd()}: run this from the project's root")
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base=None):
            cfg = hydra_compose("config", overrides=overrides)
        if resolve:
            OmegaConf.resolve(cfg)
    except (HydraException, OmegaConfBaseException) as error:
        refuse(absent(overrides))
        given = f" with {' '.join(overrides)}" if overrides else ""
        raise UserError(f"cannot compose {CONF}/{given}: {error}") from error
    return cfg


def absent(overrides: list[str]) -> list[tuple[str, str]]:
    """The overrides of files and keys that conf/ doesn't have, each with what is wrong, and the nearest."""
    from omegaconf import OmegaConf

    wrong, choices, values = [], [], {}
    for text in overrides:
        key, _, value = text.partition("=")
        if key and (CONF / key).is_dir():
            choices.append(text)
            files = sorted(path.stem for path in (CONF / key).glob("[!_]*.yaml"))
            if value not in files:
                wrong.append((text, f"{CONF}/{key}/ has {', '.join(files)}.{nearest(value, files)}"))
        elif key and key[0] not in "+~":
            values[text] = re.sub(r"(\.\d+)+$", "", key)  # a place in a list that another override may make
    if wrong or not values:  # without the files, nobody knows the keys
        return wrong
    content: Any = OmegaConf.to_container(compose(choices, resolve=False))
    known = set(names(content))
    for text, key in values.items():
        if key not in known:
            wrong.append((text, f"{key} is neither a key nor a group of {CONF}/.{nearest_key(key, content)}"))
    return wrong


def names(content: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The dotted keys of a config, those of mappings as well."""
    for name, value in content.items():
        yield f"{above}{name}"
        if isinstance(value, Mapping):
            yield from names(value, f"{above}{name}.")


def nearest_key(key: str, content: Mapping[str, Any]) -> str:
    """` Did you mean 'training.ema'?`: keys that are called the same, or else the most similar.

    What has no type, as all that is in recipes, is what another key is made from.
    """
    known = [name for name in names(content) if settings.at(name) is not None and ("." in name or "." not in key)]
    last = key.rpartition(".")[2]
    return nearest(last, [name for name in known if name.endswith(f".{last}")]) or nearest(key, known)


def refuse_outside(text: str, where: str) -> None:
    """Raises UserError: an interpolation in it reads the machine."""
    if found := OUTSIDE.search(text):
        raise UserError(f"{where}: {found[0]}…}} reads more than the config: write the value itself")


def refuse(found: list[tuple[str, str]]) -> None:
    """Raises UserError: all that is wrong, a line each: where, and what."""
    if found:
        raise UserError("\n".join(f"{place}: {problem}" for place, problem in found))


def said(key: str, overrides: list[str]) -> str:
    """The override of the command line that gives a key its value; empty where none does."""
    for text in reversed(overrides):
        name = text.partition("=")[0].lstrip("+~")
        if key == name or key.startswith(f"{name}."):
            return text if key == name else f"{text}: {key}"
    return ""


def mistakes(cfg: dict[str, Any], networks: bool = True) -> list[Mistake]:
    """What no stage could use: each key with what is wrong with its value, a data set and a model of different tasks.

    The stages refuse it, and lab does in each run of a design, before anything is queued (`check` in lab.yaml).
    Without `networks`, an engine's are not asked: prepare would depend on their code.
    """
    return [*settings.mistakes(cfg), *unread(cfg)] or list(disagreements(cfg, networks))


def unread(cfg: dict[str, Any]) -> Iterator[Mistake]:
    """Keys that no file of conf/ has: +weight_decay=0.1 adds one, where training.weight_decay is what stages read."""
    if untyped := list(settings.untyped(cfg)):
        written = in_files()
        for key in untyped:
            if key not in written:
                yield key, f"no file of {CONF}/ has it, and no stage reads it.{nearest_key(key, cfg)}"


def in_files() -> set[str]:
    """The keys that files of conf/ give a value, those of a group below its name."""
    found: set[str] = set()
    conf = settings.SCHEMA.parent
    for path in conf.rglob("*.yaml"):
        content = yaml_file.read(path)
        own = "@package _global_" in path.read_text(encoding="utf-8")
        group = "" if own else "".join(f"{name}." for name in path.relative_to(conf).parts[:-1])
        found |= set(names(content, group)) if isinstance(content, dict) else set()
    return found


def disagreements(cfg: dict[str, Any], networks: bool) -> Iterator[Mistake]:
    """Names that nothing here has, and parts that are for different tasks, where each key has its type."""
    task = cfg["task"]
    if task not in registry.tasks():
        yield "task", registry.unknown(task, registry.tasks())
        return
    for group in ("data", "model"):
        name, own = cfg[group]["name"], cfg[group]["task"]
        if own != task:
            choose = f"choose task={own} for both, or another {group}"
            yield f"{group}.task", f"{group}={name} is for {own}, but task is {task}: {choose}"
    for key, only in registry.fixed(task).items():
        if (value := cfg["data"][key]) != only:
            yield f"data.{key}", f"{value}: {task} takes {only} alone"
    if (kind := cfg["data"]["source"]["kind"]) not in registry.sources():
        yield "data.source.kind", registry.unknown(kind, registry.sources())
    if (engine := cfg["model"]["engine"]) not in registry.engines(task):
        yield "model.engine", registry.unknown(engine, registry.engines(task))
    elif networks and (problem := registry.unusable(task, engine, cfg["model"]["architecture"])):
        yield "model.architecture", problem
