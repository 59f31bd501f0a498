"""The command `lab`, and what its commands share: the project that they are about, and how a design is given."""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from lab.cli.sections import Sections
from lab.errors import UserError, nearest

if TYPE_CHECKING:
    from lab.cli.output import Output
    from lab.execution.backend import Backend
    from lab.records.planning import Planner
    from lab.records.project import Project

ROOT = Path(__file__).resolve().parents[3]  # the folder above src/, in which this package lies

SELDOM = 1_000_000, 50, 50  # few objects are in cycles: Python's own numbers cost a tenth of what is read and drawn
HAS_COMMAND = (Path(sys.executable).parent / "lab").exists()  # which make setup of a project from the template writes

app = typer.Typer(
    cls=Sections,
    help="Ask a question in designs/, and get its answer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run `lab`; what a user can put right, the machine's trouble as well, is one message and exit code 2."""

    def refuse(message: str, code: int = 2) -> NoReturn:
        print(f"lab: {typed(message)}", file=sys.stderr)
        if "--json" in sys.argv:
            from lab.cli.output import Refused

            called = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
            print(Refused(command=called, exit_code=code, error=typed(message)).model_dump_json(indent=1))
        sys.exit(code)

    gc.set_threshold(*SELDOM)
    try:
        if "--help" not in sys.argv:
            check_place(Path.cwd())
        sys.exit(app(prog_name=typed("lab"), standalone_mode=False))
    except UserError as error:
        refuse(str(error))
    except typer.Abort:
        refuse("nobody answered, so nothing was done", 1)
    except typer.TyperException as error:
        if len(sys.argv) == 1:
            print(error.format_message())  # the help
            sys.exit(2)
        from lab.cli import usage

        refuse(usage.sentence(error), 2)
    except BrokenPipeError:  # lab plan … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        from lab.cli import trouble

        if told := trouble.sentence(error, ROOT):
            refuse(told)
        raise


def typed(text: str) -> str:
    """A text in which the command `lab` is called as it is here: `python -m lab`, where the environment has none."""
    if HAS_COMMAND:
        return text
    commands = "|".join(sorted(str(name) for name in typer.main.get_group(app).commands))
    return re.sub(rf"(?<![\w/-])(?<!python -m )lab(?=$| ({commands})\b)", "python -m lab", text)


def check_place(folder: Path) -> None:
    """Raises UserError outside of this project, such as in a colleague's clone: this `lab` is about its own."""
    for place in (folder, *folder.parents):
        if place.resolve() == ROOT:
            return
        if (place / "dvc.yaml").is_file() and (place / "src" / "lab").is_dir():
            activate = place / ".venv" / "bin" / "activate"
            raise UserError(
                f"this lab belongs to {ROOT}, but you are in {place}: source {shlex.quote(str(activate))} "
                f"(make setup makes it), then lab"
            )
    raise UserError(
        f"{folder} is in no project: neither here nor above is a dvc.yaml with src/lab: cd {shlex.quote(str(ROOT))}"
    )


# Commands


def command(name: str | None = None) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Makes a function a command of `lab`, which has --json besides: what it returns, a model of `cli.output`.

    Its exit code is the one that it returns with. With --json all that it prints goes to stderr.
    """

    def register(function: Callable[..., object]) -> Callable[..., object]:
        called = name or function.__name__

        @functools.wraps(function)
        def run(*, as_json: bool = False, **given: Any) -> None:
            printed = as_json_object(called, lambda: function(**given)) if as_json else function(**given)
            if code := getattr(printed, "exit_code", 0):
                raise typer.Exit(code)

        signature = inspect.signature(function, eval_str=True)
        machine = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)
        run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), machine])  # type: ignore[attr-defined]
        app.command(name)(run)
        return function

    return register


Json = Annotated[bool, typer.Option("--json", help="For programs: one object, as docs/json.md says.")]


def as_json_object(called: str, function: Callable[[], Any]) -> Output:
    """Call what a command does, and print what it returns as JSON; what it prints goes to stderr."""
    from lab.cli.output import Output, Refused

    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = function() or Output()
    except typer.Exit as ended:  # interrupted, or somebody said no
        found = Refused(exit_code=ended.exit_code, error="ended before it was done")
    found = found.model_copy(update={"command": called})
    print(found.model_dump_json(indent=1))
    return found


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

    project = Project(ROOT, lambda: [run for backend in open_backends() for run in backend.pending()], _tracked)
    atexit.register(project.save)
    return project


def _tracked(name: str) -> str | None:
    """The commit of a model that only a tracking server knows."""
    from lab.tracking.mlflow import model_refs

    return model_refs.find(ROOT, name)


def planner_of(design: Path, project: Project | None = None) -> Planner:
    """Plans a design of the project."""
    from lab.records import studies

    return studies.planner(project or open_project(), design)


# How a design is given, and what the shell offers for it


def design_file(design: Path | None) -> Path | None:
    """The file, where the design is given by its name. Raises UserError: no such name."""
    if design is None or (design.exists() and not design.is_dir()):
        return design
    if design.suffix or len(design.parts) > 1:  # from a folder below the root, too
        return Path(os.path.relpath(ROOT / design)) if (ROOT / design).exists() else design
    named = ROOT / "designs" / f"{design}.yaml"
    if not named.is_file():
        names = sorted(path.stem for path in named.parent.glob("*.yaml"))
        raise UserError(f"designs/ has no {named.name}.{nearest(str(design), names)}")
    return Path(os.path.relpath(named))


def designs(incomplete: str) -> list[str]:
    """For the shell: the designs whose names begin like this; those of a folder that is typed, as files."""
    folder = ROOT / "designs"
    names = [path.stem for path in sorted(folder.glob("*.yaml"))]
    offered = [f"designs/{name}.yaml" for name in names] if "/" in incomplete else names
    return [name for name in offered if name.startswith(incomplete)]


def experiments(incomplete: str) -> list[str]:
    """For the shell: the finished experiments whose names begin like this."""
    from lab.git import Repository

    return sorted({each.name for each in Repository(ROOT).experiments() if each.name.startswith(incomplete)})


def arms(context: typer.Context, incomplete: str) -> list[str]:
    """For the shell: the arms of the design that is on the line."""
    from lab import contract
    from lab.design import design_file as files
    from lab.design.expansion import arms as unfold

    named = context.params.get("design") or next(iter(context.args), None)  # the latter before an option has a value
    path = design_file(Path(named)) if named else None
    names = [arm.name for arm in unfold(files.read(path, contract.read(ROOT)))] if path else []
    return [name for name in names if name.startswith(incomplete)]


FILE_OR_NAME = "A file of designs/, or its name."
A_FILE: Any = {"help": FILE_OR_NAME, "callback": design_file, "autocompletion": designs}
From = typer.Option("--from", metavar="DESIGN", **A_FILE | {"help": "Begin with what this one says."})
DesignFile = Annotated[Path, typer.Argument(metavar="DESIGN", **A_FILE)]
AnyDesignFile = Annotated[Path | None, typer.Argument(metavar="[DESIGN]", **A_FILE)]
Experiment = Annotated[
    str, typer.Argument(metavar="NAME", help="An experiment's name or commit.", autocompletion=experiments)
]
DesignName = Annotated[str, typer.Argument(metavar="DESIGN", help=FILE_OR_NAME, autocompletion=designs)]
