"""A network in an ONNX file as an expert."""

from pathlib import Path
from typing import Any

import numpy as np

from tidecast.arrays import Float


class OnnxExpert:
    """Lets a network that was trained elsewhere forecast a series.

    The network takes one input of float32, `(n, rows, features)`, and its first output is the next value, `(n,)` or
    `(n, 1)`. With `scaled`, each feature of a window is divided by its spread after its newest value is subtracted, and
    the output is the change of the target in that spread. It learns nothing from a series. It needs `onnxruntime`.

    Args:
        path: the file.
        rows: how many rows the network reads.
        scaled: whether it was trained on scaled windows.
    """

    def __init__(self, path: str | Path, rows: int, *, scaled: bool = False) -> None:
        self.rows = rows
        self._scaled = scaled
        self._content = Path(path).read_bytes()
        self._session: Any = None

    def fit(self, windows: Float, targets: Float) -> None:
        """Do nothing: the network is trained already."""

    def predict(self, windows: Float) -> Float:
        """Return the next value after each window, `(n,)`."""
        if self._session is None:
            self._session = _session(self._content)
        newest = windows[:, -1:]
        spread = np.maximum(windows.std(axis=1, keepdims=True), 1e-12) if self._scaled else np.ones_like(newest)
        inputs = (windows - newest) / spread if self._scaled else windows
        name = self._session.get_inputs()[0].name
        output = self._session.run(None, {name: inputs.astype(np.float32)})[0]
        answers = np.asarray(output, np.float64).reshape(len(windows))
        return newest[:, 0, 0] + answers * spread[:, 0, 0] if self._scaled else answers

    def state(self) -> bytes:
        """Return the content of the file."""
        return self._content

    def restore(self, state: bytes) -> None:
        """Continue with the content of a file."""
        self._content = state
        self._session = None


def _session(content: bytes) -> Any:
    """Return a session of one thread, since the worker uses the other cores itself."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
