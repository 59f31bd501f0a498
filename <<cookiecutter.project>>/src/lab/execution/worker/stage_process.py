"""A stage's process: a script run as `python SCRIPT ARGUMENTS` would run it, in a process that need not start anew.

Started by its path, and without `lab`: whatever is imported here, each stage finds imported. Two ways to start it:

    record RECIPE SCRIPT ARGUMENTS    runs the script, and notes what it imports and sets in the environment, in order
    serve RECIPE                      does as the recipe says, then forks a process for each request on standard input

Where a forked stage would have loaded a package in another environment, it starts once more, in a fresh process.
"""

from __future__ import annotations

import array
import atexit
import builtins
import contextlib
import gc
import importlib.machinery
import io
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
import types
import warnings

from stage_packages import Packages, Recorder, die_with_parent, is_own, write  # type: ignore[import-not-found]

del sys.path[0]  # this folder, whose other modules are no stage's
STARTED = b'{"started": true}\n'


def serve(recipe: str) -> None:
    """Load, say so, and fork for each request; it ends with its standard input."""
    channel = socket.socket(fileno=os.dup(0))
    die_with_parent()
    with open(recipe) as file:
        content = json.load(file)
    packages = Packages(content)
    before = dict(os.environ)
    opened_by = packages.load(open_devices)
    if opened_by is not None:
        write(recipe, {**content, "events": content["events"][:opened_by]})  # for another process: what came before it
    os.environ.clear()
    os.environ.update(before)
    gc.collect()
    gc.freeze()  # the collector of a forked process would copy all of it
    channel.sendall(json.dumps({"ready": opened_by is None}).encode() + b"\n")
    while opened_by is None:
        request, files = receive(channel)
        if request is None:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are threads: those that packages start at import only wait
            process = os.fork()
        if process == 0:
            stage(channel, packages, request, files[0])  # does not return
        os.close(files[0])
        channel.sendall(json.dumps({"pid": process}).encode() + b"\n")
        _, status = os.waitpid(process, 0)
        channel.sendall(json.dumps({"returncode": os.waitstatus_to_exitcode(status)}).encode() + b"\n")


def open_devices() -> str:
    """A device that a package has opened, such as a GPU: a forked process could not use it. Empty without any."""
    for number in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if path.startswith(("/dev/nvidia", "/dev/dri", "/dev/kfd", "/dev/accel")):
            return path
    return ""


def receive(channel: socket.socket) -> tuple[dict | None, list[int]]:
    """A request and the files that come with it; None at the end."""
    numbers = array.array("i")
    data, ancillary, _, _ = channel.recvmsg(2**20, socket.CMSG_LEN(numbers.itemsize))
    for _, _, content in ancillary:
        numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    while data and not data.endswith(b"\n"):
        data += channel.recv(2**20)
    return (json.loads(data) if data else None), list(numbers)


def stage(channel: socket.socket, packages: Packages, request: dict, log: int) -> None:
    """Become the stage, in a forked process."""
    os.setsid()
    die_with_parent()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # as unforeseeable as in a process of its own
    script, *arguments = request["command"]

    def again() -> None:
        command = [sys.executable, __file__, "record", request["recipe"], script, *arguments]
        os.execve(sys.executable, command, request["environment"])

    packages.hide(again)
    channel.sendall(STARTED)
    channel.close()
    run(script, arguments)


# Running


def run(script: str, arguments: list[str]) -> None:
    """What `python SCRIPT ARGUMENTS` does, in this process, which ends with it."""
    path = os.path.abspath(script)
    search = [os.path.abspath(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    installed = [part for part in sys.path if part not in search]
    sys.path[:] = list(dict.fromkeys([os.path.dirname(os.path.realpath(path)), *search, *installed]))
    sys.argv[:] = [script, *arguments]
    sys.orig_argv[:] = [sys.executable, script, *arguments]
    main = types.ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    main.__dict__.update(__file__=path, __builtins__=builtins, __cached__=None, __annotations__={}, __loader__=loader)
    sys.modules["__main__"] = main
    sys.path_importer_cache.clear()
    try:
        with io.open_code(path) as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        exec(code, main.__dict__)
        status = 0
    except SystemExit as request:
        status = exit_status(request.code)
    except BaseException as error:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # without this function
        sys.excepthook(type(error), error, error.__traceback__)
        status = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    end(main, status)


def exit_status(code: object) -> int:
    """What an argument of sys.exit comes to."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def end(main: types.ModuleType, status: int) -> None:
    """End as an interpreter does: threads, atexit, what is still open; without the packages' own long farewell."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        warnings.simplefilter("ignore")  # as an interpreter at its end
        main.__dict__.clear()  # files that nobody has closed are written now
        for module in [module for module in list(sys.modules.values()) if is_own(module)]:
            module.__dict__.clear()
        gc.collect()
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    if status == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    os._exit(status)


def record(recipe: str, script: str, arguments: list[str]) -> None:
    """Run a script, and note its recipe when it has ended."""
    recorder = Recorder()
    atexit.register(recorder.write, recipe)
    recorder.start()
    run(script, arguments)


if __name__ == "__main__":
    way, recipe, *rest = sys.argv[1:]
    if way == "serve":
        serve(recipe)
    else:
        record(recipe, rest[0], rest[1:])
