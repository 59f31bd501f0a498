"""Train a model on the prepared data.

python src/train.py                                                                       as DVC runs it
python src/train.py task=classification model=efficientnet_b1 data.image_size=384         with Hydra overrides
"""

from project import load

if __name__ == "__main__":
    load("vision.stage").main("train")
