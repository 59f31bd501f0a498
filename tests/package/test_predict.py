"""predict.py on new files: every answer is in the table, the same as the evaluation's, and nothing is lost."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from workspace import PROJECT, SMALL, Workspace, load

inputs = load("prediction.inputs")
outputs = load("prediction.outputs")
UserError = load("shared.errors").UserError

Get = Callable[[str], Workspace]


def image(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def grey(value: int) -> np.ndarray:
    return np.full((20, 30, 3), value, np.uint8)


def video(path: Path, frames: int) -> Path:
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    return path


# What is read


def test_files_folders_and_videos_each_once(tmp_path: Path) -> None:
    for name in ("set/a.png", "set/deep/b.JPG", "set/.hidden/c.png", "set/notes.txt", "other/a.png"):
        image(tmp_path / name, grey(9)) if not name.endswith("txt") else (tmp_path / name).write_text("x")
    clip = video(tmp_path / "clip.mp4", 3)
    found = inputs.find([tmp_path / "set", tmp_path / "set" / "a.png", clip])
    assert [file.name for file in found] == ["set/a.png", "set/deep/b.JPG", "clip.mp4"]
    same = inputs.find([tmp_path / "set" / "a.png", tmp_path / "other" / "a.png"])
    assert len({file.name for file in same}) == 2, "two files of one name stay two"


def test_what_cannot_be_predicted_is_named_together(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    text = tmp_path / "x.txt"
    text.write_text("x")
    with pytest.raises(UserError, match=r"empty has no image.*x\.txt is of a kind.*gone does not exist.*Expected"):
        inputs.find([tmp_path / "empty", text, tmp_path / "gone"])


def test_a_camera_of_12_bits_is_as_bright_as_in_prepare(tmp_path: Path) -> None:
    ramp = np.linspace(0, 4095, 600).reshape(20, 30).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    found = inputs.find([tmp_path])
    white, remark = inputs.white(found, None)
    (read,) = inputs.read(found, white, [])
    assert white == 4095 and "4095 is white" in remark
    assert read.pixels.max() == 255
    assert next(inputs.read(found, inputs.white(found, 65535)[0], [])).pixels.max() < 20, "as it is told"


def test_videos_frame_by_frame_and_the_damaged_by_name(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4", 5)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    (tmp_path / "c.png").write_bytes(b"no image")
    failures: list[str] = []
    read = list(inputs.read(inputs.find([tmp_path]), 255, failures))
    assert [(each.frame, each.pixels.shape) for each in read] == [(n, (48, 64, 3)) for n in range(5)]
    assert abs(float(read[4].pixels.mean()) - 80) < 4
    assert ["b.mp4" in failures[0], "c.png" in failures[1], len(failures)] == [True, True, 2]


# What is written

BOX = {"class": "dog", "confidence": 0.75, "x1": 2.0, "y1": 3.0, "x2": 12.0, "y2": 9.0}


def written(folder: Path, kind: str, pictures: bool = False) -> Path:
    with outputs.Writer(folder, kind, pictures, ["cat", "dog"]) as writer:
        writer.add(inputs.Read("a.png", None, grey(0)), [BOX, BOX | {"class": "cat"}])
        writer.add(inputs.Read("b.mp4", 7, grey(0)), [])
    return writer.table


def test_an_image_without_an_answer_is_in_the_table(tmp_path: Path) -> None:
    for kind, read in (("parquet", pd.read_parquet), ("csv", pd.read_csv)):
        table = read(written(tmp_path / kind, kind))
        assert table["image"].tolist() == ["a.png", "a.png", "b.mp4"]
        assert table["class"].tolist()[:2] == ["dog", "cat"] and pd.isna(table["class"].iloc[2])
        assert pd.isna(table["frame"].iloc[0]) and table["frame"].iloc[2] == 7


def test_coco_json_is_what_other_programs_read(tmp_path: Path) -> None:
    content = json.loads(written(tmp_path / "coco", "coco").read_text())
    first = content["annotations"][0]
    assert first["bbox"] == [2, 3, 10, 6] and first["area"] == 60 and first["score"] == 0.75
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert names[first["category_id"]] == "dog"
    assert [(each["id"], each["file_name"]) for each in content["images"]] == [(1, "a.png"), (2, "b.mp4")]


def test_pictures_show_the_boxes(tmp_path: Path) -> None:
    written(tmp_path / "out", "csv", pictures=True)
    with Image.open(tmp_path / "out" / "pictures" / "a.png.jpg") as shown:
        assert shown.size == (30, 20) and np.asarray(shown).max() > 100
    assert (tmp_path / "out" / "pictures" / "b.mp4" / "000007.jpg").is_file()


def test_results_replace_results_and_nothing_else(tmp_path: Path) -> None:
    outputs.check_free(tmp_path / "absent")
    written(tmp_path / "out", "csv")
    outputs.check_free(tmp_path / "out")
    written(tmp_path / "out", "coco")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(UserError, match="mine.txt"):
        outputs.check_free(tmp_path / "out")
    outputs.check_free(tmp_path / "absent" / "deep")  # both are made
    with pytest.raises(UserError, match=r"mine.txt is a file: .* --out"):
        outputs.check_free(tmp_path / "out" / "mine.txt" / "deep")
    with pytest.raises(RuntimeError), outputs.Writer(tmp_path / "broken", "csv", True, []):
        raise RuntimeError
    assert {path.name for path in tmp_path.iterdir()} == {"out"}, "nothing half done"


# The whole


@pytest.mark.slow
def test_answers_are_those_of_the_evaluation(trained: Get, task: str, tmp_path: Path) -> None:
    space = trained(task).copy(tmp_path / "space")
    space.run("infer", *SMALL[task])
    evaluated = pd.read_parquet(space.root / "results" / "infer" / "predictions.parquet").head(11)
    for path in evaluated["path"]:
        target = space.root / "new" / Path(path).relative_to("data/prepared")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(space.root / path, target)
    (space.root / "new" / "broken.png").write_bytes(b"no image")
    result = space.run("predict", "new", "--confidence", "0.01", check=False)
    assert result.returncode == 1 and "1 of the files can't be read" in result.stderr and "broken.png" in result.stderr
    assert "11 images" in result.stdout and "of the CPUs" in result.stdout
    table = pd.read_parquet(space.root / "predictions" / "predictions.parquet")
    assert table["image"].nunique() == 11
    for _, row in evaluated.iterrows():
        name = "new/" + Path(row["path"]).relative_to("data/prepared").as_posix()
        same_as_evaluated(task, row, table[table["image"] == name])
    assert len(list((space.root / "predictions" / "pictures").rglob("*.jpg"))) == 11


def same_as_evaluated(task: str, row: Any, answers: pd.DataFrame) -> None:
    if task == "classification":
        assert answers["class"].item() == row["predicted"]
        assert np.allclose(answers["probabilities"].item(), row["probabilities"], atol=1e-5)
        return
    sure = row["confidence"] >= 0.01
    assert np.allclose(answers["confidence"].dropna(), row["confidence"][sure], atol=1e-4)


@pytest.mark.slow
def test_models_are_found_or_refused_with_what_to_do(trained: Get, tmp_path: Path) -> None:
    space = trained("classification").copy(tmp_path / "space")
    image(space.root / "a.png", grey(90))
    space.run("quant", *SMALL["classification"], "quant=openvino_fp32")
    by_torch, by_openvino = (
        (space.run("predict", "a.png", "--table", "csv", "--out", name, *arguments), space.root / name)[1]
        for name, arguments in {"t": (), "o": ("--backend", "openvino")}.items()
    )
    first, second = (pd.read_csv(folder / "predictions.csv") for folder in (by_torch, by_openvino))
    assert first["class"].tolist() == second["class"].tolist()
    assert np.allclose(first["confidence"], second["confidence"], atol=1e-4)
    for arguments, words in {
        ("--model", "champion"): "no champion yet: lab promote",
        ("--model", "models/quant", "--backend", "onnx"): "quant=onnx_fp32",
        ("--backend", "openvino", "--device", "NPU"): "--device=NPU: OpenVINO finds CPU",
        ("--confidence", "3"): "between 0 and 1",
        ("--white", "-3"): "the brightest value of an image",
        ("--out", "src"): "no result of predict.py",
    }.items():
        assert words in space.message("predict", "a.png", *arguments)


@pytest.mark.parametrize("device", ["cuda", "GPU", "0"])
def test_onnx_does_not_pass_over_a_device_that_it_cannot_use(device: str, tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text("lab: {backend: onnx, precision: fp32}\n")
    with pytest.raises(load("shared.errors").UserError, match=f"--device={device}: ONNX runs on the CPU"):
        load("prediction.models").open_model(str(tmp_path), "onnx", device, 1)


def blocks() -> list[str]:
    """The programs of docs/use.md: of a class, and of objects."""
    return re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "use.md").read_text(), re.DOTALL)


@pytest.mark.slow
def test_the_programs_in_the_docs_need_no_code_of_ours(trained: Get, task: str, tmp_path: Path) -> None:
    space = trained(task).copy(tmp_path / "space")
    space.run("quant", *SMALL[task], "quant=openvino_fp32")
    picture = next(iter(load("shared.prepared").Prepared(space.root / "data" / "prepared").items("test", "A"))).path
    wide = np.pad(np.asarray(Image.open(picture).convert("RGB")), ((0, 0), (8, 24), (0, 0)), mode="edge")
    image(space.root / "photograph.png", wide)
    (space.root / "example.py").write_text(blocks()[task == "detection"].replace("0.25", "0.001"))
    done = subprocess.run([sys.executable, "example.py"], cwd=space.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    space.run("predict", "photograph.png", "--backend", "openvino", "--confidence", "0.001")
    answers = pd.read_parquet(space.root / "predictions" / "predictions.parquet")
    if task == "classification":
        assert done.stdout.split() == [answers["class"].item()]
        return
    best = max((line.split(maxsplit=2) for line in done.stdout.splitlines()), key=lambda words: float(words[1]))
    expected = answers.loc[answers["confidence"].idxmax()]
    left, top, width, height = (float(value) for value in best[2].strip("[]").split())
    assert best[0] == expected["class"] and float(best[1]) == pytest.approx(expected["confidence"], abs=0.02)
    corners = np.clip([left, top, left + width, top + height], 0, np.array(wide.shape[1::-1] * 2))
    assert corners == pytest.approx(expected[["x1", "y1", "x2", "y2"]].to_numpy(float), abs=2)


def test_what_was_not_converted_is_told_by_its_folder(tmp_path: Path) -> None:
    with pytest.raises(load("shared.errors").UserError, match="quant has no converted model: .* dvc repro quant"):
        load("inference.openvino_predictor").read_metadata(tmp_path / "models" / "quant")
