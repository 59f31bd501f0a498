"""Convert the trained model to OpenVINO, quantize it, and compare size, accuracy and speed with PyTorch.

python src/quant.py                           as DVC runs it
python src/quant.py quant=openvino_fp16       with Hydra overrides
"""

from importlib import import_module
from pathlib import Path

if __name__ == "__main__":
    package = next(Path(__file__).parent.glob("*/shared/stage.py")).parents[1].name  # the one beside this file
    import_module(f"{package}.shared.stage").main("quant")
