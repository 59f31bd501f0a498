"""The config that Hydra composes from conf/, fast enough for a thousand runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from lab.design.overrides import parse
from lab.errors import UserError, nearest

REFERENCE = re.compile(r"\$\{(\w+(?:\.\w+)*)\}")
MISSING = "???"


class Template(NamedTuple):
    """The config of one choice of groups: its values, interpolations not yet resolved, and the places of these."""

    values: dict[str, Any]
    references: list[tuple[str, str]]  # key, and the key that it refers to
    simple: bool  # whether these are all the interpolations there are


class Composer:
    """Composes conf/ as `dvc exp run -S` does.

    Hydra takes 0.1 s. It composes once for each choice of groups; after that, overrides that only replace values are
    filled in here. Everything else, such as +new=1, goes through Hydra.
    """

    def __init__(self, conf: Path):
        if not conf.is_dir():
            raise UserError(f"{conf}/ not found: run this in a project")
        self.conf = conf.resolve()
        self.groups = {path.name for path in self.conf.iterdir() if path.is_dir()}
        self._templates: dict[tuple[str, ...], Template] = {}

    def compose(self, overrides: list[str]) -> dict[str, Any]:
        """The config with every interpolation resolved.

        Raises:
            UserError: a key or a group's file that doesn't exist, with the nearest name; a value that is required.
        """
        parsed = [parse(text) for text in overrides]
        groups = [o for o in parsed if o.key_or_group in self.groups]
        values = [o for o in parsed if o.key_or_group not in self.groups]
        for choice in groups:
            self._check_choice(choice.key_or_group, choice.value())
        template = self._template(tuple(sorted(o.input_line or "" for o in groups)))
        for o in values:
            if not (o.is_add() or o.is_force_add()):
                self.check_key(o.key_or_group, template.values)
        if template.simple and all(fits(o, template.values) for o in values):
            config = fill(template, {o.key_or_group: o.value() for o in values})
        else:
            config = self._hydra(overrides, resolve=True)
        for key, value in leaves(config):
            if value == MISSING:
                raise UserError(f"{key} has no value: set it in base")
        return config

    def options(self, group: str) -> list[str]:
        """The files of a group."""
        stems = sorted(path.stem for path in (self.conf / group).glob("*.yaml"))
        return [stem for stem in stems if not stem.startswith("_")]

    def keys(self, config: dict[str, Any]) -> list[str]:
        """Everything that can be set: groups and keys."""
        return sorted(self.groups) + [key for key, _ in leaves(config)]

    def _template(self, groups: tuple[str, ...]) -> Template:
        if groups not in self._templates:
            values = self._hydra(list(groups), resolve=False)
            texts = [(key, value) for key, value in leaves(values) if isinstance(value, str) and "${" in value]
            found = [(key, REFERENCE.fullmatch(value)) for key, value in texts]
            references = [(key, match[1]) for key, match in found if match]
            self._templates[groups] = Template(values, references, simple=len(references) == len(texts))
        return self._templates[groups]

    def _hydra(self, overrides: list[str], resolve: bool) -> dict[str, Any]:
        from hydra import compose, initialize_config_dir
        from hydra.errors import HydraException
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        try:
            with initialize_config_dir(str(self.conf), version_base=None):
                config = compose("config", overrides=overrides)
            content = OmegaConf.to_container(config, resolve=resolve)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(f"{self.conf.name}/ with {' '.join(overrides)}: {str(error).splitlines()[0]}") from error
        assert isinstance(content, dict)
        return content  # type: ignore[return-value]

    def _check_choice(self, group: str, name: Any) -> None:
        options = self.options(group)
        if name not in options:
            raise UserError(
                f"{group}={name}: {self.conf.name}/{group}/ has {', '.join(options)}.{nearest(name, options)}"
            )

    def check_key(self, key: str, config: dict[str, Any]) -> None:
        """Raises UserError: a key that is in no place of a composed config, with the nearest one."""
        if not exists(config, key):
            known = self.keys(config)
            inside = [name for name in known if name.endswith(f".{key}")]
            hint = f" Did you mean '{inside[0]}'?" if inside else nearest(key, known)
            raise UserError(f"{key} is neither a key nor a group of conf/.{hint}")


def leaves(config: Any, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Each key of the config that holds no mapping, with its value; items of lists as well."""
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for name, value in items:
        key = f"{prefix}{name}"
        if not isinstance(value, dict):
            yield key, value
        yield from leaves(value, f"{key}.")


def find(config: Any, key: str) -> Any:
    """The value at a dotted key. Raises KeyError."""
    for part in key.split("."):
        if isinstance(config, list) and part.isdigit() and int(part) < len(config):
            config = config[int(part)]
        elif isinstance(config, dict):
            config = config[part]
        else:
            raise KeyError(key)
    return config


def exists(config: Any, key: str) -> bool:
    """Whether there is something at a dotted key."""
    try:
        find(config, key)
    except KeyError:
        return False
    return True


def fits(change: Any, config: dict[str, Any]) -> bool:
    """Whether an override puts a value without interpolations in another's place, and neither is a mapping."""
    if change.is_add() or change.is_force_add() or change.is_delete():
        return False
    value, key = change.value(), change.key_or_group
    plain = isinstance(value, str | int | float | None) or (isinstance(value, list) and "{" not in str(value))
    return plain and "${" not in str(value) and not isinstance(find(config, key), dict)


def fill(template: Template, changes: dict[str, Any]) -> dict[str, Any]:
    """The template with other values, and its interpolations resolved."""
    config = copied(template.values)
    for key, value in changes.items():
        put(config, key, value)
    pending = [(key, source) for key, source in template.references if key not in changes]
    for key, source in pending:
        put(config, key, resolved(config, source))
    return config


def resolved(config: dict[str, Any], key: str) -> Any:
    """The value at `key`, through as many interpolations as there are. Raises UserError where they go round in a circle."""
    seen: list[str] = []
    while isinstance(value := find(config, key), str) and (match := REFERENCE.fullmatch(value)):
        if key in seen:
            raise UserError(f"conf/: {' → '.join([*seen, key])} go round in a circle")
        seen.append(key)
        key = match[1]
    return copied(value)


def put(config: Any, key: str, value: Any) -> None:
    """Set the value at a dotted key that exists."""
    parent, _, last = key.rpartition(".")
    target = find(config, parent) if parent else config
    target[int(last) if isinstance(target, list) else last] = value


def copied(value: Any) -> Any:
    """A copy of nested mappings and lists: copy.deepcopy without the bookkeeping that these don't need."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value
