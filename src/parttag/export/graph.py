"""A small way to write ONNX graphs: values with operators, and the layers that networks share.

A graph is built and not traced, so that numbers of jets and slots stay free, and every node is one
that readers have: operator set 17, and ONNX Runtime's own domain where it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from parttag.models.layers.basic import LinearGELU
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.models.layers.task_heads import TaskHead

if TYPE_CHECKING:
    import onnx

OPSET = 17
"""Of the nodes; the first in which a layer norm is one node. CMSSW and Athena read it."""
IR_VERSION = 8
"""Of the file, which goes with that operator set."""
MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""

_ONNX_TYPES = {"float32": 1, "int32": 6, "int64": 7, "bool": 9, "float16": 10, "float64": 11}


class Value:
    """What a node of a graph gives, with operators that add further nodes.

    Parameters
    ----------
    graph
        Where the nodes go.
    name
        Of the value in the graph.
    dtype
        Of its numbers; constants beside it take the same.
    """

    def __init__(self, graph: Graph, name: str, dtype: str) -> None:
        self.graph, self.name, self.dtype = graph, name, dtype

    def __add__(self, other: Any) -> Value:
        return self.graph.op("Add", self, other)

    def __sub__(self, other: Any) -> Value:
        return self.graph.op("Sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.graph.op("Sub", other, self)

    def __neg__(self) -> Value:
        return self.graph.op("Neg", self)

    def __mul__(self, other: Any) -> Value:
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other: Any) -> Value:
        return self.graph.op("Div", self, other)

    def __matmul__(self, other: Any) -> Value:
        return self.graph.op("MatMul", self, other)

    def __lt__(self, other: Any) -> Value:
        return self.graph.op("Less", self, other, dtype="bool")

    def apply(self, kind: str, **attributes: Any) -> Value:
        """Return what an operator of one input gives: ``value.apply("Exp")``."""
        return self.graph.op(kind, self, **attributes)

    def cast(self, dtype: str) -> Value:
        """Return the numbers in another type; the value itself if it is of that type."""
        if dtype == self.dtype:
            return self
        return self.graph.op("Cast", self, dtype=dtype, to=_ONNX_TYPES[dtype])

    def reshape(self, *dims: int) -> Value:
        """Return another shape; 0 keeps a length, −1 is what is left."""
        return self.graph.op("Reshape", self, np.array(dims))

    def transpose(self, *order: int) -> Value:
        """Return the dimensions in another order."""
        return self.graph.op("Transpose", self, perm=list(order))

    def unsqueeze(self, *axes: int) -> Value:
        """Return it with further dimensions of length 1."""
        return self.graph.op("Unsqueeze", self, np.array(axes))

    def squeeze(self, *axes: int) -> Value:
        """Return it without dimensions of length 1."""
        return self.graph.op("Squeeze", self, np.array(axes))

    def sum(self, axis: int, *, keep: bool = False) -> Value:
        """Return the sum along an axis."""
        return self.graph.op("ReduceSum", self, np.array([axis]), keepdims=int(keep))

    def slice(self, axis: int, start: int, stop: int | None = None) -> Value:
        """Return a part along an axis."""
        bounds = (np.array([n]) for n in (start, np.iinfo(np.int64).max if stop is None else stop))
        return self.graph.op("Slice", self, *bounds, np.array([axis]))

    def clip(self, low: float | None, high: float | None = None) -> Value:
        """Return the numbers within limits."""
        limited = self if low is None else self.graph.op("Max", self, low)
        return limited if high is None else self.graph.op("Min", limited, high)

    def length(self, axis: int) -> Value:
        """Return the length of a dimension, as a vector of one integer."""
        shape = self.graph.op("Shape", self, dtype="int64")
        return self.graph.op("Gather", shape, np.array([axis]))


class Graph:
    """A graph under construction.

    Parameters
    ----------
    dtype
        Of weights and of what networks compute with them: ``float32`` or ``float16``.
    fused
        Whether nodes of ONNX Runtime's own may be used.
    """

    def __init__(self, dtype: str = "float32", *, fused: bool = True) -> None:
        self.dtype, self.fused = dtype, fused
        self.inputs: dict[str, tuple[int | str, ...]] = {}
        self.outputs: dict[str, tuple[int | str, ...]] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._tensors: list[onnx.TensorProto] = []

    def input(self, name: str, *shape: int | str) -> Value:
        """Return an input in float32; a text in its shape is a length that is free."""
        self.inputs[name] = shape
        return Value(self, name, "float32")

    def output(self, name: str, value: Value, *shape: int | str) -> None:
        """Make a value an output, in float32."""
        self.outputs[name] = shape
        self._add("Identity", [value.cast("float32").name], [name])

    def op(
        self, kind: str, *operands: Any, dtype: str = "", domain: str = "", **attributes: Any
    ) -> Value:
        """Return what a node of one output gives.

        Numbers and arrays among the operands become constants, floating-point ones of the type of
        the first value. So is the output, unless its type is given. ``None`` leaves an input out.
        """
        values = [operand for operand in operands if isinstance(operand, Value)]
        like = values[0].dtype if values else "float32"
        names = [self._name_of(operand, like) for operand in operands]
        return Value(self, self._add(kind, names, domain=domain, **attributes), dtype or like)

    def split(self, value: Value, axis: int, sizes: Sequence[int]) -> list[Value]:
        """Return the parts of a value along an axis."""
        names = [f"v{len(self._nodes)}_{number}" for number in range(len(sizes))]
        self._add("Split", [value.name, self._name_of(np.array(sizes), "")], names, axis=axis)
        return [Value(self, name, value.dtype) for name in names]

    def smallest(self, value: Value, number: int) -> Value:
        """Return where the smallest numbers along the last axis are, in rising order."""
        names = [f"v{len(self._nodes)}_{output}" for output in range(2)]
        count = self._name_of(np.array([number]), "")
        self._add("TopK", [value.name, count], names, axis=-1, largest=0, sorted=1)
        return Value(self, names[1], "int64")

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Return values one after the other along an axis."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=axis)

    def stack(self, values: Sequence[Value], axis: int) -> Value:
        """Return values beside each other along a new axis."""
        return self.concat([value.unsqueeze(axis) for value in values], axis)

    def constant(self, values: Any, dtype: str) -> Value:
        """Return a constant."""
        return Value(self, self._constant(np.asarray(values, dtype=dtype)), dtype)

    def _name_of(self, operand: Any, like: str) -> str:
        if operand is None:
            return ""
        if isinstance(operand, Value):
            return operand.name
        array = operand.detach().numpy() if isinstance(operand, Tensor) else np.asarray(operand)
        if array.dtype.kind == "f":
            array = array.astype(like if like.startswith("float") else "float32")
        elif array.dtype.kind == "i":
            array = array.astype("int32" if like == "int32" else "int64")
        return self._constant(array)

    def _constant(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        array = np.ascontiguousarray(array).reshape(array.shape)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"c{len(self._constants)}"
            self._tensors.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def _add(
        self,
        kind: str,
        inputs: Sequence[str],
        outputs: Sequence[str] = (),
        domain: str = "",
        **attributes: Any,
    ) -> str:
        from onnx import helper

        outputs = outputs or [f"v{len(self._nodes)}"]
        name = f"{kind}_{len(self._nodes)}"
        node = helper.make_node(kind, inputs, outputs, name, domain=domain, **attributes)
        self._nodes.append(node)
        return outputs[0]

    def model(self, name: str, properties: Mapping[str, str], version: str) -> onnx.ModelProto:
        """Return the model, checked, with properties that readers find as its metadata."""
        import onnx
        from onnx import helper

        inputs, outputs = (
            [helper.make_tensor_value_info(n, 1, shape) for n, shape in ends.items()]
            for ends in (self.inputs, self.outputs)
        )
        graph = helper.make_graph(self._nodes, name, inputs, outputs, self._tensors)
        domains = [helper.make_opsetid("", OPSET)]
        if any(node.domain == MICROSOFT for node in self._nodes):
            domains.append(helper.make_opsetid(MICROSOFT, 1))
        model = helper.make_model(
            graph,
            producer_name="parttag",
            producer_version=version,
            ir_version=IR_VERSION,
            opset_imports=domains,
        )
        helper.set_model_props(model, dict(properties))
        onnx.checker.check_model(model)
        return model


def weighted(x: Value, weight: Tensor, bias: Tensor | None = None) -> Value:
    """Return x Wᵀ + b."""
    product = x @ weight.detach().t().contiguous()
    return product if bias is None else product + bias


def linear(x: Value, layer: nn.Linear) -> Value:
    """Return what a linear layer makes of the last dimension."""
    return weighted(x, layer.weight, layer.bias)


def layer_norm(x: Value, norm: nn.LayerNorm) -> Value:
    """Return what a layer norm makes of the last dimension."""
    return x.graph.op(
        "LayerNormalization", x, norm.weight, norm.bias, axis=-1, epsilon=float(norm.eps)
    )


def gelu(x: Value) -> Value:
    """Return the GELU, as ONNX Runtime finds it in graphs and makes one node of it."""
    return x * ((x / float(np.sqrt(2.0))).apply("Erf") + 1.0) * 0.5


def folded(norm: PackedBatchNorm) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a batch norm in evaluation."""
    with torch.no_grad():
        return norm.affine(norm.running_mean, norm.running_var)


