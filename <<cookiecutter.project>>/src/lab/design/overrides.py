"""Overrides in Hydra's grammar: values written so that they are read back as they are, with Hydra or without."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import yaml

from lab import yaml12
from lab.errors import UserError

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")  # what Hydra reads as a text without quotes…
NUMBER = re.compile(r"([a-z_]\w*(?:\.[a-z_]\w*)*)=(-?(?:0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?)", re.ASCII | re.IGNORECASE)
NEXT = re.compile(r",\s*(?=\w[\w-]*:|[^=,]*(?:,|$))")  # between two of them: an arm's name has commas of its own
RESERVED = re.compile(r"true|false|null|nan|inf", re.IGNORECASE)  # …unless it is one of these
QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
PURE = ("oc.select", "oc.create", "oc.dict.keys", "oc.dict.values")  # OmegaConf's resolvers that see the config alone
SEVERAL = re.compile(r"(choice|range|interval|glob|sort|shuffle|tag)\(")  # functions that Hydra has for sweeps


class Change(NamedTuple):
    """What an override does to the config: sets a key, adds one (+), sets or adds one (++), or takes it away (~)."""

    text: str
    mark: str  # "", +, ++ or ~
    key: str
    value: Any


def override(key: str, value: Any) -> str:
    """`key=value` for Hydra."""
    return f"{key}={quote(value)}"


def quote(value: Any) -> str:
    """A value in Hydra's grammar: https://hydra.cc/docs/advanced/override_grammar/basic

    Texts stand for themselves, so that `${lr}` is a text and no interpolation.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(map(quote, value))}]"
    if not isinstance(value, str):
        return repr(value)
    if PLAIN.fullmatch(value) and not RESERVED.fullmatch(value):
        return value
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)  # OmegaConf's: after Hydra has taken the quotes off
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", literal)  # Hydra's: backslashes count only before a quote
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{trailing * chr(92)}'"


def written_out(text: str, keys: Iterable[str | None]) -> str:
    """The override with the quotes that Hydra wants around models such as `lr_sweep:lr=0.01,batch_size=16`.

    `keys` are the settings that name models; one of a list's places is set by its number.
    """
    key, _, value = text.partition("=")
    if "=" not in value or re.search("['\"]", value) or re.sub(r"\.\d+$", "", key) not in keys:
        return text
    value = value.strip()
    listed = value.startswith("[") and value.endswith("]")
    return override(key, [name.strip() for name in NEXT.split(value[1:-1])] if listed else value)


def key_of(text: str) -> str:
    """What an override sets: `training.ema` of `training.ema=false`, `+new=1` or `~training.ema`."""
    return text.partition("=")[0].strip().lstrip("+~")


def last_of_each(overrides: list[str]) -> list[str]:
    """The overrides without those that a later one of the same key replaces."""
    return list({text.partition("=")[0].strip(): text for text in overrides}.values())


@lru_cache(maxsize=16_384)
def parse(text: str) -> Change:
    """An override as Hydra understands it. Raises UserError: not one, or several values at once."""
    if number := NUMBER.fullmatch(text):  # a hundred times as fast as Hydra's parser, and a random sweep has thousands
        is_float = number[3] is not None or number[4] is not None
        return Change(text, "", number[1], float(number[2]) if is_float else int(number[2]))
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    check_interpolations(text)
    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise no_override(text, str(error).splitlines()[0]) from error
    if parsed.is_sweep_override():
        raise several_values(text)
    mark = "+" if parsed.is_add() else "++" if parsed.is_force_add() else "~" if parsed.is_delete() else ""
    return Change(text, mark, parsed.key_or_group, parsed.value())


@lru_cache(maxsize=16_384)
def parse_plain(text: str) -> Change:
    """An override of a project without Hydra, which need not be installed. Raises UserError, as `parse` does.

    Values are those of YAML, and texts may be in quotes as Hydra has them: what `override` writes is read back.
    """
    check_interpolations(text)
    match = re.fullmatch(r"(\+\+|\+|~|)([^=\s+~'\"]+)(?:=(.*))?", text.strip(), re.DOTALL)
    if match is None or (match[3] is None and match[1] != "~"):
        raise no_override(text, "expected key=value")
    texts: list[str] = []

    def set_aside(quoted: re.Match[str]) -> str:
        texts.append(_unquoted(quoted))
        return f'"{len(texts) - 1}"'

    value = QUOTED.sub(set_aside, match[3] or "")
    if SEVERAL.match(value) or "," in re.sub(r"\[.*\]|\{.*\}", "", value):
        raise several_values(text)
    written = re.sub(r'"(\d+)"', lambda place: json.dumps(texts[int(place[1])], ensure_ascii=False), value)
    try:
        return Change(text, match[1], match[2], yaml12.load(written) if written else "")
    except (yaml.YAMLError, ValueError) as error:
        raise no_override(text, " ".join(str(error).split())) from error


def check_interpolations(text: str) -> None:
    """Raises UserError: an interpolation that reads the machine, as `${oc.env:HOME}` does: a result would depend on it,
    and a secret would be kept in git. Also where it is quoted: whoever reads the params later would follow it."""
    for found in re.finditer(r"\$\{", text):
        name = resolver(text[found.end() :])
        if name and name not in PURE:
            raise UserError(
                f"{text}: ${{{name}:…}} reads more than the config, such as the machine's environment: write the value "
                f"itself, or one of {', '.join(PURE)}"
            )


def resolver(text: str) -> str:
    """The name before the colon in what follows a `${`; empty where a key is named. It may have a `${}` in it."""
    depth = 0
    for place, char in enumerate(text):
        if char == ":" and not depth:
            return text[:place].strip()
        depth += (char == "{") - (char == "}")
        if depth < 0 or not (depth or char.isalnum() or char in "_. $}\\"):
            break
    return ""


def no_override(text: str, reason: str) -> UserError:
    """What is raised where something can't be read."""
    return UserError(f"{text}: not an override such as model=tiny or lr=0.001: {reason}")


def several_values(text: str) -> UserError:
    """What is raised where a run would be several."""
    return UserError(f"{text}: several values at once: vary it by sweep.parameters or comparison.values, or quote it")


def _unquoted(quoted: re.Match[str]) -> str:
    """The text in Hydra's quotes: backslashes count only before a quote, and `\\${` is a text for OmegaConf."""
    mark = quoted[0][0]
    inside = quoted[0][1:-1] + mark  # with the closing quote, so that backslashes before it count
    text = re.sub(rf"(\\+){mark}", lambda found: found[1][: len(found[1]) // 2] + mark * (len(found[1]) % 2), inside)
    text = text.removesuffix(mark)
    return re.sub(r"(\\+)\$\{", lambda found: found[1][: len(found[1]) // 2] + "${", text)
