"""Evaluate a model, or an ensemble, on the test split of a site, and measure its latency.

python src/infer.py                                     as DVC runs it
python src/infer.py infer.site=B infer.model=my-exp     with Hydra overrides
"""

from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    package = next(Path(__file__).parent.glob("*/shared/stage.py")).parents[1].name  # the one beside this file
    import_module(f"{package}.shared.stage").main("infer")
