"""Runs scripts in forks of a process that has imported the engines: orders on stdin, exit codes on stdout.

Each order is a line of JSON with root, argv, environment, out and err. What is imported here is what the stages import
from packages; the project's own code is imported in the fork, from the folder of its script.
"""

import gc
import json
import os
import runpy
import sys
import traceback
import warnings
from importlib import import_module
from pathlib import Path

MODULES = [
    "cv2",
    "dvclive",
    "hydra",
    "matplotlib.figure",
    "omegaconf",
    "pandas",
    "psutil",
    "pyarrow.parquet",
    "rich.progress",
    "scipy.special",
    "scipy.stats",
    "sklearn.metrics",
    "timm",
    "torch",
    "torchvision.transforms.v2",
    "pytorch_lightning",
    "ultralytics.models.yolo.detect",
    "ultralytics.utils.metrics",
    "ultralytics.utils.nms",
    "openvino",
    "nncf",
]
QUIET = {"YOLO_AUTOINSTALL": "0", "YOLO_VERBOSE": "false", "YOLO_OFFLINE": "1", "NO_ALBUMENTATIONS_UPDATE": "1"} | {
    "MPLBACKEND": "agg",
    "NNCF_CI": "1",
    "TF_BUILD": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}  # what the stages set before they import an engine (shared/environment.py)


def serve() -> None:
    """Carry out orders until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an import prints is no answer
    os.environ.update(QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in MODULES:
            import_module(name)
    gc.collect()
    gc.freeze()  # each fork's collector would copy all of it
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            os._exit(carry_out(order))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers, flush=True)


def carry_out(order: dict) -> int:
    """Run the script as `python <argv>` would, and give its exit code."""
    os.chdir(order["root"])
    os.environ.clear()
    os.environ.update(order["environment"])
    for stream, path in ((1, order["out"]), (2, order["err"])):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream)
    sys.argv = order["argv"]
    sys.path[0] = str(Path(order["root"], order["argv"][0]).parent)
    if sys.path[0] == order["root"]:
        sys.path[0] = str(Path(order["root"], "src"))
    code = 0
    try:
        runpy.run_path(order["argv"][0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve()
