"""Turn a data source into the project's layout: splits, checks, a manifest, a picture of samples.

python src/prepare.py                                               as DVC runs it, with params.yaml
python src/prepare.py data=yolo data.source.path=datasets/parking   with Hydra overrides, without DVC
"""

from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    package = next(Path(__file__).parent.glob("*/shared/stage.py")).parents[1].name  # the one beside this file
    import_module(f"{package}.shared.stage").main("prepare")
