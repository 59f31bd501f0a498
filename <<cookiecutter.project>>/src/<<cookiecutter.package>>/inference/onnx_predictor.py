"""Running a network in ONNX's format by ONNX Runtime, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..shared.errors import UserError
from ..shared.model_file import ModelFile
from .openvino_predictor import DESCRIBED, read_metadata
from .predictor import network_of


class OnnxPredictor:
    """A network in ONNX's format; a Predictor."""

    backend = "onnx"
    device = "cpu"

    def __init__(self, file: Path, model: ModelFile, precision: str, threads: int = 1) -> None:
        """Raises UserError where the file is absent or damaged, or ONNX Runtime is not installed."""
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise UserError("onnxruntime is not installed: make setup") from error
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others run on this machine, too
        try:
            self.session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own classes, of which only the message is public
            raise UserError(f"{file} is not a readable ONNX model: {error}") from error
        self.model, self.precision, self.threads = model, precision, threads
        self._joined = network_of(model).joined

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> OnnxPredictor:
        """The predictor for what the quant stage wrote. Raises UserError."""
        metadata = read_metadata(folder)
        model = ModelFile(architecture="onnx", state_dict={}, **{k: metadata[k] for k in DESCRIBED if k in metadata})
        return cls(folder / "model.onnx", model, metadata["precision"], threads)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        outputs = self.session.run(None, {self.session.get_inputs()[0].name: np.ascontiguousarray(batch)})
        return self._joined([np.asarray(output) for output in outputs])
