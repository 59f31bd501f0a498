"""The config of a run, fast enough for a thousand: composed once for each choice of groups, then filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from configparser import ConfigParser, Error
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from lab.design.overrides import Change, key_of
from lab.design.sources import PARAMS, HydraSource, ParamsSource, Source
from lab.errors import UserError, nearest
from lab.nested_keys import copied, exists, find, leaves, nested, put

REFERENCE = re.compile(r"\$\{(\w+(?:\.\w+)*)\}")
SELECTION = re.compile(
    r"\$\{oc\.select:\s*(\w+(?:\.\w+)*)(?=\.\$\{|\s*[,}])"
)  # OmegaConf's: ${oc.select:key,otherwise}
MISSING = "???"
Item = TypeVar("Item")
CHANGED: Callable[[Change], str] = attrgetter("key")  # what an override changes


class Template(NamedTuple):
    """The config of one choice of groups.

    Attributes:
        values: interpolations not yet resolved.
        references: keys that are another's value: key -> the other.
        texts: keys that are made of others' values by more than that: key -> the text.
        simple: whether these are all the interpolations there are.
    """

    values: dict[str, Any]
    references: dict[str, str]
    texts: dict[str, str]
    simple: bool


class WrongKeys(UserError):
    """Overrides of what isn't there: the key of each, and what is wrong with it."""

    def __init__(self, mistakes: list[tuple[str, str]]):
        super().__init__("\n".join(text for _, text in mistakes))
        self.mistakes = mistakes


class Composer:
    """Composes the config as `dvc exp run -S` does.

    Overrides that only replace values are filled in here. Everything else, such as +new=1, goes through the source.
    """

    def __init__(self, source: Source):
        self.source = source
        self._templates: dict[tuple[str, ...], Template] = {}
        self._made: dict[str, Any] = {}  # of a text, and the values of the keys in it

    def compose(self, overrides: list[str]) -> dict[str, Any]:
        """The config with every interpolation resolved.

        Raises:
            UserError: a key or a group's file that doesn't exist, with the nearest name; a value that is required.
        """
        changes: list[Change] = []
        refuse(overrides, key_of, lambda text: changes.append(self.source.parse(text)))
        choices = [change for change in changes if change.key in self.source.groups]
        values = [change for change in changes if change.key not in self.source.groups]
        refuse(choices, CHANGED, lambda choice: self._check_choice(choice.key, choice.value))
        template = self._template(tuple(sorted(choice.text for choice in choices)))
        set_ = [change for change in values if not change.mark.startswith("+")]
        refuse(set_, CHANGED, lambda change: self.check_key(change.key, template.values))
        if template.simple and all(fits(change, template.values) for change in values):
            config = self._filled(template, {change.key: change.value for change in values})
        else:
            config = self.source.composed(overrides)
        for key, value in leaves(config):
            if value == MISSING:
                raise UserError(f"{key} has no value: set it in base")
        return config

    def options(self, group: str) -> list[str]:
        """The files of a group."""
        return self.source.options(group)

    def keys(self, config: dict[str, Any]) -> list[str]:
        """Everything that can be set: groups and keys."""
        return sorted(self.source.groups) + [key for key, _ in leaves(config)]

    def check_key(self, key: str, config: dict[str, Any]) -> None:
        """Raises UserError: a key that is in no place of a composed config, with the nearest one."""
        if not exists(config, key):
            known = self.keys(config)
            inside = [name for name in known if name.endswith(f".{key}")]
            hint = f" Did you mean '{inside[0]}'?" if inside else nearest(key, known)
            raise UserError(f"{key} is neither a key nor a group of {self.source.called}.{hint}")

    def _check_choice(self, group: str, name: Any) -> None:
        options = self.options(group)
        if name not in options:
            files = f"{self.source.called}{group}/ has {', '.join(options)}.{nearest(str(name), options)}"
            inside = f" A key of it is set by {group}.key=…" if isinstance(name, dict) else ""
            raise UserError(f"{group}={name}: {files}{inside}")

    def _template(self, choices: tuple[str, ...]) -> Template:
        if choices not in self._templates:
            values = self.source.unresolved(list(choices))
            self._templates[choices] = template(values)
        return self._templates[choices]

    def _filled(self, template: Template, changes: dict[str, Any]) -> dict[str, Any]:
        """The template with other values, and its interpolations resolved."""
        config = copied(template.values)
        for key, value in changes.items():
            put(config, key, value)
        for key, text in template.texts.items():
            if key not in changes:
                put(config, key, self._value(text, config))
        for key, source in template.references.items():
            if key not in changes:
                put(config, key, resolved(config, source))
        return config

    def _value(self, text: str, config: dict[str, Any]) -> Any:
        """What a text comes to: computed once for all runs in which the keys in it have the same values."""
        values = {key: resolved(config, key) for key in keys_in(text)}
        known = json.dumps([text, values], sort_keys=True, default=str)
        if known not in self._made:
            self._made[known] = self.source.value(text, nested(values))
        return copied(self._made[known])


