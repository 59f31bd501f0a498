"""Where a config comes from: Hydra composes it from conf/, or it is params.yaml as it stands."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from functools import cache, cached_property
from importlib import metadata
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

import yaml

from lab import yaml12
from lab.design import overrides
from lab.design.overrides import Change
from lab.errors import UserError
from lab.nested_keys import copied, exists, find, get, put

PARAMS = "params.yaml"
version = cache(metadata.version)  # which parses a file each time
OUTSIDE = re.compile(rb"searchpath|oc\.env")  # by which a config is made of more than its folder
Remember = Callable[[str, Callable[[], Any]], Any]
"""What was worked out before by this key, or works it out; what JSON can't write is worked out each time."""


class Source(Protocol):
    """What a Composer needs of it. `called` is for messages, `groups` are the folders to choose a file from."""

    called: str
    groups: set[str]

    def parse(self, text: str) -> Change:
        """An override, read. Raises UserError."""
        ...

    def options(self, group: str) -> list[str]:
        """The files of a group."""
        ...

    def content(self, group: str, name: str) -> dict[str, Any]:
        """What a file of a group says itself; empty where it can't be read."""
        ...

    def open_choices(self, group: str) -> list[tuple[str, str]]:
        """The files that stand for many choices, each with the key that tells which."""
        ...

    def unresolved(self, choices: list[str]) -> dict[str, Any]:
        """The config with these files of groups, its interpolations as they are written. Raises UserError."""
        ...

    def composed(self, texts: list[str]) -> dict[str, Any]:
        """The config with all these overrides, its interpolations resolved. Raises UserError."""
        ...

    def value(self, text: str, config: dict[str, Any]) -> Any:
        """What a text with interpolations stands for in a config. Raises UserError."""
        ...

    def place(self, key: str, value: str) -> str:
        """Where a key gets a value, as a sentence begins: `params.yaml, line 3: lr: `; nothing without a key."""
        ...


class HydraSource:
    """A folder with Hydra's configs and groups of them. Composing takes 0.1 s, unless that is remembered, and so does
    importing Hydra."""

    def __init__(
        self,
        folder: Path,
        config_name: str = "config",
        remember: Remember = lambda key, work_out: work_out(),
    ):
        if not folder.is_dir():
            raise UserError(f"{folder}/ not found: .dvc/config says that Hydra composes the config from it")
        self.folder, self.config_name, self._remember = folder.resolve(), config_name, remember
        self.called = f"{self.folder.name}/"
        check_sizes(self.folder)
        self.groups = {path.name for path in self.folder.iterdir() if path.is_dir()}

    def parse(self, text: str) -> Change:
        return Change(*self._once(["parsed", version("hydra-core"), text], lambda: list(overrides.parse(text))))

    def options(self, group: str) -> list[str]:
        stems = sorted(path.stem for path in (self.folder / group).glob("*.yaml"))
        return [stem for stem in stems if not stem.startswith("_")]

    def content(self, group: str, name: str) -> dict[str, Any]:
        try:
            return yaml12.mapping((self.folder / group / f"{name}.yaml").read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError):
            return {}  # Hydra says what is wrong with it, where it is chosen

    def open_choices(self, group: str) -> list[tuple[str, str]]:
        """Those whose opening commands set a key of the group to what no other file's do: `-S g=any -S g.key=some`."""
        commands = re.compile(rf"-S {re.escape(group)}=(\S+).* -S ({re.escape(group)}\.\S+?)=(\S+)")
        found = []
        for name in self.options(group):
            text = (self.folder / group / f"{name}.yaml").read_text(encoding="utf-8", errors="replace")
            opening = takewhile(lambda line: line.startswith("#"), text.splitlines())
            found += [match.groups() for line in opening if (match := commands.search(line))]
        often = Counter((key, value) for _, key, value in found)
        return list(dict.fromkeys((name, key) for name, key, value in found if often[key, value] == 1))

    def unresolved(self, choices: list[str]) -> dict[str, Any]:
        def compose() -> dict[str, Any]:
            return self._hydra(choices, resolve=False)

        return self._once(["composed", self._content, choices], compose) if self._content else compose()

    def composed(self, texts: list[str]) -> dict[str, Any]:
        return self._hydra(texts, resolve=True)

    def value(self, text: str, config: dict[str, Any]) -> Any:
        key = ["value", version("omegaconf"), text, config]
        return self._once(key, lambda: [self._value(text, config)])[0]

    def _value(self, text: str, config: dict[str, Any]) -> Any:
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        try:
            content = OmegaConf.to_container(OmegaConf.create({**config, "": text}), resolve=True)
        except OmegaConfBaseException as error:
            raise UserError(f"{self.called}: {text}: {str(error).splitlines()[0]}") from error
        assert isinstance(content, dict)
        return content[""]

    def place(self, key: str, value: str) -> str:
        group, _, rest = key.partition(".")
        files = [(path, rest) for path in sorted((self.folder / group).glob("*.yaml"))] if group in self.groups else []
        files += [(path, key) for path in sorted(self.folder.glob("*.yaml"))]
        line, path = next(((line, path) for path, name in files if (line := line_in(path, name, value))), (None, None))
        file = f"{path.relative_to(self.folder.parent)}, line {line}" if path else self.called
        return f"{file}: {key}: " if key else ""

    def _once(self, key: list[Any], work_out: Callable[[], Any]) -> Any:
        return self._remember(repr(key), work_out)

    @cached_property
    def _content(self) -> str:
        """A hash of all that Hydra composes from; empty where that is not the folder alone."""
        found = hashlib.sha256(f"{self.config_name} {version('hydra-core')} {version('omegaconf')}".encode())
        for path in sorted(self.folder.rglob("*.yaml")):
            content = path.read_bytes()
            if OUTSIDE.search(content):
                return ""
            found.update(f"\n{path.relative_to(self.folder)} {len(content)}\n".encode() + content)
        return found.hexdigest()

    def _hydra(self, texts: list[str], resolve: bool) -> dict[str, Any]:
        from hydra import compose, initialize_config_dir
        from hydra.errors import HydraException
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        try:
            with initialize_config_dir(str(self.folder), version_base=None):
                config = compose(self.config_name, overrides=texts)
            content = OmegaConf.to_container(config, resolve=resolve)
        except (HydraException, OmegaConfBaseException) as error:
            said = " ".join([self.called, *(["with", *texts] if texts else [])])
            raise UserError(f"{said}: {str(error).splitlines()[0]}") from error
        except yaml.YAMLError as error:
            raise UserError(f"{self.called}: not YAML: {' '.join(str(error).split())}") from error
        assert isinstance(content, dict)
        return content  # type: ignore[return-value]


