"""Configs by dotted keys, and back."""

from __future__ import annotations

from typing import Any


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config by dotted keys."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result


def nested(config: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys as mappings in mappings."""
    result: dict[str, Any] = {}
    for key, value in config.items():
        place = result
        *folders, last = key.split(".")
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return result
