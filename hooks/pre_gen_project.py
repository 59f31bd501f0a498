"""Refuses answers that would make a broken project, in one sentence.

Runs in cookiecutter's own interpreter: standard library only. Be careful to make it stricter: a project whose answers
no longer pass can't be updated by cruft.
"""

import json
import keyword
import re
import sys
import tempfile
from pathlib import Path

answers = json.loads(r"""<< cookiecutter | tojson >>""")

# Modules that the project imports, or has itself: a package of that name in src/ would hide them.
TAKEN = """
    PIL celery click cv2 dotenv dvc dvclive git huggingface_hub hydra hypothesis jinja2 lightning matplotlib mlflow
    nncf networkx numpy omegaconf onnx openvino optuna packaging pandas psutil pyarrow pydantic pygit2 pytest
    pytorch_lightning ray requests rich scipy sklearn statsmodels sympy timm torch torchmetrics torchvision tqdm typer
    ultralytics wandb yaml
    conf data designs docs infer models prepare project quant src test tests train vision
"""
# More of them since src/lab is there. Projects that had such a name before keep it (CHANGELOG.md says how to rename).
TAKEN_SINCE = """
    configobj dpath dulwich dvc_data dvc_objects filelock lab markdown_it pydantic_core pygtrie ruamel scmrepo
    simpleeval sqlalchemy tabulate voluptuous
"""


def old():
    """Whether cruft renders this for a project that is there already. It does so in a temporary folder of its own."""
    folder = Path.cwd().parent.parent.resolve()
    return "_commit" in answers and folder == Path(tempfile.gettempdir()).resolve()


def problem(project, package, dvc_remote, dvc_remote_url, **others):
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", project):
        return f"project {project!r} must be made of letters, digits, '.', '-' and '_', a letter or digit at both ends."
    if not re.fullmatch(r"[a-z][a-z0-9_]*", package):
        return f"package {package!r} must be made of lower-case letters, digits and '_', and begin with a letter."
    if keyword.iskeyword(package):
        return f"package {package!r} is a word of the Python language: choose another name, such as {package}_lab."
    taken = TAKEN.split() if old() else [*TAKEN.split(), *TAKEN_SINCE.split()]
    if package in taken or package in sys.stdlib_module_names:
        return f"package {package!r} would hide the module of that name: choose another name, such as {package}_lab."
    for name, value in {"dvc_remote_url": dvc_remote_url, **others}.items():
        if not name.startswith("_") and re.search(r"[\x00-\x1f\x7f\u2028\u2029]|<[%#<]", value):
            return f"{name} {value!r} must be one line, without a double '<', '<' + '%' and '<' + '#'."
    return remote_problem(dvc_remote, dvc_remote_url)


def remote_problem(kind, url):
    if not url.strip():
        return f"dvc_remote_url is empty: dvc_remote={kind} needs an address."
    if re.search("[\"'#;,]", url):
        return f"dvc_remote_url {url!r} must hold no quotes and none of # ; ,"
    if kind == "local" and "://" in url:
        return f"dvc_remote_url {url!r} is no folder: give a path, or choose another dvc_remote than local."
    if kind != "local" and not re.fullmatch(rf"{kind}://[^/\s]\S*", url):
        return f"dvc_remote_url {url!r} doesn't fit dvc_remote={kind}: it must look like {kind}://…"
    return None


if message := problem(**answers):
    sys.exit(message)
if answers["package"] in TAKEN_SINCE.split():
    sys.stderr.write(f"package {answers['package']!r} hides a module of that name: rename it, as CHANGELOG.md says.\n")
