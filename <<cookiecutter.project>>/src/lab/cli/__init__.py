"""`lab`: from a question in designs/ to runs, records and an answer.

A file has a group of commands; `app` has what they share.
"""

from lab.cli import answer, plan, review, run, track  # noqa: F401, each brings its commands, in this order
from lab.cli.app import main

__all__ = ["main"]
