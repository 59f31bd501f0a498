"""`lab new`: a question written down, from a few answers: asked at a terminal, or given as options."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from lab.cli.app import ROOT, From, command, open_project, typed
from lab.errors import UserError

if TYPE_CHECKING:
    from lab.cli.known import Known
    from lab.design.plan import Plan
    from lab.records.planning import Planner

SEEDS = 3  # where nobody says how many
MOST_SEEDS = 1000  # as many as a design may have
EXAMPLES = {
    "--vary": "lr=0.001,0.01",
    "--claim": "'A larger rate does better'",
    "--expected": "0.93",
    "--title": "'How good is it?'",
}
WITHOUT_NOISE = "what its noise is nobody knows before the baseline has run"
Answer = TypeVar("Answer")

Kind = Annotated[str | None, typer.Argument(metavar="[KIND]", help="single, sweep, comparison or ablation.")]
Varied = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KEY=VALUES",
        help="lr=0.001,0.01, or model for all of a group; of a sweep also a range, 'lr={low: 0.001, high: 0.1}'; "
        "of an ablation the value with it and the one without: augmentation=default,none. Repeatable.",
    ),
]


@command()
def new(
    kind: Kind = None,
    vary: Varied = None,
    source: Annotated[Path | None, From] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its file's, without .yaml.")] = None,
    title: Annotated[str | None, typer.Option("--title", help="The question.")] = None,
    claim: Annotated[str | None, typer.Option("--claim", help="What you believe comes out, in words.")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="What decides.")] = None,
    expected: Annotated[float | None, typer.Option("--expected", help="The value that it is to reach.")] = None,
    min_effect: Annotated[float | None, typer.Option("--min-effect", help="The least difference worth having.")] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, max=MOST_SEEDS, help=f"How many; {SEEDS} unless you say.")
    ] = None,
    base: Annotated[list[str] | None, typer.Option("--base", metavar="KEY=VALUE", help="For all runs.")] = None,
    type: Annotated[str | None, typer.Option("--type", help="Of lab.yaml; left out, what is varied tells.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="Left out, the project's.")] = None,
    more: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other key: hypothesis.arm=…, sweep.max_runs=20."),
    ] = None,
) -> object:
    """Write a question into designs/, with what each of its keys means.

    It is checked, and says how long its runs will take. At a terminal it asks for what no option says.
    """
    from lab.cli.known import Known
    from lab.cli.output import Written
    from lab.design import draft, preflight
    from lab.design.design_file import FOLDER, load, read_text
    from lab.design.forms import NAME

    known = Known(ROOT, open_project(), task)
    given = load(read_text(source), source) if source else {}
    if not isinstance(given, dict):
        raise UserError(f"{source}: not a design")
    asks = sys.stdin.isatty() and source is None
    if source and kind and kind != given.get("kind"):
        raise UserError(f"{source} is of kind {given.get('kind')}: lab new --from {source} takes its kind over")
    kind = known.kind(kind or given.get("kind") or (ask("Which kind", "sweep", known.kind) if asks else None))
    is_varied = known.plain(kind) != "single"
    varied = dict(known.levels(text) for text in vary or ())
    if len(varied) < len(vary or ()):
        raise UserError("--vary names a key twice: give all of its values at once, as in --vary lr=0.001,0.01")
    if name and not re.fullmatch(NAME, name):
        raise UserError(f"--name {name}: expected a name of letters, digits, - and _, which its file in {FOLDER}/ gets")
    if asks and is_varied and not varied:
        known.tell_what_varies()
        example = "augmentation=default,none" if known.plain(kind) == "ablation" else "lr=0.001,0.01"
        varied = dict([ask(f"What varies (such as {example})", None, known.levels)])
        while text := typer.prompt("And what else (nothing)", default="", show_default=False):
            varied |= dict([known.levels(text)])
    fields: dict[str, Any] = {key: value for key, value in given.items() if key not in ("kind", "name")}
    if varied:
        fields.pop(known.plain(kind), None)
    stated = {
        "type": type, "task": known.task if known.contract.task else None, "title": title, "base": base or None,
        "seeds": list(range(seeds)) if seeds else None,
        "hypothesis": {"claim": claim, "metric": metric, "expected": expected, "min_effect": min_effect},
    }  # fmt: skip
    fields = draft.merged(fields, without_none(stated))
    for text in more or ():
        fields = draft.merged(fields, draft.assigned(text))
    fields = completed(fields, known, kind, varied, asks)
    if lacking := lacks(fields, is_varied and not (varied or source)):
        start = f"lab new --from {source.stem}" if source else f"lab new {kind}"
        wanted = " ".join(f"{option} {EXAMPLES[option]}" for option in lacking)
        raise UserError(f"a question needs {', '.join(lacking)}: {start} {wanted}; at a terminal, lab new {kind} asks")
    folder = ROOT / FOLDER
    taken = [path.stem for path in folder.glob("*.yaml")]
    keys = [key.rpartition(".")[2] for key in varied][:2]
    name = name or draft.name_for([source.stem] if source else [known.task, *keys, kind], taken)
    if name in taken:
        raise UserError(f"{FOLDER / name}.yaml is there already: give it another name by --name")
    path = folder / f"{name}.yaml"
    relative = path.relative_to(ROOT).as_posix()
    content = draft.fields_of(draft.Answers(known.plain(kind), varied, fields)) | {"kind": kind}
    head = [f"lab run {relative}", "yaml-language-server: $schema=schema.json"]
    planner, plan = written(path, draft.text(content, known.contract, head))
    print(relative)
    runs, seconds = len(plan.runs) + plan.undecided * len(planner.design.seeds), cost(planner)
    print(f"{preflight.extent(planner.design, plan)} runs; {cost_said(runs, seconds)}")
    print(f"Next: {typed('lab check')} {name}, then git add {relative} && git commit -m 'Ask: {name}'")
    return Written(path=relative, runs=runs, seconds=None if seconds is None else runs * seconds)


def completed(fields: dict[str, Any], known: Known, kind: str, varied: Mapping[str, Any], asks: bool) -> dict[str, Any]:
    """A design's keys with what nobody has said: asked for, or what follows from the rest."""
    from lab.design import draft

    contract, words = known.contract, known.contract.words.kinds
    own_type = words[kind].type if kind in words else None
    type = fields.get("type") or own_type or draft.type_of(varied, contract, known.pipeline)
    stage = contract.types.get(type, "")
    hypothesis = dict(fields.get("hypothesis") or {})
    metrics = known.metrics(stage)
    default = {"type": type} | ({"title": draft.title_for(known.plain(kind), varied)} if varied or asks else {})
    fields = draft.merged(default, fields)
    if metrics and known.plain(kind) == "ablation" and not fields.get("ablation", {}).get("method"):
        worse = {"maximize": "minimize", "minimize": "maximize"}  # without a component it gets worse
        metric = contract.metric(hypothesis.get("metric", metrics[0]))
        hypothesis = ({"direction": worse[metric.direction]} if metric.direction else {}) | hypothesis
    if not asks:
        default = {"metric": metrics[0]} if metrics else {}
        fields["hypothesis"] = draft.merged(default, hypothesis)
        return draft.merged({"seeds": [*range(SEEDS)]}, fields)
    fields["title"] = ask("The question", fields["title"])
    for key, prompt, convert in (("claim", "What do you believe", str), ("metric", "Which metric decides", str)):
        if key not in hypothesis:
            shown = f" ({', '.join(metrics)})" if key == "metric" else ""
            hypothesis[key] = ask(f"{prompt}{shown}", metrics[0] if metrics and key == "metric" else None, convert)
    values = known.noise(hypothesis["metric"])
    middle = float(f"{sum(values) / len(values):.4g}") if values else None
    if "expected" not in hypothesis:
        measured = f" (the baseline has {middle:g})" if middle is not None else ""
        hypothesis["expected"] = ask(f"Which value does it reach{measured}", None, number)
    if "min_effect" not in hypothesis and varied:
        hypothesis["min_effect"] = ask("The least difference worth having", 0.0, number)
    fields["hypothesis"] = hypothesis
    if "seeds" not in fields:
        print(f"  {noise_said(values)}")
        fields["seeds"] = [*range(ask("How many seeds", SEEDS, whole))]
    return fields


