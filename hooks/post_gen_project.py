"""Makes the new project a git repository with a first commit, and says the next commands.

Runs in cookiecutter's own interpreter: standard library only, no network. Under cruft it leaves git alone: cruft
renders the template again for each diff and update, and a repository in there would break them.
"""

import contextlib
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

answers = json.loads(r"""<< cookiecutter | tojson >>""")

# Set inside git's own hooks, where they would send our commit to another repository.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")}


def git(*arguments):
    return subprocess.run(["git", *arguments], env=ENVIRONMENT, capture_output=True, text=True)


def enclosed():
    """Whether this folder is part of a repository. One that ignores the folder doesn't count."""
    return git("rev-parse", "--is-inside-work-tree").returncode == 0 and git("check-ignore", "-q", ".").returncode == 1


def commit():
    """Commits everything, with a stand-in for the committer where the user has not told git a name. No prompt, ever."""
    identity = []
    if git("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT").returncode:
        identity = ["-c", f"user.name={answers['project']}", "-c", "user.email=nobody@localhost"]
    commit = ["commit", "-q", "--no-verify", "--no-gpg-sign", "-m", "Start from exp-template"]
    for step in (["init", "-q"], ["add", "-A"], [*identity, *commit]):
        done = git(*step)
        if done.returncode:
            return f"not committed yet, because git failed: {done.stderr.strip()}"
    return "a git repository with a first commit."


def left_out():
    """What git did not take, though the project's own .gitignore lets it: a person's core.excludesFile says so."""
    names = git("ls-files", "--others", "--ignored", "--exclude-standard").stdout.splitlines()
    if not names:
        return None
    some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    file = git("config", "--path", "core.excludesFile").stdout.strip() or "your own list of what git ignores"
    return f"{file} kept files out of the first commit: {some}. git add --force takes them, before the next commit."


def unread_ci():
    """Git's hosts read the CI files at a repository's root alone."""
    if answers["ci"] == "none":
        return None
    host, files = ("GitLab", ".gitlab-ci.yml") if answers["ci"] == "gitlab" else ("GitHub", ".github/")
    return f"{host} reads {files} at the top of a repository alone: move it there, and let its jobs run in this folder."


def state():
    """What git makes of the project, and what there is to know of it beyond that."""
    if not shutil.which("git"):
        return "no git repository: install git, then git init, git add -A and git commit.", None
    if enclosed():
        return "part of the git repository around it: commit it there.", unread_ci()
    return commit(), left_out()


def leave_out(engine):
    """Takes away all that is an engine's alone: its files, its models, and tasks that no other engine learns."""
    gone, models = {engine}, set()
    for path in [*Path("src").rglob(f"*{engine}*"), *Path("conf/model").glob("*.yaml")]:
        if path.is_dir():
            shutil.rmtree(path)
        elif engine in path.name or f"\nengine: {engine}" in path.read_text(encoding="utf-8"):
            path.unlink()
            models.add(path.stem)
    package = Path("src", answers["package"])
    others = sorted(folder.name for folder in (package / "engines").iterdir())
    for task in (package / "tasks").iterdir():
        left = [other for other in others if (task / "networks" / f"{other}.py").exists()]
        if left:
            code = (task / "__init__.py").read_text(encoding="utf-8")
            (task / "__init__.py").write_text(code.replace(f'"{engine}"', f'"{left[0]}"'), encoding="utf-8")
            continue
        shutil.rmtree(task)
        gone.add(task.name)
        for path in [*Path("conf/task").glob(f"{task.name}.yaml"), *Path("designs").glob(f"{task.name}_*.yaml")]:
            path.unlink()
        for path in Path("conf/data").glob("*.yaml"):
            if f"\ntask: {task.name}\n" in path.read_text(encoding="utf-8"):
                path.unlink()
    schema = Path("designs", "schema.json")
    offered = without(json.loads(schema.read_text(encoding="utf-8")), gone, models)
    schema.write_text(json.dumps(offered, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def without(node, gone, models, key=""):
    """What editors are offered, without keys and tasks that are gone, `a.gone.b` and `task=gone`, and models."""
    if isinstance(node, dict):
        return {
            name: without(value, gone, models, key if name in ("items", "examples") else name)
            for name, value in node.items()
            if not gone & {*name.split(".")}
        }
    if isinstance(node, list):
        left = [item for item in node if not (isinstance(item, str) and gone & {*re.split("[.=]", item)})]
        away = {f"model={model}" for model in models} | (models if key == "model" else set())
        return [without(item, gone, models) for item in left if not (isinstance(item, str) and item in away)]
    return node


if answers["ultralytics"] == "no":
    leave_out("ultralytics")
for folder in (".github/workflows", ".gitlab"):  # empty where the CI is another
    with contextlib.suppress(OSError):
        os.removedirs(folder)
# Of a template whose code was imported, linted or tested where it lies.
for folder in (*glob.glob("**/__pycache__", recursive=True), *glob.glob("**/.*_cache", recursive=True)):
    shutil.rmtree(folder)

if "_commit" not in answers:
    said, note = state()
    if note:
        print(f"\n{note}")
    print(f"\n{answers['project']} is {said} Next:\n")
    print(f"    cd {shlex.quote(os.getcwd())}")
    print("    make setup && source .venv/bin/activate")
    print("    dvc exp run\n")
