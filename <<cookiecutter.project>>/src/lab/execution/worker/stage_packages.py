"""Packages that stages share: what a stage imports is noted, loaded in advance, and given to it when it asks.

Packages read the environment when they are imported, so that a forked stage gets a package only where its environment
is then what it was when the package was loaded. A project's own code is never among them. Like `stage_process`, this
is imported without `lab`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import sysconfig
import types
from collections.abc import Callable
from typing import Any

OFTEN = 3  # times that a variable has changed from one run that was learned from to the next
INSTALLED = tuple({os.path.join(sysconfig.get_path(kind), "") for kind in ("purelib", "platlib")})


def installed() -> list[tuple[str, int]]:
    """Where packages are, and when one came or went last."""
    return [(path, os.stat(path).st_mtime_ns) for path in sorted(INSTALLED) if os.path.isdir(path)]


class Recorder:
    """What a script imports and sets, while it runs: `["import", module]` and `["set", variable, value or None]`."""

    def __init__(self):
        self.events: list[list[Any]] = []
        self.folder = os.getcwd()

    def start(self) -> None:
        put, unset = os.putenv, os.unsetenv

        def putenv(name: bytes, value: bytes) -> None:
            put(name, value)
            note(name, os.fsdecode(value))

        def unsetenv(name: bytes) -> None:
            unset(name)
            note(name, None)

        def note(name: bytes, value: str | None) -> None:
            if not is_importing():
                self.events.append(["set", os.fsdecode(name), value])

        os.putenv, os.unsetenv = putenv, unsetenv  # os.environ calls these
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Of importlib's finders the first, which finds nothing and is asked for each module."""
        self.events.append(["import", name])

    def write(self, recipe: str) -> None:
        """Note what came of it, the project's own files that took part, and which settings differ from run to run.

        What differs is never forgotten: of workers that learn at a time, one would bring back what another left out.
        """
        paths = {str(module.__file__) for module in list(sys.modules.values()) if is_own(module)}
        inside = os.path.join(self.folder, "")
        own = {path.removeprefix(inside): content_hash(path) for path in sorted(paths)}
        kept = [event for event in self.events if event[0] == "set" or is_installed(file_of(event[1]))]
        settings = {name: value[0] for kind, name, *value in self.events if kind == "set"}
        before = read(recipe) or {"settings": {}, "differing": {}}
        differing = dict(before["differing"])
        for name, value in before["settings"].items():
            if settings.get(name, value) != value:
                differing[name] = differing.get(name, 0) + 1
        events = kept[: last_worth(kept, differing)]
        write(recipe, {"events": events, "own": own, "settings": settings, "differing": differing})


def write(recipe: str, content: dict[str, Any]) -> None:
    """Put a recipe in the place of the last."""
    temporary = f"{recipe}.{os.getpid()}"
    with open(temporary, "w") as file:
        json.dump(content, file)
    os.replace(temporary, recipe)


def content_hash(path: str) -> str:
    """The hash of a file; empty where there is none."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def last_worth(events: list[list[Any]], differing: dict[str, int]) -> int:
    """Where a recipe ends: by then most is imported, and what is set later is a run's own affair, such as its seed.

    It ends before a variable is set that has been found `differing` so many times: once where half is imported, OFTEN
    where it isn't. So a setting of several runs, such as their threads, has a recipe, and a name for each has none.
    """
    imports = [place for place, event in enumerate(events) if event[0] == "import"]
    if not imports:
        return 0
    half, most, last = (imports[int(share * (len(imports) - 1))] + 1 for share in (0.5, 0.9, 0.97))
    for place, (kind, name, *_) in enumerate(events[:last]):
        if kind == "set" and (place >= most or differing.get(name, 0) >= (1 if place >= half else OFTEN)):
            return place
    return last


def read(recipe: str) -> dict[str, Any] | None:
    """A recipe; None where there is none, or half of one."""
    try:
        with open(recipe) as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def file_of(name: str | None) -> str:
    """Where a module comes from; empty for one that is no file, and for one that is not there any more."""
    return getattr(sys.modules.get(name or ""), "__file__", None) or ""


def is_importing() -> bool:
    """Whether an installed package is being imported: what it sets then, it sets wherever it is imported."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "<module>" and is_installed(frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False


def is_of_package(name: str) -> bool:
    """Whether a module belongs to an installed package; parts of one that is written in C are no files."""
    top = sys.modules.get(name.partition(".")[0])
    places = [getattr(top, "__file__", None), *getattr(top, "__path__", ())]
    return sys.modules[name] is not None and any(place and is_installed(place) for place in places)


def is_installed(path: str) -> bool:
    """Whether a file belongs to an installed package."""
    return path.startswith(INSTALLED)


def is_standard(path: str) -> bool:
    """Whether a file belongs to Python itself, or to this folder."""
    return path.startswith((os.path.join(sysconfig.get_path("stdlib"), ""), os.path.dirname(__file__)))


