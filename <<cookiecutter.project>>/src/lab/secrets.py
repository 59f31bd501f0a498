"""Secrets: what .env and the environment hold that is nobody's business, blanked in every text that goes out.

Blanked are

- the values of .env, but for trivial ones: shorter than eight characters, a number, a path, or a word such as
  `vision-lab` of fewer than 16;
- the values of environment variables whose name says secret (`DB_PWD`, `OPENAI_KEY`, `GH_PAT`, `SLACK_WEBHOOK`), but
  for those shorter than six characters, words and numbers shorter than eight, and paths that exist;
- the values of others that look like one: a known token (`ghp_…`, `sk-…`, `AKIA…`), a webhook's address, an address
  with a password or a random part, and 20 or more random letters and digits;
- wherever they are from, known tokens, private keys, passwords in addresses, and `NAME=value` where NAME says secret:
  what a run on another machine printed.

Hashes (hexadecimal digits alone) are left as they are: commits and data are called by them.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlsplit

from dotenv import dotenv_values

HIDDEN = "***"

# Of a setting: `model.api_key`; a `key` alone is often something else.
_SETTING = re.compile(
    r"secret|passw(or)?d|passphrase|credential|webhook|(api|access|private|account|signing)[_-]?key|(^|[._-])(token|pwd)$",
    re.IGNORECASE,
)
# Of an environment variable, in which each word counts: OPENAI_KEY, GH_PAT, DB_PASS1, PGPASSWORD.
_VARIABLE = re.compile(
    rf"{_SETTING.pattern}|passwd?\d*$|(^|_)(auth|authorization|cookie|creds?|dsn|keys?|pass|pat|pin|pw|pwd|sas|signature|tokens?)"
    r"\d*(?=_|$)",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"""
    \b(?: (?:sk|rk|pk)[-_][\w-]{20,} | gh[pousr]_\w{20,} | github_pat_\w{20,} | glpat-[\w-]{16,} | xox[a-z]-[\w-]{10,}
        | (?:AKIA|ASIA)[A-Z0-9]{16}\b | AIza[\w-]{30,} | hf_\w{20,} | npm_\w{20,} | pypi-[\w-]{20,} | dop_v1_\w{20,}
        | SG\.[\w-]{16,}\.[\w-]{16,} | eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]* )
    | https://(?: hooks\.slack\.com | (?:\w+\.)?discord(?:app)?\.com/api/webhooks | [\w.-]+\.webhook\.office\.com )
        /[^\s"'<>)]+
    | -----BEGIN[A-Z ]*PRIVATE\ KEY-----.*?(?: -----END[A-Z ]*PRIVATE\ KEY----- | \Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_USER = re.compile(r"(?<=://)[^/@\s\"'<>]+@")
_ASSIGNED = re.compile(r"""\b([A-Z][A-Z0-9_]{2,})(["']?\s*[=:]\s*)("[^"\n]+"|'[^'\n]+'|[^\s,;"']+)""")
_QUERY = re.compile(r"([?&](?:sig|key|\w*(?:token|secret|password|signature|api_?key))=)[^\s&\"'<>]+", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?[\d.,_:]+|true|false|yes|no|on|off|null|none", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]+([-_. ][A-Za-z]+)*")


def is_secret(setting: str) -> bool:
    """Whether a setting of this name is not to be shown."""
    return _SETTING.search(setting) is not None


def known(root: Path) -> tuple[str, ...]:
    """The texts to blank in the project at `root`: of its .env, and of this process's environment."""
    return values(dotenv_values(root / ".env"), os.environ)


def values(dotenv: Mapping[str, str | None], environment: Mapping[str, str]) -> tuple[str, ...]:
    """The values that are secret, each also as it is written in JSON and in addresses: the longest first."""
    found = {value for name, value in dotenv.items() if value and (_named(name, value) or not _is_trivial(value))}
    found |= {value for name, value in environment.items() if _named(name, value) or _looks_secret(value)}
    lines = {line.strip() for value in found for line in value.splitlines() if len(line.strip()) >= 8}
    written = {form for value in found | lines for form in (value, json.dumps(value)[1:-1], quote(value, safe=""))}
    return tuple(sorted(written, key=lambda value: (-len(value), value)))


def _named(name: str, value: str) -> bool:
    """Whether a variable's name says that it is secret, and its value is none that stands everywhere."""
    if not _VARIABLE.search(name) or name in ("PWD", "OLDPWD") or len(value) < 6:
        return False
    if len(value) < 8 and (_NUMBER.fullmatch(value) or _WORD.fullmatch(value)):
        return False
    return not _is_path(value)


def _is_trivial(value: str) -> bool:
    if len(value) < 8 or _NUMBER.fullmatch(value) or value[0] in "/~." or _is_path(value):
        return True
    return len(value) < 16 and _WORD.fullmatch(value) is not None


def _is_path(value: str) -> bool:
    """Whether files of this machine are meant: one, or several as in PATH."""
    try:
        return all(part.startswith(("/", "~", ".")) and Path(part).expanduser().exists() for part in value.split(":"))
    except (OSError, RuntimeError, ValueError):  # too long for a name; no such user
        return False


def _looks_secret(value: str) -> bool:
    if len(value) < 8 or _is_path(value):
        return False
    if _TOKEN.search(value) or _USER.search(value) or _QUERY.search(value):
        return True
    if re.match(r"https?://", value):
        try:
            parts = urlsplit(value)
        except ValueError:
            return False
        pieces = re.split(r"[/?&=]", f"{parts.path}?{parts.query}")
        return "hook" in value.lower() or any(map(_is_random, pieces))
    return _is_random(value)


def _is_random(text: str) -> bool:
    """Whether a text is 20 or more letters and digits in no order: as many kinds, and changes of kind, as by chance."""
    if len(text) < 20 or not re.fullmatch(r"[\w+/=.~-]+", text, re.ASCII):
        return False
    kinds = "".join(
        "9" if char.isdigit() else "a" if char.islower() else "A" if char.isupper() else "-" for char in text
    )
    changes = sum(one != other for one, other in zip(kinds, kinds[1:], strict=False))
    counts = [text.count(char) / len(text) for char in set(text)]
    is_mixed = {"9", "a", "A"} <= set(kinds) and kinds.count("-") <= len(text) / 8
    return is_mixed and changes >= 0.45 * len(text) and -sum(share * math.log2(share) for share in counts) > 3.5


@lru_cache(maxsize=8)
def _any_of(secrets: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, secrets)))


def hide(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without these secrets, nor those that are told by their looks."""
    secrets = tuple(secrets)
    if secrets:
        text = _any_of(secrets).sub(HIDDEN, text)
    text = _QUERY.sub(rf"\1{HIDDEN}", _USER.sub("", _TOKEN.sub(HIDDEN, text)))
    return _ASSIGNED.sub(_without_value, text)


def _without_value(match: re.Match[str]) -> str:
    name, between, value = match.groups()
    bare = value.strip("\"'")
    return f"{name}{between}{value.replace(bare, HIDDEN)}" if _named(name, bare) else match[0]


def hide_bytes(content: bytes, secrets: Iterable[str] = ()) -> bytes:
    """The same for a file: in one that is no text, such as a picture, only these secrets."""
    try:
        return hide(content.decode(), secrets).encode()
    except UnicodeDecodeError:
        for secret in secrets:
            content = content.replace(secret.encode(), HIDDEN.encode())
        return content
