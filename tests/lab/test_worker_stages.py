"""A stage that is forked from a process with its packages does what a fresh one does, whatever it relies on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from lab.execution.worker import stages
from lab.execution.worker.stages import Runner

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="stages are forked on Linux alone"),
]

TELLS = """
import atexit, inspect, json, os, sys, threading, time
atexit.register(lambda: print("at exit"))
def late():
    threading.main_thread().join()
    print("a thread's end")
threading.Thread(target=late).start()
left = open("left.txt", "w")
left.write("never closed")
frame = inspect.currentframe()
print(json.dumps({
    "argv": sys.argv, "path": sys.path, "flags": str(sys.flags), "original": sys.orig_argv[1:],
    "main": [__name__, __file__, str(__spec__), __doc__, sorted(globals()), sys.modules["__main__"].__file__],
    "code": frame.f_code.co_filename, "folder": os.getcwd(), "input": sys.stdin.read(),
    "environment": {name: value for name, value in os.environ.items() if name not in ("_", "SHLVL", "OLDPWD", "PS1")},
    "streams": [(it.encoding, it.errors, it.line_buffering, it.write_through) for it in (sys.stdout, sys.stderr)],
    "leads a group": os.getpgid(0) == os.getpid(), "yaml": "yaml" in sys.modules,
}, indent=1, sort_keys=True))
import numpy, yaml
print(yaml.safe_dump({"n": int(numpy.arange(3).sum())}), file=sys.stderr)
from helper import VALUE
exec(sys.argv[1])
"""
HOW = """
import os
from pathlib import Path
print("forked" if "serve" in Path("/proc/self/cmdline").read_text() else "fresh")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout with a script, and a module beside it."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "helper.py").write_text("VALUE = 1\n")
    return tmp_path


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    """One for which a few modules are worth loading."""
    monkeypatch.setattr(stages, "WORTH", 20)
    monkeypatch.setenv("SHELL", "/bin/bash")  # it becomes the last program of a command, which others start
    runner = Runner(tmp_path / "recipes")
    yield runner
    runner.close()


def environment(**more: str) -> dict[str, str]:
    private = ("PYTEST_CURRENT_TEST", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in private}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", **more}


def run(runner: Runner, folder: Path, arguments: str = "", fresh: bool = False, **more: str) -> tuple[int, str]:
    """What src/stage.py ends with, and what it prints."""
    command = f"python src/stage.py {arguments}".strip()
    with (folder / "log.txt").open("w") as log:
        way = runner._shell if fresh else runner.run
        code = way(command, folder, environment(PWD=str(folder), **more), log)
    return code, (folder / "log.txt").read_text()


def script(folder: Path, text: str) -> None:
    (folder / "src" / "stage.py").write_text(text)


@pytest.mark.parametrize(
    "last",
    [
        "print(VALUE)",
        "sys.exit(3)",
        "sys.exit('a reason')",
        "raise ValueError(VALUE)",
        "raise KeyboardInterrupt",
        "os.kill(os.getpid(), 9)",
        "os._exit(5)",
    ],
)
def test_a_forked_stage_is_as_a_fresh_one(last: str, runner: Runner, folder: Path) -> None:
    script(folder, TELLS)
    argument = json.dumps(last)
    expected = run(runner, folder, argument, fresh=True, PYTHONPATH="src/../more", PYTHONHASHSEED="7")
    left = (folder / "left.txt").read_text()
    for _ in range(3):  # learned, loaded, once more
        (folder / "left.txt").unlink()
        assert run(runner, folder, argument, PYTHONPATH="src/../more", PYTHONHASHSEED="7") == expected
        assert (folder / "left.txt").read_text() == left
    assert len(runner.loaded) == ("_exit" not in last and "kill" not in last)  # those can't be learned from


