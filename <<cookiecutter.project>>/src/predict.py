"""Use a trained model: images, folders and videos in, a table and pictures out. No stage; DVC knows nothing of it.

python src/predict.py photographs/ clip.mp4                     by the champion, or this pipeline's model
python src/predict.py photographs/ --model my-experiment --backend openvino --table coco
"""

from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    package = next(Path(__file__).parent.glob("*/shared/stage.py")).parents[1].name  # the one beside this file
    import_module(f"{package}.prediction.command").main()
