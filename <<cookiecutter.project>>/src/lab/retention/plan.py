"""What is freed: the files of outputs that nothing needs, unless an output that is needed has the same file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple


class Output(NamedTuple):
    """An output of a run, or of a stage that ran for none that is left: its path and hash, and whose it is.

    `design` and `run` are empty where no run names it any more.
    """

    path: str
    md5: str
    design: str = ""
    run: str = ""


class Plan(NamedTuple):
    """By the hash of a file: the first output that goes with it, and why it is kept where it is."""

    freed: dict[str, Output]
    kept: dict[str, str]


def plan(outputs: Iterable[Output], needed: Mapping[str, str], files: Callable[[str], Iterable[str]]) -> Plan:
    """Which files of `outputs` are freed.

    Args:
        outputs: what may go. A file that belongs to none of them is nobody's business here, and stays.
        needed: why an output is kept, by its hash.
        files: the hashes that an output's own stands for: itself and, where it is a folder, those of its files.
    """
    kept: dict[str, str] = {}
    for md5, why in needed.items():
        for file in files(md5):
            kept.setdefault(file, why)
    freed: dict[str, Output] = {}
    for output in outputs:
        for file in files(output.md5):
            if file not in kept:
                freed.setdefault(file, output)
    return Plan(freed, kept)