def test_each_run_has_its_own_code(runner: Runner, folder: Path) -> None:
    script(folder, f"import numpy\nfrom helper import VALUE\nprint(VALUE)\n{HOW}")
    assert [run(runner, folder)[1] for _ in range(2)] == ["1\nfresh\n", "1\nforked\n"]
    # As of another commit, and of another length: bytecode of this second counts as that of a file of the same size.
    (folder / "src" / "helper.py").write_text("VALUE = 22\n")
    assert [run(runner, folder)[1] for _ in range(2)] == ["22\nfresh\n", "22\nforked\n"]
    script(folder, f"import numpy\nprint('no helper')\n{HOW}")
    assert [run(runner, folder)[1] for _ in range(2)] == ["no helper\nfresh\n", "no helper\nforked\n"]


def test_packages_are_loaded_in_the_environment_of_a_fresh_stage(runner: Runner, folder: Path) -> None:
    """A setting of the run decides about threads, and has to stand before a package is imported."""
    text = "import os, sys\nimport yaml\nos.environ['OMP_NUM_THREADS'] = open('threads').read()\nimport numpy\n" + HOW
    script(folder, text + "print(os.environ['OMP_NUM_THREADS'], numpy.__name__)\n")
    results = []
    for threads in ("1", "1", "2", "2", "1"):
        (folder / "threads").write_text(threads)
        results.append(run(runner, folder)[1].split())
    ways = [way for way, *_ in results]
    assert [threads for _, threads, _ in results] == ["1", "1", "2", "2", "1"]
    assert ways[:3] == ["fresh", "forked", "fresh"] and ways[3] == "forked" and ways[4] == "fresh"


def test_what_only_an_interpreter_s_start_reads_may_differ_from_run_to_run(runner: Runner, folder: Path) -> None:
    """Engines set the seed for processes of their own, between two of their packages."""
    text = "import os\nimport yaml\nos.environ['PYTHONHASHSEED'] = open('seed').read()\nimport numpy\n" + HOW
    script(folder, text + "print(os.environ['PYTHONHASHSEED'], numpy.__name__)\n")
    results = []
    for seed in ("1", "2"):
        (folder / "seed").write_text(seed)
        results.append(run(runner, folder)[1].split())
    assert results == [["fresh", "1", "numpy"], ["forked", "2", "numpy"]]


@pytest.mark.parametrize(("last", "learned"), [("threadpoolctl", 1), ("jinja2", 2)])
def test_a_seed_that_is_set_between_imports_differs_from_run_to_run(
    last: str, learned: int, runner: Runner, folder: Path
) -> None:
    """As Lightning does before its last packages come: a recipe that goes on behind it would fit no other seed."""
    text = f"import os\nimport numpy, pygit2, yaml\nos.environ['SEED'] = open('seed').read()\nimport {last}\n{HOW}"
    script(folder, text + "print(os.environ['SEED'])\n")
    results = []
    for seed in range(4):
        (folder / "seed").write_text(str(seed))
        results.append(run(runner, folder)[1].split())
    assert results == [["fresh" if seed < learned else "forked", str(seed)] for seed in range(4)]


@pytest.mark.parametrize(("first", "way"), [("", "fresh"), ("numpy", "forked")])
def test_what_each_run_sets_anew_before_its_packages_is_learned_a_few_times(
    first: str, way: str, runner: Runner, folder: Path
) -> None:
    """Such as its name: what comes before it is shared, if that is worth it, and nothing is loaded in vain for ever."""
    text = f"import os\nimport {first or 'sys'}\nos.environ['NAME'] = open('name').read()\n"
    script(folder, f"{text}import {'' if first else 'numpy, '}pygit2, yaml, markdown_it, jinja2, rich\n{HOW}")
    ways = []
    for name in range(7):
        (folder / "name").write_text(str(name))
        ways.append(run(runner, folder)[1].strip())
    assert ways[:4] == ["fresh"] * 4 and ways[5:] == [way] * 2
    assert [loaded.process.poll() for loaded in runner.loaded.values()] == ([None] if first else [])


LEARNED_TOGETHER = f"""
import os, time
from pathlib import Path
import numpy, pygit2, yaml
name = os.environ["DVC_EXP_NAME"]
os.environ["SEED"] = name
import jinja2
{HOW}
Path("../at").mkdir(exist_ok=True)
Path("../at", name).touch()
until = time.monotonic() + 30
while not all(Path("../at", name[0] + each).exists() for each in name[1:] and "ab") and time.monotonic() < until:
    time.sleep(0.01)
"""


