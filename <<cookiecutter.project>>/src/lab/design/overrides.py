"""Hydra overrides: values written so that Hydra reads them back as they are."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lab.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")  # what Hydra reads as a text without quotes…
MODELS = re.compile(r"(infer\.model|infer\.members(?:\.\d+)?)=([^'\"]*=[^'\"]*)")  # that name an arm with `=` in it
NEXT = re.compile(r",\s*(?=\w[\w-]*:|[^=,]*(?:,|$))")  # between two of them: an arm's name has commas of its own
RESERVED = re.compile(r"true|false|null|nan|inf", re.IGNORECASE)  # …unless it is one of these


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


def written_out(text: str) -> str:
    """The override with the quotes that Hydra wants around models such as `lr_sweep:lr=0.01,batch_size=16`."""
    match = MODELS.fullmatch(text)
    if match is None:
        return text
    key, value = match[1], match[2].strip()
    listed = value.startswith("[") and value.endswith("]")
    return override(key, [name.strip() for name in NEXT.split(value[1:-1])] if listed else value)


@lru_cache(maxsize=16_384)
def parse(text: str) -> Override:
    """An override as Hydra understands it. Raises UserError: not one, or several values at once."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise UserError(
            f"{text}: not an override such as model=tiny or lr=0.001: {str(error).splitlines()[0]}"
        ) from error
    if parsed.is_sweep_override():
        raise UserError(
            f"{text}: several values at once: vary it by sweep.parameters or comparison.values, or quote it"
        )
    return parsed


def last_of_each(overrides: list[str]) -> list[str]:
    """The overrides without those that a later one of the same key replaces."""
    return list({parse(text).get_key_element(): text for text in overrides}.values())
