"""Writes the generated project's params.yaml, composed from its conf/ for each task: run by `make params`.

DVC rewrites params.yaml from conf/ at every `dvc exp run`. It has to be in the first commit all the same, with the very
bytes that DVC would write: DVC reads it before it composes, and a fresh project should not show a change that is none.
"""

import json
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

TEMPLATE = Path(__file__).parents[1]
PARAMS = TEMPLATE / "<<cookiecutter.project>>" / "params.yaml"
PACKAGE = "package_placeholder"


def composed(task: str) -> str:
    """params.yaml of a project whose default is `task`, as dvc.utils.hydra.compose_and_dump writes it."""
    with tempfile.TemporaryDirectory() as folder:
        answers = {"task": task, "package": PACKAGE}
        project = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=folder, extra_context=answers))
        with initialize_config_dir(str(project / "conf"), version_base=None):
            config = compose("config")
    OmegaConf.resolve(config)
    return OmegaConf.to_yaml(config).replace(PACKAGE, "<< cookiecutter.package >>")


def content() -> str:
    """The template's file: one text for each task."""
    tasks = json.loads((TEMPLATE / "cookiecutter.json").read_text())["task"]
    texts = (f"if cookiecutter.task == '{task}' -%>\n{composed(task)}" for task in tasks)
    return f"<% {'<% el'.join(texts)}<% endif -%>\n"


def main() -> None:
    PARAMS.write_text(content())


if __name__ == "__main__":
    main()
