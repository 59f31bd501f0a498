"""Train a model on the prepared data.

python src/train.py                                                                       as DVC runs it
python src/train.py task=classification model=efficientnet_b1 data.image_size=384         with Hydra overrides
"""

from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    package = next(Path(__file__).parent.glob("*/shared/stage.py")).parents[1].name  # the one beside this file
    import_module(f"{package}.shared.stage").main("train")
