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
from parttag.export.inputs import Input
from parttag.export.variables import Variable
from parttag.jets.batch import JetBatch

TRACKS, JETS = "track_features", "jet_features"
_SEQUENCES, _GLOBAL = "tracks_all_ptsort", "jet_var"
_MASK = "pf_mask"


@dataclass(frozen=True)
class AtlasInputs:
    """Both inputs, made of those of CMS."""

    inputs: Sequence[Input]
    is_raw: bool

    def variables(self, *, per_jet: bool) -> tuple[Variable, ...]:
        """Return the variables of the jet or of the tracks, each once."""
        found: dict[str, Variable] = {}
        for item in self.inputs:
            if item.per_jet == per_jet and item.name != _MASK:
                found |= {variable.name: variable for variable in item.variables}
        return tuple(found.values())

    def read(self, graph: Graph) -> dict[str, Value]:
        """Add both inputs to a graph, and return from them what those of CMS would be.

        There is one empty slot more than there are tracks: a jet may have none.
        """
        tracks = self.variables(per_jet=False)
        rows = graph.input(TRACKS, "n_tracks", len(tracks)).transpose(1, 0).unsqueeze(0)
        slots = graph.op("Pad", rows, np.array([0, 0, 0, 0, 0, 1]))
        length = graph.concat([graph.constant([1, 1], "int64"), rows.length(2)], 0)
        ones = graph.op("Expand", graph.constant([1.0], "float32"), length)
        mask = graph.op("Pad", ones, np.array([0, 0, 0, 0, 0, 1]))
        channels = {False: self._split(slots, tracks)}
        of_jet = self.variables(per_jet=True)
        if of_jet:
            values = graph.input(JETS, 1, len(of_jet)).unsqueeze(2)
            channels[True] = self._split(values, of_jet)
        given = {}
        for item in self.inputs:
            if item.name == _MASK:
                given[item.name] = mask
                continue
            parts = [self._prepare(channels[item.per_jet][v.name], v) for v in item.variables]
            given[item.name] = graph.concat(parts, 1)
        return given

    def _split(self, values: Value, variables: Sequence[Variable]) -> dict[str, Value]:
        parts = values.graph.split(values, 1, [1] * len(variables))
        return {variable.name: part for variable, part in zip(variables, parts, strict=True)}

    def _prepare(self, value: Value, variable: Variable) -> Value:
        return value if self.is_raw else raw.standardize(value, variable)

    def of_batch(self, batch: JetBatch) -> dict[str, Float32[np.ndarray, "rows variables"]]:
        """Return what a batch of one jet puts into both inputs."""
        found = {}
        for name, per_jet in ((TRACKS, False), (JETS, True)):
            columns: dict[str, np.ndarray] = {}
            for item in self.inputs:
                if item.per_jet == per_jet and item.name != _MASK:
                    values = item.values(batch).float().numpy().T
                    columns |= dict(zip((v.name for v in item.variables), values, strict=True))
            if columns:
                found[name] = np.ascontiguousarray(np.stack(list(columns.values()), axis=1))
        return found


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

    def section(title: str, variables: Sequence[Variable]) -> list[dict[str, object]]:
        named = [{"name": v.label, "offset": 0.0, "scale": 1.0} for v in variables]
        return [{"name": title, "variables": named}] if named else []

    config = {
        "onnx_model_version": "v1",
        "model_name": name,
        "output_names": output_names(name, classes),
        "inputs": section(_GLOBAL, inputs.variables(per_jet=True)),
        "input_sequences": section(_SEQUENCES, inputs.variables(per_jet=False)),
    }
    return {"gnn_config": json.dumps(config)}
