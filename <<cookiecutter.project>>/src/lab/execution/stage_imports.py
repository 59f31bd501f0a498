"""Whether what the stages import is installed, found out without importing any of it.

Each script that a stage's command gives to Python is read, and what it imports of the project, and what else of the
stage's code lies in files and folders that its deps name. Only imports that happen at once count: one in a function, in
`try` or below an `if` may never be needed.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lab.design.pipeline import filled

if TYPE_CHECKING:
    from lab.design.plan import Plan
    from lab.records.project import Project

PYTHON = re.compile(r"python[\d.]*(\.exe)?")
ASK = "import sys; from importlib.util import find_spec; print(*(n for n in sys.argv[1:] if find_spec(n) is None))"
Imports = dict[str, str]  # top-level modules, with the place where each is imported first


def missing_packages(project: Project, plan: Plan) -> str:
    """What the stages of the plan's runs import and their Python can't find, with the place; empty where it has all."""
    wanted: dict[str, Imports] = {}
    seen = set()
    for run in plan.runs:
        for stage in project.commit(str(project.head)).pipeline.chain(run.target):
            definition = project.commit(str(project.head)).pipeline.definition(stage, run.params)
            commands = definition["cmd"] if isinstance(definition.get("cmd"), list) else [definition.get("cmd") or ""]
            deps, folder = definition["deps"], str(definition.get("wdir", "."))
            for python, script in scripts(filled(" ; ".join(map(str, commands)), run.params)):
                key = (python, script, folder, *deps)
                if key not in seen:
                    seen.add(key)
                    named = imported(project, PurePosixPath(folder), script, deps)
                    wanted[python] = named | wanted.get(python, {})
    lines = []
    for python, modules in wanted.items():
        absent = not_found(project.root, python, list(modules))
        lines += [f"{modules[module]}: {module} is not installed" for module in modules if module in absent]
    if lines:
        lines.append("install what the stages need beside lab, or write such an import where it is used")
    return "\n".join(lines)


def scripts(command: str) -> Iterator[tuple[str, str]]:
    """Each Python and script in a stage's command."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)  # `a.py; b.py` is three words
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:  # a shell may understand more
        return
    for place, word in enumerate(words):
        if PYTHON.fullmatch(PurePosixPath(word).name):
            script = next((after for after in words[place + 1 :] if not after.startswith("-")), "")
            if script.endswith(".py"):
                yield word, script


def imported(project: Project, folder: PurePosixPath, script: str, deps: Iterable[str]) -> Imports:
    """What is not the project's own of that which a script and the code that its stage depends on import at once."""
    root = project.root
    first = root / folder / script
    places = list(dict.fromkeys([first.parent, root / folder, root, root / "src"]))
    # A folder with the script in it is the whole project's code: what of it the stage uses, its imports tell.
    own = [dep for dep in deps if "://" not in dep and not first.is_relative_to(root / dep) and (root / dep).exists()]
    listing = project.git.call("ls-files", "-z", "--", *own).stdout if own else ""
    todo = [first, *(root / name for name in listing.split("\0") if name.endswith(".py"))]
    modules: Imports = {}
    homes: dict[str, list[Path]] = {}  # of a top-level module, those of the places that have one of its name
    read: set[Path] = set()
    while todo:
        path = todo.pop(0)
        if path in read or not path.is_file():
            continue
        read.add(path)
        content = path.read_bytes()
        key = f"{sys.hexversion} {hashlib.sha256(content).hexdigest()}"
        known = project.kept.find("imports", key, lambda text=content: imports(text))
        for line, name, level in known:
            top = name.partition(".")[0]
            if not level and top not in homes:
                homes[top] = [base for base in places if module_files(base, top)]
            bases = [path.parents[level - 1]] if level else homes[top]
            files = [file for base in bases for file in module_files(base, name)]
            todo += files
            if not files and not level and top not in sys.stdlib_module_names:
                modules.setdefault(top, f"{os.path.relpath(path, root)}, line {line}")
    return modules


def imports(content: bytes) -> list[list[Any]]:
    """What a file imports when it is itself imported: the line, the module, and how many dots stand before it."""
    try:
        todo: list[ast.stmt] = list(ast.parse(content).body)
    except (SyntaxError, ValueError):  # another version's Python, or none: the stage itself will say
        return []
    found: list[list[Any]] = []
    while todo:
        statement = todo.pop(0)
        if isinstance(statement, ast.ClassDef | ast.With):
            todo += statement.body
        elif isinstance(statement, ast.Import):
            found += ([statement.lineno, alias.name, 0] for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            base = statement.module or ""
            found.append([statement.lineno, base, statement.level])
            names = (f"{base}.{alias.name}".lstrip(".") for alias in statement.names)  # modules, as far as they are
            found += ([statement.lineno, name, statement.level] for name in names)
    return found


def module_files(folder: Path, name: str) -> list[Path]:
    """The files that importing a module of this name from a folder runs; none where it has no such module."""
    path, files = folder, []
    for part in name.split(".") if name else []:
        path = path / part
        files += [file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()]
        if not files and not path.is_dir():
            return []
    return files or ([path] if name and path.is_dir() else [])


def not_found(root: Path, python: str, modules: list[str]) -> set[str]:
    """Those that a stage's Python can't find; none where it can't be asked."""
    folder = str(Path(sys.executable).parent)  # workers have it first on their PATH
    found = shutil.which(python, path=os.pathsep.join([folder, os.environ.get("PATH", "")]))
    if found is None or str(Path(found).parent) == folder:
        return {module for module in modules if module not in sys.modules and find_spec(module) is None}
    try:
        command = [found, "-c", ASK, *modules]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return set(done.stdout.split()) if done.returncode == 0 else set()
