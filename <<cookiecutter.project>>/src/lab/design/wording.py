"""A project's own words for kinds and comparisons, which `words` of lab.yaml says in the words of designs."""

from __future__ import annotations

from typing import Any, NamedTuple

from lab.contract.models import Contract, Words
from lab.design.levels import label
from lab.design.overrides import override
from lab.errors import Keys, MistakesInFile

BLOCK = "comparison"
OWN = ("variable", "values", "variables")


class Plain(NamedTuple):
    """A design in the words of designs.

    Attributes:
        data: what its file would hold.
        places: keys of that -> the keys of the file that say so.
        said: what each of the project's words stands for, in a sentence.
    """

    data: dict[str, Any]
    places: dict[Keys, Keys]
    said: list[str]


def plain(data: dict[str, Any], contract: Contract | None) -> Plain:
    """What a design says. Raises MistakesInFile: words that don't go together."""
    words = contract.words if contract else Words()
    said = []
    kind = data.get("kind")
    if isinstance(kind, str) and (meant := words.kinds.get(kind)):
        given = {"type": meant.type} if meant.type and "type" not in data else {}
        data = {**data, "kind": meant.kind, **given}
        more = "".join(f", {key}: {value}" for key, value in given.items())
        said.append(f"kind: {kind} stands for kind: {meant.kind}{more}")
    block = data.get(BLOCK)
    used = [word for word in block if word in words.comparison] if isinstance(block, dict) else []
    if not isinstance(block, dict) or not used:
        return Plain(data, {}, said)
    _check(block, used, words.comparison)
    rest = {key: value for key, value in block.items() if key not in used}
    places: dict[Keys, Keys]
    if len(used) == 1:
        (word,) = used
        key = words.comparison[word]
        more = _one(key, block[word])
        places = {(BLOCK, own): (BLOCK, word) for own in OWN[:2]}
        said.append(f"{BLOCK}.{word} stands for variable: {key}, values: {_shown(more['values'])}")
    else:
        keys = {word: words.comparison[word] for word in used}
        more = {"variables": {key: block[word] for word, key in keys.items()}}
        places = {(BLOCK, "variables", key): (BLOCK, word) for word, key in keys.items()}
        listed = ", ".join(f"{key}: {_shown(block[word])}" for word, key in keys.items())
        said.append(f"{' and '.join(f'{BLOCK}.{word}' for word in used)} stand for variables: {listed}")
    return Plain({**data, BLOCK: more | rest}, places, said)


def in_file(keys: Keys, places: dict[Keys, Keys]) -> Keys:
    """The keys of the file that say what is at `keys` in the words of designs."""
    for own, place in places.items():
        if keys[: len(own)] == own:
            return (*place, *keys[len(own) :])
    return keys


def _check(block: dict[str, Any], used: list[str], known: dict[str, str]) -> None:
    """Raises MistakesInFile: a word beside what it stands for, or beside another for the same."""
    wrong: list[tuple[Keys, str]] = []
    for word, own in ((word, own) for word in used for own in OWN if own in block):
        text = f"{BLOCK}.{word} stands for {known[word]} with its values, and {own} is there as well: give one of them"
        wrong.append(((BLOCK, word), text))
    for place, word in enumerate(used):
        if other := next((each for each in used[:place] if known[each] == known[word]), None):
            text = f"{BLOCK}.{word} and {BLOCK}.{other} both stand for {known[word]}: give one of them"
            wrong.append(((BLOCK, word), text))
    if wrong:
        raise MistakesInFile(*wrong)


def _one(key: str, values: Any) -> dict[str, Any]:
    """A variable and its values; arms by name say the value alone: {old: v2} is {old: infer.model=v2}."""
    if isinstance(values, dict):
        alone = {name for name, value in values.items() if is_scalar(value) and "=" not in str(value)}
        values = {name: override(key, value) if name in alone else value for name, value in values.items()}
    return {"variable": key, "values": values}


def is_scalar(value: Any) -> bool:
    """Whether it is a single value."""
    return isinstance(value, bool | int | float | str)


def _shown(values: Any) -> str:
    if isinstance(values, dict):
        return f"{{{', '.join(f'{name}: {value}' for name, value in values.items())}}}"
    return f"[{', '.join(map(label, values))}]" if isinstance(values, list) else str(values)
