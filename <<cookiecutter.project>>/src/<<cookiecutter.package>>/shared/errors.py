"""Errors that are meant for people."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Something the user can put right. The message says what is wrong, where, and what was expected.

    The stage runner prints it alone, without a traceback, and exits with code 1.
    """


def nearest(name: str, names: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the most similar of `names`, or an empty string: made to end a message with.

    Names that end with it, such as `some_name` or `a.name`, are more similar than any other; the first two count.
    """
    known = {candidate.casefold(): candidate for candidate in sorted(names)}
    ends = tuple(f"{mark}{name.casefold()}" for mark in "_.")
    matches = [other for other in known if other.endswith(ends)][:2] or get_close_matches(name.casefold(), known, n=1)
    return f" Did you mean {' or '.join(repr(known[match]) for match in matches)}?" if matches else ""
