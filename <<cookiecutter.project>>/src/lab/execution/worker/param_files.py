"""Files of params as DVC reads them, and what a stage's keys of them are."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from lab.execution.worker.errors import Unsupported
from lab.execution.worker.pipeline import Params

DEFAULT = "params.yaml"


class MissingParams(Exception):
    """A file or a key of it is not there."""


class ParamFiles:
    """The params of the checkout at `project`, each file read once until `forget` is called."""

    def __init__(self, project: Path):
        self._project = project
        self._contents: dict[str, Any] = {}

    def forget(self) -> None:
        """Read them again: a command has run."""
        self._contents.clear()

    def values(self, params: Params) -> dict[str, Any]:
        """The values that are there, by key; a file that is not there has none."""
        import dpath

        contents = self._read(params.path)
        if contents is None:
            return {}
        if not params.keys:
            return contents
        found = {}
        for key in params.keys:
            try:
                found[key] = dpath.get(contents, key, separator=".")
            except KeyError:
                continue
        return found

    def differ(self, params: Params, noted: dict[str, Any] | None) -> bool:
        """Whether they are not what dvc.lock says."""
        if self._read(params.path) is None or noted is None:
            return True
        actual = self.values(params)
        info = {key: noted[key] for key in params.keys if key in noted} if params.keys else noted
        keys = params.keys or {*actual, *info}
        return any(key not in actual or key not in info or actual[key] != info[key] for key in keys)

    def to_lock(self, params: Iterable[Params]) -> dict[str, dict[str, Any]]:
        """Their part of an entry of dvc.lock. Raises MissingParams, Unsupported."""
        entry: dict[str, dict[str, Any]] = {}
        for each in sorted(params, key=lambda each: (each.name != DEFAULT, each.name)):
            if self._read(each.path) is None:
                raise MissingParams(f"Parameters file '{each.path}' does not exist")
            values = self.values(each)
            missing = [key for key in each.keys if key not in values]
            if missing:
                raise MissingParams(f"Parameters '{', '.join(missing)}' are missing from '{each.path}'.")
            entry[each.name] = {key: values[key] for key in sorted(values)}
        _check_plain(entry, set())
        return entry

    def _read(self, path: str) -> Any:
        if path not in self._contents:
            try:
                data = (self._project / path).read_bytes()
            except FileNotFoundError:
                self._contents[path] = None
            except IsADirectoryError as error:
                raise MissingParams(f"'{path}' is a directory, expected a parameters file") from error
            else:
                self._contents[path] = _parsed(os.path.splitext(path)[1].lower(), data)
        return self._contents[path]


@lru_cache(maxsize=32)
def _parsed(ending: str, data: bytes) -> Any:
    from dvc.exceptions import DvcException
    from dvc.utils.serialize import PARSERS

    if ending == ".py":
        raise Unsupported("params in a Python file")
    parser = PARSERS.get(ending, PARSERS[".yaml"])
    try:
        contents = parser(data.decode(), "params")
    except (DvcException, UnicodeDecodeError) as error:
        raise Unsupported(f"params: {error}") from error
    if not isinstance(contents, dict):
        raise Unsupported("a params file that is no mapping")
    return contents


def _check_plain(value: Any, seen: set[int]) -> None:
    """Raises Unsupported for what YAML would write with anchors, or JSON not at all."""
    if isinstance(value, dict | list):
        if id(value) in seen:
            raise Unsupported("params that dvc.lock would write as a reference to others")
        seen.add(id(value))
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if not isinstance(key, str | int):
                raise Unsupported(f"params with the key {key!r}")
            _check_plain(item, seen)
    elif not isinstance(value, str | int | float | bool | None):
        raise Unsupported(f"params with a {type(value).__name__}")