def test_workers_that_learn_at_a_time_learn_for_good(runner: Runner, folder: Path) -> None:
    """That a seed differs from run to run: none forgets what another has found out, and none loads again for it."""
    workers = {"a": runner, "b": Runner(runner.folder)}
    for each in workers:
        (folder / each / "src").mkdir(parents=True)
        script(folder / each, LEARNED_TOGETHER)
    run(runner, folder / "a", DVC_EXP_NAME="0")
    ways, loaded = [], []
    # A thread for each, as what is loaded ends with the thread that has asked for it.
    with ThreadPoolExecutor(1) as of_a, ThreadPoolExecutor(1) as of_b:
        for number in range(1, 6):
            runs = [
                threads.submit(run, workers[each], folder / each, DVC_EXP_NAME=f"{number}{each}")
                for each, threads in (("a", of_a), ("b", of_b))
            ]
            ways.append([each.result()[1].strip() for each in runs])
            loaded.append([loaded.process.pid for each in workers.values() for loaded in each.loaded.values()])
    workers["b"].close()
    assert ways == [["fresh"] * 2, *[["forked"] * 2] * 4]
    assert loaded[0] != loaded[1] and all(each == loaded[1] for each in loaded[2:])


def test_another_environment_has_other_processes(runner: Runner, folder: Path) -> None:
    script(folder, f"import numpy, os\nprint(os.environ['LEVEL'])\n{HOW}")
    assert [run(runner, folder, LEVEL="a")[1] for _ in range(2)] == ["a\nfresh\n", "a\nforked\n"]
    assert [run(runner, folder, LEVEL="b")[1] for _ in range(2)] == ["b\nfresh\n", "b\nforked\n"]
    assert run(runner, folder, LEVEL="b", DVC_EXP_NAME="c", CUDA_VISIBLE_DEVICES="1")[1] == "b\nforked\n"


HAS_A_GPU = """
import os, runpy, sys
class Opens:  # what asks for a GPU while it is imported, as NNCF does where CUDA's toolkit is installed
    def find_spec(self, name, path=None, target=None):
        if name == PACKAGE:
            open_files.append(open(GPU))
readlink, open_files = os.readlink, []
os.readlink = lambda path: "/dev/nvidia0" if readlink(path) == GPU else readlink(path)
sys.meta_path.insert(0, Opens())
sys.argv[0] = PROCESS
sys.path[0] = os.path.dirname(PROCESS)
runpy.run_path(PROCESS, run_name="__main__")
"""


