"""Errors that are meant for people."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can put right. The message says what is wrong, where, and what was expected.

    `lab` prints it alone, without a traceback, and exits with code 2.
    """


Keys = tuple[str | int, ...]
Mistake = tuple[Keys, str]  # the keys that lead to it, and what is wrong


class MistakesInFile(UserError):
    """What is wrong in a file, each with the keys that lead to it: whoever knows the file can tell its line."""

    def __init__(self, *mistakes: Mistake):
        super().__init__("\n".join(text for _, text in mistakes))
        self.mistakes = mistakes


def all_told(*checks: Callable[[], object]) -> None:
    """Carry out checks that don't rest on one another. Raises MistakesInFile: what any of them found."""
    found: list[Mistake] = []
    for check in checks:
        try:
            check()
        except MistakesInFile as error:
            found += error.mistakes
    if found:
        raise MistakesInFile(*found)


def nearest(name: str, names: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the most similar of `names`, or an empty string: made to end a message with.

    Names that end with it, such as `some_name` or `a.name`, are more similar than any other; the first two are told.
    """
    known = {candidate.casefold(): candidate for candidate in sorted(names)}
    ends = tuple(f"{mark}{name.casefold()}" for mark in "_.")
    matches = [other for other in known if other.endswith(ends)][:2] or get_close_matches(name.casefold(), known, n=1)
    return f" Did you mean {' or '.join(repr(known[match]) for match in matches)}?" if matches else ""


def not_one_of(value: object, choices: Iterable[str]) -> str:
    """`'b' is not one of a, c. Did you mean 'a'?`: what is wrong with a value."""
    known = list(choices)
    text = json.dumps(value) if value is None or isinstance(value, bool) else reprlib.repr(value)
    return f"{text} is not one of {', '.join(known)}.{nearest(str(value), known)}"