# What only an interpreter's start reads. Engines set it for processes of their own, to another value in each run.
AT_START = {"PYTHONPATH", "PYTHONHASHSEED"}


class Packages:
    """The packages of a recipe, loaded; in a forked process hidden until the stage asks for them."""

    def __init__(self, recipe: dict[str, Any]):
        self.events = recipe["events"]
        self.phases: list[dict[str, types.ModuleType]] = []  # between two changes of the environment
        self.settings: list[dict[str, str | None]] = []  # what the stage has set before each of them
        self.made: list[dict[str, str | None]] = []  # what the packages of each set themselves
        self.given, self.giving = 0, False
        self.changes: dict[str, str | None] = {}

    def load(self, unfit: Callable[[], object]) -> int | None:
        """Import and set as the recipe says. What can't be imported is left to the stage.

        It ends where `unfit` is true of this process: the place of the import that made it so, else None.
        """
        known = set(sys.modules)
        changed: dict[str, str | None] = {}
        self._begin(changed)
        for place, (kind, name, *value) in enumerate(self.events):
            if kind == "set" and name in AT_START:
                continue
            if kind == "set":
                self._end(known)
                changed = {**changed, name: value[0]}
                set_variable(name, value[0])
                self.state = dict(os.environ)
                if self.phases[-1]:
                    self._begin(changed)
                self.settings[-1] = changed
            elif name not in sys.modules:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
                if unfit():
                    return place
        self._end(known)
        return None

    def _begin(self, changed: dict[str, str | None]) -> None:
        self.phases.append({})
        self.settings.append(changed)
        self.made.append({})
        self.state = dict(os.environ)

    def _end(self, known: set[str]) -> None:
        new = [name for name in sys.modules if name not in known]
        known.update(new)
        self.phases[-1].update({name: sys.modules[name] for name in new if is_of_package(name)})
        now = dict(os.environ)
        names = {name for name in {*now, *self.state} if now.get(name) != self.state.get(name)}
        self.made[-1].update({name: now.get(name) for name in names})
        self.state = now

    def hide(self, again: Callable[[], None]) -> None:
        """Take them out of sight. `again` is called where the stage would have loaded them in another environment."""
        self.again = again
        for phase in self.phases:
            for name in phase:
                sys.modules.pop(name, None)
        self.place = {name: number for number, phase in enumerate(self.phases) for name in phase}
        self.put, self.unset = os.putenv, os.unsetenv
        os.putenv, os.unsetenv = self._putenv, self._unsetenv
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Give what belongs to the same time as a module that is asked for."""
        number = self.place.get(name)
        if number is None or number < self.given:
            return None
        for earlier in range(self.given, number + 1):
            if self.phases[earlier] and self.settings[earlier] != self.changes:
                self.again()
        module = self.phases[number][name]
        for earlier in range(self.given, number + 1):
            for each, content in self.phases[earlier].items():
                if each != name:  # which importlib puts there itself, and would import anew if it found it
                    sys.modules.setdefault(each, content)
            self.giving = True
            for variable, value in self.made[earlier].items():
                set_variable(variable, value)
            self.giving = False
        self.given = number + 1
        if self.given == len(self.phases):
            self._retire()
        return importlib.machinery.ModuleSpec(name, Loaded(module), origin=getattr(module, "__file__", None))

    def _putenv(self, name: bytes, value: bytes) -> None:
        self.put(name, value)
        self._changed(os.fsdecode(name), os.fsdecode(value))

    def _unsetenv(self, name: bytes) -> None:
        self.unset(name)
        self._changed(os.fsdecode(name), None)

    def _changed(self, name: str, value: str | None) -> None:
        if self.giving or is_importing() or name in AT_START:
            return
        self.changes = {**self.changes, name: value}
        expected = {key: value for setting in self.settings[self.given :] for key, value in setting.items()}
        if name not in expected:  # it might have come before something that was given already
            self.again()

    def _retire(self) -> None:
        os.putenv, os.unsetenv = self.put, self.unset
        sys.meta_path.remove(self)


class Loaded(importlib.abc.Loader):
    """A loader of a module that is loaded."""

    def __init__(self, module: types.ModuleType):
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: object) -> types.ModuleType:
        return self.module

    def exec_module(self, module: types.ModuleType) -> None:
        module.__spec__ = self.spec
        module.__loader__ = getattr(self.spec, "loader", None)


def set_variable(name: str, value: str | None) -> None:
    """Set a variable, or take it away."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def is_own(module: object) -> bool:
    """Whether a module is the project's own code."""
    path = getattr(module, "__file__", None)
    return isinstance(path, str) and not is_installed(path) and not is_standard(path)


def die_with_parent() -> None:
    """Nobody would take up what this process is at once its parent is gone. Linux only; elsewhere nothing is forked."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
