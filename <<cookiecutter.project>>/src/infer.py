"""Evaluate a model, or an ensemble, on the test split of a site, and measure its latency.

python src/infer.py                                     as DVC runs it
python src/infer.py infer.site=B infer.model=my-exp     with Hydra overrides
"""

from project import load

if __name__ == "__main__":
    load("vision.stage").main("infer")