def batch_norm(x: Value, norm: PackedBatchNorm) -> Value:
    """Return what a batch norm makes of the last dimension, in evaluation."""
    scale, shift = folded(norm)
    return x * scale + shift


def layers(x: Value, modules: nn.Module) -> Value:
    """Return what linear layers, norms, activations and sequences of them make of rows.

    Raises
    ------
    NotImplementedError
        If there is a layer of another kind.
    """
    if isinstance(modules, nn.Sequential):
        for module in modules:
            x = layers(x, module)
        return x
    if isinstance(modules, TaskHead) and modules.classify is not None:
        return layers(x, modules.classify)  # of several tasks, a model has the classes
    if isinstance(modules, nn.Dropout | nn.Identity):
        return x
    if isinstance(modules, nn.Linear):
        product = linear(x, modules)
        return gelu(product) if isinstance(modules, LinearGELU) else product
    if isinstance(modules, nn.LayerNorm):
        return layer_norm(x, modules)
    if isinstance(modules, PackedBatchNorm):
        return batch_norm(x, modules)
    if isinstance(modules, nn.ReLU):
        return x.apply("Relu")
    raise NotImplementedError(f"no node for a layer {type(modules).__name__}")


def mean_over_slots(x: Value, mask: Value) -> Value:
    """Return the mean over the real slots of (jets, slots, width), mask (jets, slots, 1)."""
    return (x * mask).sum(1) / mask.sum(1).clip(1.0)
