"""The inputs of a model: which there are, what a batch puts into them, and how a graph reads them.

``prepared`` inputs are standardized features; ``raw`` ones are four-momenta and columns. Those of
particles begin with their kind, or with ``pf`` where there is one kind.
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
from parttag.export.networks import KindOfParticles, NetworkExport, Particles
from parttag.export.variables import NOT_FINITE, Labels, Variable, of_feature, plain
from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.jets.column_features import ColumnName
from parttag.jets.features import FEATURES, FeatureContext
from parttag.jets.jet_features import transformed_of_jets
from parttag.jets.kind_features import split_by_kind
from parttag.jets.kinds import KindLimits, MaxParticles, names_by_kind
from parttag.models import Tagger

JET, ALL = "jet", "pf"
"""What names of inputs begin with: those of the jet, and of particles that are all of a kind."""

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
    kind
        Of its particles, as the first part of its name; or ``jet``.
    part
        The rest of its name.
    variables
        Its channels.
    values
        Those of a batch of this kind before they are standardized: one row a particle, or a jet.
    """

    kind: str
    part: str
    variables: tuple[Variable, ...]
    values: Callable[[JetBatch], Tensor]

    @property
    def name(self) -> str:
        """As CMS calls it: ``pf_features``."""
        return f"{self.kind}_{self.part}"

    @property
    def per_jet(self) -> bool:
        """Whether its values are the jet's."""
        return self.kind == JET

    def own(self, batch: JetBatch) -> JetBatch:
        """Return the batch with the particles of this kind alone."""
        if self.kind in (JET, ALL):
            return batch
        return split_by_kind(batch, (self.kind,), others=True)[1][self.kind]

    def padded(
        self, batch: JetBatch, slots: int | None = None
    ) -> Float32[np.ndarray, "jets variables slots"]:
        """Return what a batch puts into it: standardized, and zeros in empty slots.

        Of several kinds, each has its own number of slots: one more than particles.
        """
        own = self.own(batch)
        columns = self.values(own).float().unbind(dim=1)
        values = torch.stack(
            [v.standardize(c) for v, c in zip(self.variables, columns, strict=True)], dim=1
        )
        if self.per_jet:
            return np.ascontiguousarray(values[:, :, None].numpy())
        if self.kind != ALL or slots is None:
            slots = own.max_length + 1
        return np.ascontiguousarray(own.pad_values(values, slots).mT.numpy())


def most_particles(limits: MaxParticles, kind: str) -> int | None:
    """Return how many particles of a kind a network takes; ``None`` for all."""
    if isinstance(limits, KindLimits):
        own = dict(limits.of_kind).get(kind)
        return limits.together if own is None else own
    return limits


