"""Writes the generated project's params.yaml, composed from its conf/ for each task, with Ultralytics and without.

Run by `make params`.

DVC rewrites params.yaml from conf/ at every `dvc exp run`. It has to be in the first commit all the same, with the very
bytes that DVC would write: DVC reads it before it composes, and a fresh project should not show a change that is none.
"""

import json
import tempfile
from difflib import SequenceMatcher
from pathlib import Path

from cookiecutter.main import cookiecutter
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

TEMPLATE = Path(__file__).parents[1]
PARAMS = TEMPLATE / "<<cookiecutter.project>>" / "params.yaml"
PACKAGE = "package_placeholder"
TASKS = json.loads((TEMPLATE / "cookiecutter.json").read_text())["task"]


def composed(task: str, ultralytics: str) -> str:
    """params.yaml of a project with these answers, as dvc.utils.hydra.compose_and_dump writes it."""
    with tempfile.TemporaryDirectory() as folder:
        answers = {"task": task, "ultralytics": ultralytics, "package": PACKAGE}
        project = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=folder, extra_context=answers))
        with initialize_config_dir(str(project / "conf"), version_base=None):
            config = compose("config")
    OmegaConf.resolve(config)
    return OmegaConf.to_yaml(config).replace(PACKAGE, "<< cookiecutter.package >>")


def merged(with_it: str, without: str) -> str:
    """One text for both: what they share once, the rest under conditions."""
    one, other = with_it.splitlines(keepends=True), without.splitlines(keepends=True)
    text = ""
    for same, start, end, first, last in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if same == "equal":
            text += "".join(one[start:end])
            continue
        for answer, lines in (("yes", one[start:end]), ("no", other[first:last])):
            if lines:
                text += f"<%- if cookiecutter.ultralytics == '{answer}' %>\n{''.join(lines)}<%- endif %>\n"
    return text


def content() -> str:
    """The template's file: one text for each task."""
    texts = []
    for task in TASKS:
        answers = ("yes",) if task == "segmentation" else ("yes", "no")  # there is none without Ultralytics
        with_it, *without = (composed(task, answer) for answer in answers)
        texts.append(f"if cookiecutter.task == '{task}' -%>\n{merged(with_it, *without) if without else with_it}")
    return f"<% {'<% el'.join(texts)}<% endif -%>\n"


def main() -> None:
    PARAMS.write_text(content())


if __name__ == "__main__":
    main()
