"""The packages that write and run ONNX models, which are an extra of parttag's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from parttag.errors import InputError

if TYPE_CHECKING:
    import onnx

_OLDEST = 1, 17
"""Of ONNX Runtime: the first whose attention takes a bias and a mask together on a CPU."""


def require_packages() -> None:
    """Refuse to go on where they are missing or too old.

    Raises
    ------
    InputError
        If they are.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed, which an export needs: pip install 'parttag[export]'"
        ) from error
    version = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    if version < _OLDEST:
        raise InputError(
            f"onnxruntime {onnxruntime.__version__} is too old to check what is exported; it must "
            f"be {_OLDEST[0]}.{_OLDEST[1]} or newer: pip install --upgrade onnxruntime"
        )


class Session:
    """A model in ONNX Runtime, on the CPU."""

    def __init__(self, model: bytes, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return all outputs."""
        outputs: list[np.ndarray] = self._session.run(None, dict(feeds))
        return outputs


def quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose linear layers have 8-bit weights and compute in 8-bit integers."""
    import onnx
    from onnxruntime import quantization

    # The types of what ONNX Runtime's own nodes give are not inferred.
    options: dict[str, Any] = {
        "MatMulConstBOnly": True,
        "DefaultTensorType": onnx.TensorProto.FLOAT,
    }
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    # Without this it warns that graphs should be simplified first, which these need not be.
    onnx.helper.set_model_props(prepared, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        quantization.quantize_dynamic(
            prepared,
            path,
            op_types_to_quantize=["MatMul"],
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            extra_options=options,
        )
        found = onnx.load(path)
    del found.metadata_props[:]
    found.metadata_props.extend(model.metadata_props)
    return found
