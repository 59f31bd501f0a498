"""The command `lab`, and what its commands share: the project that they are about, and how a design is given."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.errors import UserError, nearest

if TYPE_CHECKING:
    from lab.execution.backend import Backend
    from lab.records.planning import Planner
    from lab.records.project import Project

ROOT = Path(__file__).resolve().parents[3]  # the folder above src/, in which this package lies

HAS_COMMAND = (Path(sys.executable).parent / "lab").exists()  # which make setup of a project from the template writes

app = typer.Typer(
    help="Ask a question in designs/, and get its answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run `lab`; what a user can put right, the machine's trouble as well, is one message and exit code 2."""
    try:
        check_place(Path.cwd())
        app(prog_name=typed("lab"))
    except UserError as error:
        print(f"lab: {typed(str(error))}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # lab plan … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        from lab.cli import trouble

        if told := trouble.sentence(error, ROOT):
            print(f"lab: {told}", file=sys.stderr)
            sys.exit(2)
        raise


def typed(text: str) -> str:
    """A text in which the command `lab` is called as it is here: `python -m lab`, where the environment has none."""
    if HAS_COMMAND:
        return text
    commands = "|".join(sorted(str(name) for name in typer.main.get_group(app).commands))
    return re.sub(rf"(?<![\w/-])lab(?=$| ({commands})\b)", "python -m lab", text)


def check_place(folder: Path) -> None:
    """Raises UserError in another project of this kind, such as a colleague's clone: this `lab` is about its own."""
    for place in (folder, *folder.parents):
        if (place / "dvc.yaml").is_file() and (place / "src" / "lab").is_dir():
            if place.resolve() != ROOT:
                raise UserError(
                    f"this lab belongs to {ROOT}, but you are in {place}: source {place}/.venv/bin/activate "
                    f"(make setup makes it), then lab"
                )
            return


# The project


@cache
def open_backend(name: str | None = None) -> Backend:
    """Where runs are carried out: on this machine, or where `--on` says. Raises UserError."""
    from lab.execution.registry import DEFAULT, backend

    return backend(ROOT, name or DEFAULT)


def open_backends() -> list[Backend]:
    """All backends that have something to do or to tell. Raises UserError."""
    from lab.execution.registry import in_use

    return [open_backend(name) for name in in_use(ROOT)]


def open_project() -> Project:
    """The project, as a command reads it once."""
    from lab.records.project import Project

    return Project(ROOT, lambda: [run for backend in open_backends() for run in backend.pending()], _tracked)


def _tracked(name: str) -> str | None:
    """The commit of a model that only a tracking server knows."""
    from lab.tracking.mlflow import model_refs

    return model_refs.find(ROOT, name)


def planner_of(design: Path, project: Project | None = None) -> Planner:
    """Plans a design of the project."""
    from lab.records import studies

    return studies.planner(project or open_project(), design)


# How a design is given


def design_file(design: Path | None) -> Path | None:
    """The file, where the design is given by its name. Raises UserError: no such name."""
    if design is None or design.exists():
        return design
    if design.suffix or len(design.parts) > 1:  # from a folder below the root, too
        return Path(os.path.relpath(ROOT / design)) if (ROOT / design).exists() else design
    named = ROOT / "designs" / f"{design}.yaml"
    if not named.is_file():
        names = sorted(path.stem for path in named.parent.glob("*.yaml"))
        raise UserError(f"designs/ has no {named.name}.{nearest(str(design), names)}")
    return Path(os.path.relpath(named))


FILE_OR_NAME = "A file of designs/, or its name."
DesignFile = Annotated[Path, typer.Argument(metavar="DESIGN", help=FILE_OR_NAME, callback=design_file)]
AnyDesignFile = Annotated[Path | None, typer.Argument(metavar="[DESIGN]", help=FILE_OR_NAME, callback=design_file)]
DesignName = Annotated[str, typer.Argument(metavar="DESIGN", help=FILE_OR_NAME)]
