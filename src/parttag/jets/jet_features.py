"""Features of the whole jet: quantities that parttag knows, and columns of the data."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from parttag.errors import InputError
from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.jets.column_features import ColumnName
from parttag.jets.columns import column_names

JET_QUANTITIES: dict[str, Callable[[JetBatch], Tensor]] = {
    "log_pt": lambda batch: kinematics.pt(batch.jet_p4).log(),
    "log_energy": lambda batch: batch.jet_p4[:, 3].log(),
    "log_mass": lambda batch: kinematics.mass(batch.jet_p4).log(),
    "eta": lambda batch: kinematics.eta(batch.jet_p4),
    "abs_eta": lambda batch: kinematics.eta(batch.jet_p4).abs(),
}
"""Of the jet's own four-momentum in GeV; the logarithm of 0 is not finite, so ``missing``."""


def transformed_of_jets(batch: JetBatch, name: ColumnName) -> Float[Tensor, " jets"]:
    """Return the numbers of a feature after its transform, finite or not.

    Raises
    ------
    InputError
        If the jets lack its column.
    """
    column = name.feature.column
    there = column_names(batch.jet_column_types)
    if column in there:
        values = batch.jet_column(column).to(batch.p4.dtype)
    elif column in JET_QUANTITIES:
        values = JET_QUANTITIES[column](batch)
    else:
        raise InputError(
            f"jet_features: the jets have no column {column} (they have "
            f"{', '.join(there) or 'four-momenta only'})"
        )
    return name.feature.transformed(values)


def jet_features(batch: JetBatch, names: Sequence[ColumnName]) -> Float[Tensor, "jets features"]:
    """Return the standardized features of every jet.

    Raises
    ------
    InputError
        If the jets lack a column, or centre and scale of a feature are not known.
    """
    return torch.stack([_read(batch, name) for name in names], dim=1)


def given_jet_name(name: str) -> str:
    """Return the column of jets that, where a batch has it, is what networks read of a feature."""
    return f"given.{name}"


def _read(batch: JetBatch, name: ColumnName) -> Float[Tensor, " jets"]:
    if batch.jet_column_types and given_jet_name(name) in column_names(batch.jet_column_types):
        return batch.jet_column(given_jet_name(name))
    return name.feature.standardize(name.feature.finite(transformed_of_jets(batch, name)))
