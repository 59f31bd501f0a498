"""Configs and metrics by dotted keys, such as `model.lr` or `steps.0`: looked up, set, and spread out.

A name may have dots itself, such as a class `v1.2`: it stands in a key as it is, and `find` finds what `flat` spread
out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any


def find(config: Any, key: str) -> Any:
    """The value at a dotted key; a number is a place in a list. Raises KeyError."""
    if isinstance(config, Mapping):
        end = key.find(".")
        while end >= 0:
            if key[:end] in config:
                with suppress(KeyError):
                    return find(config[key[:end]], key[end + 1 :])
            end = key.find(".", end + 1)  # the name goes on behind the dot
        return config[key]
    name, _, rest = key.partition(".")
    if isinstance(config, list) and name.isdigit() and int(name) < len(config):
        return find(config[int(name)], rest) if rest else config[int(name)]
    raise KeyError(key)


def get(config: Any, key: str, default: Any = None) -> Any:
    """The value at a dotted key, or `default` where there is nothing."""
    try:
        return find(config, key)
    except KeyError:
        return default


def exists(config: Any, key: str) -> bool:
    """Whether there is something at a dotted key."""
    try:
        find(config, key)
    except KeyError:
        return False
    return True


def put(config: Any, key: str, value: Any) -> None:
    """Set the value at a dotted key whose parent exists. Raises KeyError."""
    parent, _, last = key.rpartition(".")
    target = find(config, parent) if parent else config
    target[int(last) if isinstance(target, list) else last] = value


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each key of the config that holds no mapping, with its value; items of lists as well."""
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for name, value in items:
        key = f"{prefix}{name}"
        if not isinstance(value, dict):
            yield key, value
        yield from leaves(value, f"{key}.")


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config by dotted keys; lists and empty mappings are values."""
    return dict(pairs(config, prefix))


def pairs(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The same one by one: a key comes twice where names with dots make two places of it."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from pairs(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as mappings in mappings: what `flat` spread out; `find` finds each in it.

    A key that goes on behind another one, which has a value, is a name with dots: beside `v1`, `v1.2` is one.
    """
    result: dict[str, Any] = {}
    for key, value in config.items():
        place, start = result, 0
        while (end := key.find(".", start)) >= 0 and key[:end] not in config:
            place = place.setdefault(key[start:end], {})
            start = end + 1
        place[key[start:]] = value
    return result


def copied(value: Any) -> Any:
    """A copy of nested mappings and lists: copy.deepcopy without the bookkeeping that these don't need."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def as_float(value: float) -> float:
    """A number of a file as a float; a whole one that no float holds is infinite."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
