"""Which labels are wrong? The most suspicious first, by models that did not see them. No stage, as predict.py.

python src/relabel.py '*_folds_s*'                      experiments by name or pattern, each of another fold
python src/relabel.py my-experiment --out wrong.csv
"""

from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    package = next(Path(__file__).parent.glob("*/shared/stage.py")).parents[1].name  # the one beside this file
    import_module(f"{package}.relabelling.command").main()
