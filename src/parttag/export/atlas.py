"""The convention of ATLAS: names and shapes as Athena reads them from models of salt.

One jet a call: ``track_features`` (tracks, variables) and ``jet_features`` (1, variables), both not
standardized, and one number a class. ``gnn_config`` in the model's metadata says which variables.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from parttag.errors import InputError, option
from parttag.export import raw
from parttag.export.graph import Graph, Value
from parttag.export.inputs import ALL, JET, Input
from parttag.export.variables import Variable
from parttag.jets.batch import JetBatch

_MASK = "mask"


@dataclass(frozen=True)
class AtlasInputs:
    """One input for each kind of particles and one of the jet, made of those of CMS."""

    inputs: Sequence[Input]
    is_raw: bool

    @property
    def _kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(item.kind for item in self.inputs))

    def _of(self, kind: str) -> list[Input]:
        return [item for item in self.inputs if item.kind == kind and item.part != _MASK]

    def variables(self) -> dict[str, tuple[Variable, ...]]:
        """Return the variables of each kind, and of the jet, each variable once."""
        return {
            kind: tuple({v.name: v for item in self._of(kind) for v in item.variables}.values())
            for kind in self._kinds
        }

    def read(self, graph: Graph) -> dict[str, Value]:
        """Add the inputs to a graph, and return from them what those of CMS would be.

        There is one empty slot more than there are tracks: a jet may have none.
        """
        given = {}
        for kind, variables in self.variables().items():
            slots, mask = self._slots(graph, kind, len(variables))
            parts = graph.split(slots, 1, [1] * len(variables))
            channels = {v.name: part for v, part in zip(variables, parts, strict=True)}
            for item in self._of(kind):
                values = [self._prepare(channels[v.name], v) for v in item.variables]
                given[item.name] = graph.concat(values, 1)
            given[f"{kind}_{_MASK}"] = mask
        return given

    def _slots(self, graph: Graph, kind: str, number: int) -> tuple[Value, Value]:
        """Return an input as (1, variables, slots), and which of its slots are real."""
        name = input_name(kind)
        if kind == JET:
            values = graph.input(name, 1, number).unsqueeze(2)
            return values, values
        rows = graph.input(name, f"n_{name.removesuffix('_features')}s", number)
        rows = rows.transpose(1, 0).unsqueeze(0)
        one_more = np.array([0, 0, 0, 0, 0, 1])
        length = graph.concat([graph.constant([1, 1], "int64"), rows.length(2)], 0)
        ones = graph.op("Expand", graph.constant([1.0], "float32"), length)
        return graph.op("Pad", rows, one_more), graph.op("Pad", ones, one_more)

    def _prepare(self, value: Value, variable: Variable) -> Value:
        return value if self.is_raw else raw.standardize(value, variable)

    def of_batch(self, batch: JetBatch) -> dict[str, Float32[np.ndarray, "_rows _variables"]]:
        """Return what a batch of one jet puts into the inputs."""
        found = {}
        for kind in self._kinds:
            columns: dict[str, np.ndarray] = {}
            for item in self._of(kind):
                values = item.values(item.own(batch)).float().numpy().T
                columns |= dict(zip((v.name for v in item.variables), values, strict=True))
            found[input_name(kind)] = np.stack(list(columns.values()), axis=1)
        return found


def input_name(kind: str) -> str:
    """Return the name of the input of a kind of particles, or of the jet."""
    return "track_features" if kind == ALL else f"{kind.removesuffix('s')}_features"


def model_name(asked: str, directory: str) -> str:
    """Return what the outputs begin with: letters and digits, as Athena wants it.

    Raises
    ------
    InputError
        If the name that was asked for has others.
    """
    if asked and not asked.isalnum():
        raise InputError(
            f"{option('model_name', asked)}: Athena puts an underscore after it, so it may have "
            "letters and digits only"
        )
    return asked or "".join(filter(str.isalnum, directory)) or "parttag"


def output_names(name: str, classes: Sequence[str]) -> list[str]:
    """Return the names of the outputs: ``GN2_ptop``."""
    return [f"{name}_p{one}" for one in classes]


def describe(inputs: AtlasInputs, name: str, classes: Sequence[str]) -> Mapping[str, str]:
    """Return the metadata that Athena reads."""

    def section(title: str, variables: Sequence[Variable]) -> dict[str, object]:
        named = [{"name": v.label, "offset": 0.0, "scale": 1.0} for v in variables]
        return {"name": title, "variables": named}

    found = inputs.variables()
    of_jet = found.pop(JET, ())
    config = {
        "onnx_model_version": "v1",
        "model_name": name,
        "output_names": output_names(name, classes),
        "inputs": [section("jet_var", of_jet)] if of_jet else [],
        # The names say which tracks there are, and in which order.
        "input_sequences": [
            section(f"{'tracks' if kind == ALL else kind}_all_ptsort", variables)
            for kind, variables in found.items()
        ],
    }
    return {"gnn_config": json.dumps(config)}