def check_sizes(folder: Path) -> None:
    """Raises UserError: a config that would fill the memory; Hydra writes every alias out."""
    for path in sorted(folder.rglob("*.yaml")):
        try:
            yaml12.refuse_outsized(path.read_text(encoding="utf-8"))
        except yaml12.Outsized as error:
            raise UserError(f"{path.relative_to(folder.parent)}, {yaml12.explained(error)}") from error
        except (yaml.YAMLError, UnicodeDecodeError):
            continue  # Hydra says what is wrong with it, where it is used


def line_in(path: Path, key: str, value: str) -> int | None:
    """The line on which a YAML file gives a key this value; None where it doesn't."""
    try:
        text = path.read_text(encoding="utf-8")
        same = str(get(yaml12.load(text), key)) == value
        return yaml12.line_of(yaml12.lines(text), key.split(".")) if same else None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError):
        return None


class ParamsSource:
    """params.yaml, in which overrides set, add (+) and take away (~) keys, as `dvc exp run -S` does without Hydra."""

    called = PARAMS

    def __init__(self, path: Path):
        if not path.is_file():
            raise UserError(f"{path} not found: lab reads the settings from it; a file with {{}} has none")
        content = yaml12.read(path)
        self._params: dict[str, Any] = content if isinstance(content, dict) else {}
        self.groups: set[str] = set()
        self._path = path

    def parse(self, text: str) -> Change:
        return overrides.parse_plain(text)

    def options(self, group: str) -> list[str]:
        return []

    def content(self, group: str, name: str) -> dict[str, Any]:
        return {}

    def open_choices(self, group: str) -> list[tuple[str, str]]:
        return []

    def unresolved(self, choices: list[str]) -> dict[str, Any]:
        return self._params

    def composed(self, texts: list[str]) -> dict[str, Any]:
        config = copied(self._params)
        for change in map(self.parse, texts):
            _apply(change, config)
        return config

    def value(self, text: str, config: dict[str, Any]) -> Any:
        return text

    def place(self, key: str, value: str) -> str:
        line = line_in(self._path, key, value)
        return f"{PARAMS}{f', line {line}' if line else ''}: {key}: " if key else ""


def _apply(change: Change, config: dict[str, Any]) -> None:
    """Set, add or take away a key. Raises UserError: what is added is there, or has no place."""
    old = get(config, change.key)
    if change.mark == "+" and exists(config, change.key):
        raise UserError(f"{change.text}: {change.key} is in {PARAMS}: set it without +")
    *folders, last = change.key.split(".")
    place: Any = config
    for name in folders:
        place = place.setdefault(name, {}) if isinstance(place, dict) else find(place, name)
    if change.mark == "~":
        del place[last]
    elif isinstance(place, dict | list):
        both = isinstance(old, dict) and isinstance(change.value, dict)
        put(place, last, {**old, **change.value} if both else change.value)
    else:
        raise UserError(f"{change.text}: {'.'.join(folders)} is a single value in {PARAMS}")
