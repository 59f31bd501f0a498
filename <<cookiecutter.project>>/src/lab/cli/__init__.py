"""`lab`: from a question in designs/ to runs, records and an answer.

A file has a group of commands; `app` has what they share.
"""

from lab.cli import answer, gc, new, plan, review, run, track  # noqa: F401 each brings its commands
from lab.cli.app import main

__all__ = ["main"]
