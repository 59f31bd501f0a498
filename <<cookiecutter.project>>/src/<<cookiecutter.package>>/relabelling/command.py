"""`python src/relabel.py`: ranked suspected label errors of the images that experiments were tested on."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import pandas as pd

from ..shared import registry
from ..shared.errors import UserError, check_writable, of_system
from ..shared.terminal import console
from .tested import Tested, named, read

FIRST = ["rank", "suspicion", "given", "suggested", "path"]
SHOWN = 10  # of the list, on the terminal


def main() -> None:
    """Write the list that the command line asks for, and end the process with what it came to."""
    try:
        run(options().parse_args())
    except UserError as error:
        sys.exit(f"relabel: {error}")
    except OSError as error:
        sys.exit(f"relabel: {of_system(error)}")


def options() -> ArgumentParser:
    """The command line."""
    parser = ArgumentParser("python src/relabel.py", description="Rank labels by how suspicious they are.")
    parser.add_argument(
        "experiments",
        metavar="EXPERIMENT",
        nargs="+",
        help="experiments, tags, branches or commits, or a pattern of experiments such as '*_folds_*': each was tested "
        "on images that its model did not see, and the folds of data.source.fold are tested on all",
    )
    parser.add_argument("--out", type=Path, default=Path("relabel.csv"), help="default: relabel.csv")
    return parser


def run(asked: Namespace) -> None:
    """Rank, write and say what was done. Raises UserError."""
    if asked.out.is_dir():
        raise UserError(f"{asked.out} is a folder: name a file by --out, such as {asked.out / 'relabel.csv'}")
    if asked.out.exists():
        raise UserError(f"{asked.out} is there already, perhaps with your notes: name another by --out, or remove it")
    check_writable(asked.out.parent, "--out")
    runs = [read(name) for name in named(asked.experiments)]
    check_alike(runs)
    images = pd.concat([each.images for each in runs], ignore_index=True)
    found = registry.suspects(runs[0].task).suspects(images, runs[0].classes)
    ordered: Any = found.sort_values(["suspicion", "path"], ascending=[False, True], ignore_index=True)
    ordered.insert(0, "rank", range(1, len(ordered) + 1))
    ordered = ordered[[*FIRST, *(name for name in ordered if name not in FIRST)]]
    partial = asked.out.with_name(f".{asked.out.name}.partial")
    ordered.to_csv(partial, index=False, float_format="%.4f")
    partial.replace(asked.out)
    show(asked.out, ordered, runs)


def check_alike(runs: list[Tested]) -> None:
    """Raise UserError unless all runs have one task and one list of classes."""
    first = runs[0]
    for other in runs[1:]:
        if (other.task, other.classes) != (first.task, first.classes):
            raise UserError(
                f"{other.name} is of the task {other.task} with {len(other.classes)} classes, {first.name} of "
                f"{first.task} with {len(first.classes)}: one list is of one data set"
            )


def show(out: Path, ordered: pd.DataFrame, runs: list[Tested]) -> None:
    """How many there are, of how many images, and the first of them."""
    tested = {digest for each in runs for digest in each.images["sha256"]}
    all_of = {digest for each in runs for digest in each.digests}
    terminal = console()
    terminal.print(
        f"{out}: {len(ordered)} suspected labels, the most suspicious first, of {len(tested)} of {len(all_of)} images",
        soft_wrap=True,
    )
    if len(tested) < len(all_of):
        left = len(all_of) - len(tested)
        terminal.print(
            f"{left} image{' was' if left == 1 else 's were'} tested by none of these: the experiments of the folds of "
            "data.source.fold (docs/your-own-data.md) are tested on all",
            soft_wrap=True,
        )
    for row in ordered.head(SHOWN).to_dict("records"):
        labels = " → ".join(row[side] or "nothing" for side in ("given", "suggested"))
        terminal.print(
            f"{row['rank']:>4}  {row['suspicion']:.3f}  {row['path']}  {labels}",
            markup=False,
            soft_wrap=True,
        )