def refuse(items: Iterable[Item], key: Callable[[Item], str], check: Callable[[Item], None]) -> None:
    """Raises WrongKeys: all of the overrides that a check refuses."""
    wrong = []
    for item in items:
        try:
            check(item)
        except UserError as error:
            wrong.append((key(item), str(error)))
    if wrong:
        raise WrongKeys(wrong)


def composer_of(tree: Path) -> Composer:
    """The composer of a project, or of a folder that has its config: Hydra's where DVC uses it, else of params.yaml.

    Raises:
        UserError: neither is there.
    """
    hydra = _hydra_settings(tree / ".dvc" / "config")
    folder = tree / config_folder(tree)
    name = hydra.get("config_name", "config")
    enabled = hydra["enabled"].lower() == "true" if "enabled" in hydra else (folder / f"{name}.yaml").is_file()
    return Composer(HydraSource(folder, name) if enabled else ParamsSource(tree / PARAMS))


def config_folder(tree: Path) -> str:
    """Where the configs that Hydra composes lie in a project, as DVC's config says."""
    return _hydra_settings(tree / ".dvc" / "config").get("config_dir", "conf")


def _hydra_settings(path: Path) -> dict[str, str]:
    """The section on Hydra of a DVC config; empty where there is none."""
    parser = ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    try:
        parser.read(path, encoding="utf-8")
    except (Error, UnicodeDecodeError):
        return {}  # DVC itself says what is wrong with it
    return {key: value or "" for key, value in parser["hydra"].items()} if parser.has_section("hydra") else {}


def template(values: dict[str, Any]) -> Template:
    """A config with the places of its interpolations."""
    texts = {key: value for key, value in leaves(values) if isinstance(value, str) and "${" in value}
    references = {key: match[1] for key, value in texts.items() if (match := REFERENCE.fullmatch(value))}
    others = {key: value for key, value in texts.items() if key not in references}
    simple = all(is_plain(values, source, others) for source in references.values())
    return Template(values, references, others, simple and all(is_foreseen(text, values) for text in others.values()))


def is_foreseen(text: str, values: dict[str, Any]) -> bool:
    """Whether a text depends on nothing but the keys that are written in it."""
    known = len(REFERENCE.findall(text)) + len(SELECTION.findall(text)) == text.count("${")
    return known and all(is_plain(values, key, {}) for key in keys_in(text))


def is_plain(values: dict[str, Any], key: str, texts: dict[str, str]) -> bool:
    """Whether what is at a key has no interpolations but references to others, or is one of the `texts`."""
    if not exists(values, key):
        return False
    match = REFERENCE.fullmatch(str(find(values, key)))
    if match:
        resolved(values, key)  # not in a circle
        return is_plain(values, match[1], texts)
    return key in texts or "${" not in str(find(values, key))


def keys_in(text: str) -> list[str]:
    """The keys that a text names; of one that it selects by another's value, the mapping that it is in."""
    return list(dict.fromkeys([*SELECTION.findall(text), *REFERENCE.findall(text)]))


def fits(change: Change, config: dict[str, Any]) -> bool:
    """Whether an override puts a value without interpolations in another's place, and neither is a mapping."""
    if change.mark:
        return False
    value = change.value
    plain = isinstance(value, str | int | float | None) or (isinstance(value, list) and "{" not in str(value))
    return plain and "${" not in str(value) and not isinstance(find(config, change.key), dict)


def resolved(config: dict[str, Any], key: str) -> Any:
    """The value at `key`, through as many interpolations as there are. Raises UserError: they go round in a circle."""
    seen: list[str] = []
    while isinstance(value := find(config, key), str) and (match := REFERENCE.fullmatch(value)):
        if key in seen:
            raise UserError(f"conf/: {' → '.join([*seen, key])} go round in a circle")
        seen.append(key)
        key = match[1]
    return copied(value)
