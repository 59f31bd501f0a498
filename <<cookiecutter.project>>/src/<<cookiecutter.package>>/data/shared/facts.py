"""What labels say of an image beside its classes and places: columns of items.csv, for metrics by their values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

NOT_SO = ("", "0", "0.0", "false")  # said of an object, it tells nothing of the image


def own(entry: Mapping[str, Any], standard: Collection[str]) -> dict[str, str]:
    """What an entry of a label file says by keys that its format does not define, also inside mappings.

    That is how `attributes` are written by CVAT and Datumaro, and `extra` by Roboflow. Texts, numbers, yes and no, and
    lists of texts count; whatever else there is has no place in a column.
    """
    said: dict[str, str] = {}
    for key, value in entry.items():
        if key not in standard:
            inside = value if isinstance(value, Mapping) else {key: value}
            said |= {str(name): text for name, each in inside.items() if name and (text := _text(each))}
    return said


def together(told: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What the objects of one image say together: by each name, every value that one of them has.

    `red and white`, and `true` where it is so of any object; what is not so of any isn't named.
    """
    values: dict[str, set[str]] = defaultdict(set)
    for said in told:
        for name, value in said.items():
            if value.lower() not in NOT_SO:
                values[name].add(value)
    return {name: _joined(each) for name, each in values.items()}


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return _joined({each.strip() for each in value})
    text = str(value).strip() if isinstance(value, str | int | float) else ""
    return text.lower() if isinstance(value, bool) else text


def _joined(values: Collection[str]) -> str:
    return " and ".join(sorted(values))
