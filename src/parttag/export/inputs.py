"""The inputs of a model: which there are, what a batch puts into them, and how a graph reads them.

``prepared`` inputs are standardized features; ``raw`` ones are four-momenta and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from parttag.export import raw
from parttag.export.graph import Value
from parttag.export.networks import NetworkExport, Particles
from parttag.export.variables import NOT_FINITE, Labels, Variable, of_feature, plain
from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.jets.column_features import ColumnName
from parttag.jets.features import FEATURES, FeatureContext
from parttag.jets.jet_features import transformed_of_jets
from parttag.models import Tagger

_MOMENTUM = ("px", "py", "pz", "energy")
_JET: dict[str, Callable[[JetBatch], Tensor]] = {
    "jet_pt": lambda batch: kinematics.pt(batch.jet_p4),
    "jet_eta": lambda batch: batch.jet_axis[:, 0],
    "jet_phi": lambda batch: batch.jet_axis[:, 1],
    "jet_energy": lambda batch: batch.jet_p4[:, 3],
    "jet_mass": lambda batch: kinematics.mass(batch.jet_p4),
}
_ANGLES = ("delta_eta", "delta_phi")


@dataclass(frozen=True)
class Input:
    """An input of a model.

    Parameters
    ----------
    name
        As CMS calls it: ``pf_features``.
    variables
        Its channels.
    values
        Those of a batch before they are standardized: one row a particle, or a jet.
    per_jet
        Whether its values are the jet's.
    """

    name: str
    variables: tuple[Variable, ...]
    values: Callable[[JetBatch], Tensor]
    per_jet: bool = False

    def padded(self, batch: JetBatch, slots: int) -> Float32[np.ndarray, "jets variables slots"]:
        """Return what a batch puts into it: standardized, and zeros in empty slots."""
        columns = self.values(batch).float().unbind(dim=1)
        values = torch.stack(
            [v.standardize(c) for v, c in zip(self.variables, columns, strict=True)], dim=1
        )
        if self.per_jet:
            return np.ascontiguousarray(values[:, :, None].numpy())
        return np.ascontiguousarray(batch.pad_values(values, slots).mT.numpy())


@dataclass(frozen=True)
class ModelInputs:
    """The inputs of a model of some network, and what its graph makes of them."""

    network: Tagger
    export: NetworkExport
    is_raw: bool
    labels: Labels

    def describe(self) -> tuple[Input, ...]:
        """Return the inputs in order.

        Raises
        ------
        InputError
            If a raw model cannot compute a feature.
        """
        return self._raw() if self.is_raw else self._prepared()

    def _prepared(self) -> tuple[Input, ...]:
        network = self.network
        found = []
        if "points" in self.export.reads:
            found.append(self._features("pf_points", _ANGLES))
        if "features" in self.export.reads:
            found.append(self._features("pf_features", network.feature_names))
        if "vectors" in self.export.reads:
            found.append(self._columns("pf_vectors", _MOMENTUM, lambda batch: batch.p4))
        found.append(
            self._columns("pf_mask", ("mask",), lambda batch: torch.ones_like(batch.p4[:, :1]))
        )
        if network.jet_feature_names:
            found.append(self._features("jet_features", network.jet_feature_names))
        return tuple(found)

    def _raw(self) -> tuple[Input, ...]:
        found = [self._columns("pf_vectors", _MOMENTUM, lambda batch: batch.p4)]
        particles, jets = self._raw_columns
        if particles:
            found.append(
                self._columns(
                    "pf_columns",
                    particles,
                    lambda batch: _stacked([batch.particle_column(name) for name in particles]),
                )
            )
        of_jet = self._jet_quantities
        found.append(
            self._columns(
                "jet_kinematics",
                of_jet,
                lambda batch: _stacked([_JET[name](batch) for name in of_jet]),
            )
        )
        if jets:
            found.append(
                self._columns(
                    "jet_columns",
                    jets,
                    lambda batch: _stacked([batch.jet_column(name) for name in jets]),
                )
            )
        return tuple(found)

    def _features(self, name: str, features: Sequence[str]) -> Input:
        variables = tuple(of_feature(feature, self.labels) for feature in features)
        per_jet = name.startswith("jet_")
        if per_jet:
            of_jets = self.network.jet_feature_names
            return Input(name, variables, lambda batch: _of_jets(batch, of_jets), per_jet)
        return Input(name, variables, lambda batch: _of_particles(batch, features))

    def _columns(
        self, name: str, columns: Sequence[str], values: Callable[[JetBatch], Tensor]
    ) -> Input:
        replace = NOT_FINITE if name.endswith("_columns") else 0.0
        variables = plain(columns, self.labels, replace=replace)
        return Input(name, variables, values, name.startswith("jet_"))

    @property
    def _raw_columns(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        names = self.network.feature_names if "features" in self.export.reads else ()
        return raw.columns_of((*names, *self.network.jet_feature_names))

    @property
    def _jet_quantities(self) -> tuple[str, ...]:
        """The jet's momentum: pT, η and φ of the axis, energy, and the mass where it is read.

        Not px, py and pz, from which float32 does not give back an axis to the last bit, and not
        where a file has an axis of its own, as JetClass's have.
        """
        names = (*self.network.feature_names, *self.network.jet_feature_names)
        columns = {n.feature.column for n in names if isinstance(n, ColumnName) and n.of_jet}
        return tuple(name for name in _JET if name != "jet_mass" or "log_mass" in columns)

    def read(self, given: Mapping[str, Value]) -> tuple[Particles, Value | None]:
        """Return particles and jet features as the network reads them.

        Parameters
        ----------
        given
            The inputs in a graph by their names, (jets, variables, slots).
        """
        if self.is_raw:
            return self._read_raw(given)
        parts = ("mask", *self.export.reads)
        taken = {part: given[f"pf_{part}"] for part in parts}
        return self._cut(taken), given.get("jet_features")

    def _read_raw(self, given: Mapping[str, Value]) -> tuple[Particles, Value | None]:
        network, vectors = self.network, given["pf_vectors"]
        columns, jet_columns = (
            {} if name not in given else _split(given[name], names)
            for name, names in zip(("pf_columns", "jet_columns"), self._raw_columns, strict=True)
        )
        of_jet = _split(given["jet_kinematics"], self._jet_quantities)
        jets = raw.RawJets(vectors, of_jet, columns, jet_columns)
        is_real = vectors.graph.op("Greater", jets.energy, 0.0, dtype="bool")
        parts = {"mask": is_real.cast("float32"), "vectors": vectors}
        if "features" in self.export.reads:
            parts["features"] = jets.of_particles(network.feature_names)
        if "points" in self.export.reads:
            parts["points"] = jets.of_particles(_ANGLES)
        of_jets = network.jet_feature_names
        return self._cut(parts), jets.of_jets(of_jets) if of_jets else None

    def _cut(self, parts: Mapping[str, Value]) -> Particles:
        """Return the particles that the network takes, those of highest pT."""
        most = self.network.max_particles
        if most is None:
            return Particles(**parts)
        return Particles(**{name: value.slice(2, 0, most) for name, value in parts.items()})


def _split(values: Value, names: Sequence[str]) -> dict[str, Value]:
    return dict(zip(names, values.graph.split(values, 1, [1] * len(names)), strict=True))


def _stacked(columns: Sequence[Tensor]) -> Tensor:
    return torch.stack([column.float() for column in columns], dim=1)


def _of_particles(batch: JetBatch, features: Sequence[str]) -> Tensor:
    """Return features as they are before they are standardized."""
    particles = FeatureContext(batch)
    return torch.stack(
        [
            particles.transformed(name)
            if isinstance(name, ColumnName)
            else FEATURES[name].compute(particles)
            for name in features
        ],
        dim=1,
    )


def _of_jets(batch: JetBatch, features: Sequence[ColumnName]) -> Tensor:
    return torch.stack([transformed_of_jets(batch, name) for name in features], dim=1)
