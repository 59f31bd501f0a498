"""The config of a run, fast enough for a thousand: composed once for each choice of groups, then filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from configparser import ConfigParser, Error
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lab.design.overrides import Change, key_of
from lab.design.sources import PARAMS, HydraSource, ParamsSource, Remember, Source
from lab.errors import UserError, nearest
from lab.nested_keys import copied, exists, find, flat, leaves, nested, put

if TYPE_CHECKING:
    from lab.contract.models import FinalSplit

REFERENCE = re.compile(r"\$\{(\w+(?:\.\w+)*)\}")
# A key that a text names: ${key}, OmegaConf's ${oc.select:key,otherwise}, or the mapping that ${key.${name}} is in.
NAMED = re.compile(r"\$\{(?:oc\.select:\s*)?(\w+(?:\.\w+)*)(?=\.\$\{|\s*[,}])")
MISSING = "???"
NEITHER = "is neither a key nor a group of"  # what is said of a key that isn't there
Item = TypeVar("Item")
CHANGED: Callable[[Change], str] = attrgetter("key")  # what an override changes


def within(key: str, name: str) -> bool:
    """Whether a key is a setting, or part of it."""
    return f"{key}.".startswith(f"{name}.")


class Template(NamedTuple):
    """The config of one choice of groups.

    Attributes:
        values: interpolations not yet resolved.
        texts: the keys whose values have interpolations.
        simple: whether each of these depends on nothing but the keys that are written in it.
    """

    values: dict[str, Any]
    texts: list[str]
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
        self._composed: dict[tuple[str, ...], dict[str, Any]] = {}  # a plan is made again after each that came out
        self._made: dict[str, Any] = {}  # of a text, and the values of the keys in it

    def check_closed(self, overrides: list[str], final: FinalSplit | None) -> None:
        """Raises WrongKeys: what the project keeps for the end is named, or would be drawn in another way."""
        why = "the final split is opened by lab promote alone, and the same for all designs"
        closed = dict.fromkeys(final.settings, why) if final else {}
        for own in final.drawn_by if final else ():
            group = own.partition(".")[0]
            file = f"the file of your {group} in {self.source.called}{group}/" if group in self.source.groups else ""
            closed[own] = f"{why}: set {own} in {file or self.source.called}, and commit that"
        named = sorted({key_of(text) for text in overrides} - self.source.groups)
        found = {key: [closed[own] for own in closed if within(key, own) or within(own, key)] for key in named}
        if wrong := [(key, problems[-1]) for key, problems in found.items() if problems]:
            raise WrongKeys(wrong)

    def compose(self, overrides: list[str]) -> dict[str, Any]:
        """The config with every interpolation resolved. Raises UserError, as `shared` does."""
        return copied(self.shared(overrides))

    def shared(self, overrides: list[str]) -> dict[str, Any]:
        """The config with every interpolation resolved, the same each time: nobody may change it.

        Raises:
            UserError: a key or a group's file that doesn't exist, with the nearest name; a value that is required.
        """
        if known := self._composed.get(tuple(overrides)):
            return known
        changes: list[Change] = []
        wrong = refused(overrides, key_of, lambda text: changes.append(self.source.parse(text)))
        choices = [change for change in changes if change.key in self.source.groups]
        values = [change for change in changes if change.key not in self.source.groups]
        unknown = refused(choices, CHANGED, lambda choice: self._check_choice(choice.key, choice.value))
        without = {group for group, _ in unknown}  # of which nobody knows the keys
        template = self._template(tuple(sorted(choice.text for choice in choices if choice.key not in without)))
        set_ = [change for change in values if not change.mark.startswith("+")]
        set_ = [change for change in set_ if change.key.partition(".")[0] not in without]
        wrong += unknown + refused(set_, CHANGED, lambda change: self.check_key(change.key, template.values))
        if wrong:
            raise WrongKeys(wrong)
        config = None
        if template.simple and all(fits(change, template.values) for change in values):
            config = self._filled(template, {change.key: change.value for change in values})
        config = self.source.composed(overrides) if config is None else config
        for key, value in leaves(config):
            if value == MISSING:
                raise UserError(f"{key} has no value: set it in base")
        self._composed[tuple(overrides)] = config
        return config

    def options(self, group: str) -> list[str]:
        """The files of a group."""
        return self.source.options(group)

    def settable(self) -> dict[str, list[str]]:
        """Each group with its files, and each key, also of what is in a file that is not chosen, with none."""
        groups = {group: self.options(group) for group in sorted(self.source.groups)}
        files = [(group, self.source.content(group, name)) for group, names in groups.items() for name in names]
        inside = {f"{group}.{key}" for group, content in files for key in flat(content) if key != "defaults"}
        chosen = {key for key in flat(self.source.unresolved([])) if key.partition(".")[0] != "experiment"}
        return {**groups, **{key: [] for key in sorted(chosen | inside) if key not in groups}}

    def keys(self, config: dict[str, Any]) -> list[str]:
        """Everything that can be set: groups and keys."""
        return sorted(self.source.groups) + [key for key, _ in leaves(config)]

    def check_key(self, key: str, config: dict[str, Any]) -> None:
        """Raises UserError: a key that is in no place of a composed config, with files that have it, or the nearest."""
        if exists(config, key):
            return
        group, _, rest = key.partition(".")
        having = [name for name in self.options(group) if rest and exists(self.source.content(group, name), rest)]
        if having:
            raise UserError(
                f"{key} {NEITHER} {self.source.called} as it is chosen: {group}={' or '.join(having)} has it"
            )
        known = self.keys(config)
        inside = [name for name in known if name.endswith(f".{key}")]
        # Of several, what lies deeper is what the first is chosen from, as recipes are.
        hint = f" Did you mean '{min(inside, key=lambda name: name.count('.'))}'?" if inside else nearest(key, known)
        raise UserError(f"{key} {NEITHER} {self.source.called}.{hint}")

    def _check_choice(self, group: str, name: Any) -> None:
        options = self.options(group)
        if name not in options:
            hint = nearest(str(name), options)
            if isinstance(name, dict):
                hint += f" A key of it is set by {group}.key=…"
            elif (
                ways := []
                if hint
                else [f"{group}={one} and {key}={name}" for one, key in self.source.open_choices(group)]
            ):
                hint = f" Any other is set by a key, as {', or '.join(ways)}"
            raise UserError(f"{group}={name}: {self.source.called}{group}/ has {', '.join(options)}.{hint}")

    def _template(self, choices: tuple[str, ...]) -> Template:
        if choices not in self._templates:
            values = self.source.unresolved(list(choices))
            self._templates[choices] = template(values)
        return self._templates[choices]

    def _filled(self, template: Template, changes: dict[str, Any]) -> dict[str, Any] | None:
        """The template with other values, its interpolations resolved; None where a key that is named isn't there."""
        config = copied(template.values)
        for key, value in changes.items():
            put(config, key, value)
        resolution = Resolution(config, self._computed)
        try:
            made = {key: resolution.at(key) for key in template.texts}
        except KeyError:
            return None
        for key, value in made.items():
            put(config, key, copied(value))
        return config

    def _computed(self, text: str, values: dict[str, Any]) -> Any:
        """What a text comes to: computed once for all runs in which the keys in it have the same values."""
        known = json.dumps([text, values], sort_keys=True, default=str)
        if known not in self._made:
            self._made[known] = self.source.value(text, nested(values))
        return self._made[known]


