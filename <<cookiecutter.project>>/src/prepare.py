"""Turn a data source into the project's layout: splits, checks, a manifest, a picture of samples.

python src/prepare.py                                               as DVC runs it, with params.yaml
python src/prepare.py data=yolo data.source.path=datasets/parking   with Hydra overrides, without DVC
"""

from project import load

if __name__ == "__main__":
    load("vision.stage").main("prepare")