@pytest.mark.parametrize("package", ["jinja2", "jinja2.sandbox"])
def test_what_opens_a_gpu_is_imported_after_the_fork(
    package: str, runner: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU that was open before can't be used in a forked process."""
    gpu, process = folder / "gpu", folder / "process.py"
    gpu.touch()
    process.write_text(f"PACKAGE, GPU, PROCESS = {package!r}, {str(gpu)!r}, {str(stages.PROCESS)!r}\n{HAS_A_GPU}")
    monkeypatch.setattr(stages, "PROCESS", str(process))
    opened = "[os.path.realpath(path) for path in Path('/proc/self/fd').iterdir()].count('/dev/nvidia0')"
    script(folder, f"import numpy, pygit2, {package}, markdown_it, yaml\n{HOW}\nprint({opened})\n")
    said = [run(runner, folder)[1].splitlines()[-2:] for _ in range(3)]
    assert said == [["fresh", "1"], ["forked", "1"], ["forked", "1"]]


def test_no_two_stages_draw_the_same_numbers(runner: Runner, folder: Path) -> None:
    script(folder, "import numpy, random\nprint(numpy.random.random(), random.random())\n")
    drawn = [number for _ in range(4) for number in run(runner, folder)[1].split()]
    assert len(set(drawn)) == len(drawn)


def test_a_stage_that_hangs_is_repeated_in_a_process_of_its_own(
    runner: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "STUCK", 1.0)
    monkeypatch.setattr(stages, "LOOK", 0.2)
    script(folder, f"import numpy, threading\n{HOW}\nif 'serve' in Path('/proc/self/cmdline').read_text():\n"
           "    lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()\n")  # fmt: skip
    assert run(runner, folder) == (0, "fresh\n")
    code, said = run(runner, folder)
    assert code == 0 and said.startswith("forked\nlab: the stage has waited for a lock") and said.endswith("\nfresh\n")
    assert run(runner, folder) == (0, "fresh\n"), "it is not tried again"


def test_a_stage_that_waits_is_left_alone(runner: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "STUCK", 0.5)
    monkeypatch.setattr(stages, "LOOK", 0.1)
    script(folder, f"import numpy, subprocess, time\n{HOW}\ntime.sleep(2)\nsubprocess.run(['sleep', '2'])\n")
    assert [run(runner, folder) for _ in range(2)] == [(0, "fresh\n"), (0, "forked\n")]


def test_signals_reach_a_stage(runner: Runner, folder: Path) -> None:
    script(folder, "import numpy, sys, time\nprint('begun')\ntime.sleep(float(sys.argv[1]))\n")
    assert run(runner, folder, "0")[0] == 0
    (folder / "recipes" / "x").touch()
    began: list[int] = []
    runner.began = began.append
    for number in (signal.SIGTERM, signal.SIGKILL):
        threading.Timer(1.5, lambda number=number: os.killpg(began[-1], number)).start()
        assert run(runner, folder, "60")[0] == -number
    assert began[1::2] == [0, 0]


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
def test_stages_end_with_their_worker(shell: str, folder: Path) -> None:
    script(folder, "import numpy, sys, time\nprint('begun', flush=True)\ntime.sleep(0 if sys.argv[1:] else 60)\n")
    text = (
        "import os, sys\nfrom pathlib import Path\nfrom lab.execution.worker import stages\nstages.WORTH = 20\n"
        "log = open('log.txt', 'w')\nrunner = stages.Runner(Path('recipes'))\n"
        "environment = {**os.environ, 'PYTHONUNBUFFERED': '1'}\n"
        "for command in sys.argv[1:]:\n    runner.run(command, Path.cwd(), environment, log)\n"
    )
    variables = environment(PYTHONPATH=os.pathsep.join(path for path in sys.path if path), SHELL=shell)
    for last in ("python src/stage.py", "python src/stage.py; true"):
        words = [sys.executable, "-c", text, "python src/stage.py 0", "python src/stage.py 0", last]
        worker = subprocess.Popen(words, cwd=folder, env=variables)
        try:
            until = time.monotonic() + 60
            while (folder / "log.txt").read_text().count("begun") < 3 if (folder / "log.txt").exists() else True:
                assert time.monotonic() < until and worker.poll() is None
                time.sleep(0.1)
            below = psutil.Process(worker.pid).children(recursive=True)
            assert len(below) >= 3  # the stage, or its shell; the process that has packages; the guard
        finally:
            worker.kill()
            worker.wait()
        alive = psutil.wait_procs(below, 10)[1]
        assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
        (folder / "log.txt").unlink()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python src/stage.py a 'b c' lr=1", ["src/stage.py", "a", "b c", "lr=1"]),
        ("python -u src/stage.py", None),
        ("python -m stage", None),
        ("LR=1 python src/stage.py", None),
        ("python src/stage.py > out", None),
        ("python src/stage.py $LR", None),
        ("python src/stage.py && true", None),
        ("python src/stage.py\ntrue", None),
        ("python src/other.py", None),
        ("bash src/stage.py", None),
        ("python 'src/stage.py", None),
        ("", None),
    ],
)
def test_what_is_run_without_a_shell(command: str, expected: list[str] | None, folder: Path) -> None:
    script(folder, "")
    assert stages.python_script(command, folder, environment()) == expected
    elsewhere = environment() | {"PATH": "/usr/bin"}
    assert stages.python_script(command, folder, elsewhere) is None