@dataclass(frozen=True)
class ModelInputs:
    """The inputs of a model of some network, and what its graph makes of them."""

    network: Tagger
    export: NetworkExport
    is_raw: bool
    labels: Labels

    @property
    def _kinds(self) -> dict[str, tuple[str, ...]]:
        """The features of each kind."""
        names = self.network.feature_names if "features" in self.export.reads else ()
        return names_by_kind(names) or {ALL: tuple(names)}

    @property
    def _has_kinds(self) -> bool:
        return ALL not in self._kinds

    def describe(self) -> tuple[Input, ...]:
        """Return the inputs in order.

        Raises
        ------
        InputError
            If a raw model cannot compute a feature.
        """
        of_kind = self._raw_of_kind if self.is_raw else self._prepared_of_kind
        found = [one for kind, names in self._kinds.items() for one in of_kind(kind, names)]
        of_jets = self.network.jet_feature_names
        if self.is_raw:
            return (*found, *self._raw_of_jet())
        if of_jets:
            variables = tuple(of_feature(name, self.labels) for name in of_jets)
            found.append(Input(JET, "features", variables, lambda batch: _of_jets(batch, of_jets)))
        return tuple(found)

    def _prepared_of_kind(self, kind: str, names: tuple[str, ...]) -> list[Input]:
        found = []
        if "points" in self.export.reads:
            found.append(self._features(kind, "points", _ANGLES))
        if "features" in self.export.reads:
            found.append(self._features(kind, "features", names))
        if "vectors" in self.export.reads:
            found.append(self._columns(kind, "vectors", _MOMENTUM, _momenta))
        found.append(self._columns(kind, "mask", ("mask",), _ones))
        return found

    def _raw_of_kind(self, kind: str, names: tuple[str, ...]) -> list[Input]:
        found = [self._columns(kind, "vectors", _MOMENTUM, _momenta)]
        columns, _ = raw.columns_of(names)
        if columns:
            found.append(self._columns(kind, "columns", columns, _ParticleColumns(columns)))
        if self._has_kinds:  # some may have no four-momenta
            found.append(self._columns(kind, "mask", ("mask",), _ones))
        return found

    def _raw_of_jet(self) -> list[Input]:
        of_jet, columns = self._jet_quantities, self._jet_columns
        found = [
            self._columns(
                JET,
                "kinematics",
                of_jet,
                lambda batch: torch.stack([_JET[name](batch) for name in of_jet], dim=1),
            )
        ]
        if columns:
            found.append(self._columns(JET, "columns", columns, _JetColumns(columns)))
        return found

    def _features(self, kind: str, part: str, features: Sequence[str]) -> Input:
        variables = tuple(of_feature(feature, self.labels) for feature in features)
        return Input(kind, part, variables, lambda batch: _of_particles(batch, features))

    def _columns(
        self, kind: str, part: str, columns: Sequence[str], values: Callable[[JetBatch], Tensor]
    ) -> Input:
        replace = NOT_FINITE if part == "columns" else 0.0
        return Input(kind, part, plain(columns, self.labels, replace=replace), values)

    @property
    def _of_jet(self) -> tuple[str, ...]:
        """All features of the jet, beside its particles or beside what becomes of them."""
        beside = (name for names in self._kinds.values() for name in names if raw.is_of_jet(name))
        return (*beside, *self.network.jet_feature_names)

    @property
    def _jet_columns(self) -> tuple[str, ...]:
        return raw.columns_of(self._of_jet)[1]

    @property
    def _jet_quantities(self) -> tuple[str, ...]:
        """The jet's momentum: pT, η and φ of the axis, energy, and the mass where it is read.

        Not px, py and pz, from which float32 does not give back an axis to the last bit, and not
        where a file has an axis of its own, as JetClass's have.
        """
        columns = {n.feature.column for n in self._of_jet if isinstance(n, ColumnName)}
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
        kinds = [
            self._cut(kind, {part: given[f"{kind}_{part}"] for part in parts})
            for kind in self._kinds
        ]
        return Particles(tuple(kinds)), given.get("jet_features")

    def _read_raw(self, given: Mapping[str, Value]) -> tuple[Particles, Value | None]:
        of_jet = _split(given["jet_kinematics"], self._jet_quantities)
        jet_columns = _split(given.get("jet_columns"), self._jet_columns)
        kinds = []
        for kind, names in self._kinds.items():
            vectors = given[f"{kind}_vectors"]
            columns = _split(given.get(f"{kind}_columns"), raw.columns_of(names)[0])
            jets = raw.RawJets(vectors, of_jet, columns, jet_columns)
            is_real = vectors.graph.op("Greater", jets.energy, 0.0, dtype="bool").cast("float32")
            parts = {"mask": given.get(f"{kind}_mask", is_real), "vectors": vectors}
            if "features" in self.export.reads:
                parts["features"] = jets.of_particles(names)
            if "points" in self.export.reads:
                parts["points"] = jets.of_particles(_ANGLES)
            kinds.append(self._cut(kind, parts))
        of_jets = self.network.jet_feature_names
        return Particles(tuple(kinds)), jets.of_jets(of_jets) if of_jets else None

    def _cut(self, kind: str, parts: Mapping[str, Value]) -> KindOfParticles:
        """Return the particles that the network takes, those of highest pT."""
        most = most_particles(self.network.max_particles, kind)
        if most is None:
            return KindOfParticles(**parts)
        return KindOfParticles(**{name: value.slice(2, 0, most) for name, value in parts.items()})


@dataclass(frozen=True)
class _ParticleColumns:
    names: tuple[str, ...]

    def __call__(self, batch: JetBatch) -> Tensor:
        return torch.stack([batch.particle_column(name).float() for name in self.names], dim=1)


@dataclass(frozen=True)
class _JetColumns:
    names: tuple[str, ...]

    def __call__(self, batch: JetBatch) -> Tensor:
        return torch.stack([batch.jet_column(name).float() for name in self.names], dim=1)


def _momenta(batch: JetBatch) -> Tensor:
    return batch.p4


def _ones(batch: JetBatch) -> Tensor:
    return torch.ones_like(batch.p4[:, :1])


def _split(values: Value | None, names: Sequence[str]) -> dict[str, Value]:
    if values is None:
        return {}
    return dict(zip(names, values.graph.split(values, 1, [1] * len(names)), strict=True))


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
