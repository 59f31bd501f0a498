"""Convert the trained model to OpenVINO, quantize it, and compare size, accuracy and speed with PyTorch.

python src/quant.py                           as DVC runs it
python src/quant.py quant=openvino_fp16       with Hydra overrides
"""

from project import load

if __name__ == "__main__":
    load("vision.stage").main("quant")