class Resolution:
    """The interpolations of a config, each worked out once.

    Args:
        config: with interpolations, which it keeps.
        compute: a text, and the values of the keys in it by key, to what it comes to.
    """

    def __init__(self, config: dict[str, Any], compute: Callable[[str, dict[str, Any]], Any]):
        self._config, self._compute = config, compute
        self._known: dict[str, Any] = {}
        self._above: list[str] = []

    def at(self, key: str) -> Any:
        """What is at a key in the end, also where that is inside of what another comes to.

        Raises KeyError; UserError: keys that go round in a circle.
        """
        value: Any = self._config
        path = ""
        for part in key.split("."):
            path = f"{path}.{part}" if path else part
            value = self._value(find(value, part), path)
        return self._whole(value, path)

    def _whole(self, value: Any, path: str) -> Any:
        """A mapping or a list with all that is in it resolved; anything else as it is."""
        if not isinstance(value, dict | list) or "${" not in str(value):
            return value
        items = value.items() if isinstance(value, dict) else enumerate(value)
        made = {name: self._whole(self._value(item, f"{path}.{name}"), f"{path}.{name}") for name, item in items}
        return made if isinstance(value, dict) else list(made.values())

    def _value(self, value: Any, path: str) -> Any:
        if not isinstance(value, str) or "${" not in value:
            return value
        if path not in self._known:
            if path in self._above:
                raise UserError(f"conf/: {' → '.join([*self._above, path])} go round in a circle")
            self._above.append(path)
            try:
                self._known[path] = self._worked_out(value)
            finally:
                self._above.pop()
        return self._known[path]

    def _worked_out(self, text: str) -> Any:
        if match := REFERENCE.fullmatch(text):
            return self.at(match[1])
        values = {}
        for key in sorted(set(NAMED.findall(text))):
            with suppress(KeyError):  # what is only selected may be nowhere
                values[key] = self.at(key)
        return self._compute(text, values)


def refused(items: Iterable[Item], key: Callable[[Item], str], check: Callable[[Item], None]) -> list[tuple[str, str]]:
    """All of the overrides that a check refuses: the key of each, and why."""
    wrong = []
    for item in items:
        try:
            check(item)
        except UserError as error:
            wrong.append((key(item), str(error)))
    return wrong


def composer_of(tree: Path, remember: Remember = lambda key, work_out: work_out()) -> Composer:
    """The composer of a project, or of a folder that has its config: Hydra's where DVC uses it, else of params.yaml.

    What they `remember` is not composed again.

    Raises:
        UserError: neither is there.
    """
    hydra = _hydra_settings(tree / ".dvc" / "config")
    folder = tree / config_folder(tree)
    name = hydra.get("config_name", "config")
    enabled = hydra["enabled"].lower() == "true" if "enabled" in hydra else (folder / f"{name}.yaml").is_file()
    return Composer(HydraSource(folder, name, remember) if enabled else ParamsSource(tree / PARAMS))


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
    return Template(values, list(texts), all(len(NAMED.findall(text)) == text.count("${") for text in texts.values()))


def fits(change: Change, config: dict[str, Any]) -> bool:
    """Whether an override puts a value without interpolations in another's place, and neither is a mapping."""
    if change.mark:
        return False
    value = change.value
    plain = isinstance(value, str | int | float | None) or (isinstance(value, list) and "{" not in str(value))
    return plain and "${" not in str(value) and not isinstance(find(config, change.key), dict)