def noise_said(values: list[float]) -> str:
    """What so many seeds show, by the baseline's noise."""
    from lab.design import power

    noise = power.noise_floor(values)
    if noise is None:
        return WITHOUT_NOISE
    shown = [f"{n} seeds {power.supportable(0, power.pair_deviation(noise), n) or 0:.2g}" for n in (2, 3, 5, 10)]
    return f"by the baseline's noise of {noise:.2g} a difference is shown from: {', '.join(shown)}"


def lacks(fields: Mapping[str, Any], lacks_levels: bool) -> list[str]:
    """The options without which there is no question."""
    hypothesis = fields.get("hypothesis") or {}
    lacking = [f"--{key}" for key in ("claim", "expected") if hypothesis.get(key) is None]
    lacking += [] if fields.get("title") or lacks_levels else ["--title"]
    return [*(["--vary"] if lacks_levels else []), *lacking]


def written(path: Path, text: str) -> tuple[Planner, Plan]:
    """Write a design that can be run, and plan it. Raises UserError: it can't, and nothing is written."""
    from lab.cli.app import planner_of
    from lab.design import preflight
    from lab.execution import campaign

    path.parent.mkdir(exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    try:
        planner = planner_of(Path(os.path.relpath(path)))
        plan = campaign.current(planner)
        campaign.refuse_unusable(planner, plan)
        checks = preflight.question(planner.design, preflight.Inputs(str(path), planner.contract))
        if wrong := [f"{check.name}: {check.message}" for check in checks if not check.ok]:
            raise UserError("\n".join(wrong))
    except BaseException as error:
        path.unlink()
        if isinstance(error, UserError):
            raise UserError(f"{error}\nNothing is written.") from error
        raise
    return planner, plan


def cost(planner: Planner) -> float | None:
    """What such runs took, in seconds; None where none has finished."""
    from lab.execution import preflight_inputs

    contract, project = planner.contract, planner.project
    task = planner.design.task or contract.task_of(planner.composer.compose([]))
    stage = contract.types[planner.design.type]
    return preflight_inputs.seconds(preflight_inputs.similar(project, stage, task)) if project.head else None


def cost_said(runs: int, seconds: float | None) -> str:
    """How long so many runs take."""
    from lab.design.preflight import duration

    if seconds is None:
        return "how long they take nobody knows: nothing like it has run yet"
    return f"about {duration(runs * seconds)} one after the other ({seconds:.0f} s a run)"


# Asking


def ask(prompt: str, default: Any, convert: Callable[[str], Answer] = str) -> Answer:  # type: ignore[assignment]
    """An answer; what can't be used is told, and asked for again."""
    while True:
        text = typer.prompt(prompt, default=default)
        try:
            return convert(str(text))
        except UserError as error:
            print(f"  {error}")


def number(text: str) -> float:
    """A number. Raises UserError."""
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"{text}: expected a number") from error


def whole(text: str) -> int:
    """A number of seeds. Raises UserError."""
    if not text.isdecimal() or not int(text):
        raise UserError(f"{text}: expected a whole number from 1 on")
    return int(text)


def without_none(content: Mapping[str, Any]) -> dict[str, Any]:
    """What was given."""
    cleaned = {key: without_none(value) if isinstance(value, dict) else value for key, value in content.items()}
    return {key: value for key, value in cleaned.items() if value not in (None, {})}
