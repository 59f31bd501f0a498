"""Errors that are meant for people."""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class UserError(ValueError):
    """Something the user can put right. The message says what is wrong, where, and what was expected.

    The stage runner prints it alone, without a traceback, and exits with code 1.
    """


def of_system(error: OSError) -> str:
    """What the system refused, and where. Libraries' own have no number, and say all in their text."""
    return f"{error.filename or Path.cwd()}: {os.strerror(error.errno)}" if error.errno else str(error)


def check_writable(folder: Path, option: str) -> None:
    """Raise UserError unless something can be written into the folder. `option` names another one."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise UserError(f"the folder {folder} {what}: make it, or name another by {option}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder} can't be written to: name another folder by {option}")


def nearest(name: str, names: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the most similar of `names`, or an empty string: made to end a message with.

    Names that end with it, such as `some_name` or `a.name`, are more similar than any other; the first two count.
    """
    known = {candidate.casefold(): candidate for candidate in sorted(names)}
    ends = tuple(f"{mark}{name.casefold()}" for mark in "_.")
    matches = [other for other in known if other.endswith(ends)][:2] or get_close_matches(name.casefold(), known, n=1)
    return f" Did you mean {' or '.join(repr(known[match]) for match in matches)}?" if matches else ""
