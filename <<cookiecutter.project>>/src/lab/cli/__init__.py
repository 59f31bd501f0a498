"""`lab`: from a question in designs/ to runs, records and an answer.

A file has a group of commands; `app` has what they share.
"""

# Each brings its commands, in the order in which `lab --help` lists them.
from lab.cli import new, plan, run, track, answer, review, gc  # noqa: F401, I001
from lab.cli.app import main

__all__ = ["main"]
