"""Features of particles of several kinds: a table for each kind, and where its rows belong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch._compile import _disable_dynamo

from parttag.errors import InputError
from parttag.jets.batch import JetBatch
from parttag.jets.features import FeatureContext, particle_features
from parttag.jets.kinds import KIND_COLUMN, names_by_kind, require_kinds
from parttag.jets.packing import offsets_of


@dataclass(frozen=True)
class KindTables:
    """The features of the real particles of each kind.

    Parameters
    ----------
    tables
        Of each kind, in the order in which the features name them.
    rows
        Of each particle, its row in all tables one below the other.
    """

    tables: tuple[Float[Tensor, "_own _features"], ...]
    rows: Int64[Tensor, " particles"]

    def joined(
        self, values: Sequence[Float[Tensor, "_own width"]]
    ) -> Float[Tensor, "particles width"]:
        """Return what was made of each table, a row a particle, in the order of the particles."""
        return torch.cat(list(values)).index_select(0, self.rows)


Inputs: TypeAlias = Float[Tensor, "_particles _features"] | KindTables
"""The standardized features of all real particles: one table, or one for each kind."""


def particle_inputs(batch: JetBatch, names: Sequence[str]) -> Inputs:
    """Return the standardized features of the real particles of a batch.

    Parameters
    ----------
    names
        Of the features of all particles, or of each kind (``KindName``).

    Raises
    ------
    InputError
        If the batch has no such kind, particles of another, or lacks a column.
    """
    by_kind = names_by_kind(names)
    if not by_kind:
        return particle_features(batch, names)[: batch.num_particles]
    return _untraced_tables(batch, by_kind)


def _kind_tables(batch: JetBatch, by_kind: Mapping[str, tuple[str, ...]]) -> KindTables:
    order, kinds = split_by_kind(batch, tuple(by_kind))
    tables = tuple(FeatureContext(own).table(by_kind[kind]) for kind, own in kinds.items())
    return KindTables(tables, order.argsort())


# How many particles of a kind there are differs with every batch: nothing for a compiler. Not
# torch.compiler.disable, which loads the compiler, a second, for everybody who imports parttag.
_untraced_tables: Callable[[JetBatch, Mapping[str, tuple[str, ...]]], KindTables] = _disable_dynamo(
    _kind_tables
)


def split_by_kind(
    batch: JetBatch, names: Sequence[str], *, others: bool = False
) -> tuple[Int64[Tensor, " particles"], dict[str, JetBatch]]:
    """Return the particles of each kind, as batches of the same jets.

    The host waits for the device once, to learn how many there are.

    Parameters
    ----------
    names
        Of the kinds.
    others
        Whether the batch may have particles of more kinds.

    Returns
    -------
    order
        The row in the batch of each particle of the first kind, of the second, and so on.
    kinds
        The batches, by the names of the kinds.

    Raises
    ------
    InputError
        If the batch has no such kind, or particles of another.
    """
    require_kinds(names, batch.kinds, "the jets of this batch")
    number, num_kinds = batch.num_particles, len(batch.kinds)
    place = {name: place for place, (name, _) in enumerate(batch.kinds)}
    kind = batch.particle_column(KIND_COLUMN)[:number].long()
    jet = batch.jet_of_particle[:number]
    counts = torch.bincount(jet * num_kinds + kind, minlength=len(batch) * num_kinds)
    lengths = counts.view(len(batch), num_kinds).cpu().numpy()
    starts = offsets_of(lengths.sum(axis=0))
    by_kind = kind.argsort(stable=True)
    rows = {name: by_kind[starts[place[name]] : starts[place[name] + 1]] for name in names}
    order = torch.cat(list(rows.values()))
    if len(order) < number and not others:
        unread = [n for n in place if n not in names and lengths[:, place[n]].any()]
        raise InputError(
            f"the jets have particles of the kind {', '.join(unread)}, of which the network reads "
            "nothing: leave them out, with the max_particles of the network"
        )
    return order, {name: _own(batch, rows[name], lengths[:, place[name]]) for name in names}


def _own(
    batch: JetBatch, rows: Int64[Tensor, " own"], lengths: Int64[np.ndarray, " jets"]
) -> JetBatch:
    offsets = torch.from_numpy(offsets_of(lengths)).to(batch.device, non_blocking=True)
    return replace(
        batch,
        p4=batch.p4.index_select(0, rows),
        extra=batch.extra.index_select(0, rows),
        columns=batch.columns.index_select(0, rows),
        offsets=offsets,
        lengths=lengths,
    )


def have_momenta(batch: JetBatch) -> Bool[np.ndarray, " particles"] | None:
    """Return which particles are of kinds that have four-momenta; ``None`` if all are."""
    has_momentum = np.array([has for _, has in batch.kinds], dtype=bool)
    if has_momentum.all():
        return None
    kind = batch.particle_column(KIND_COLUMN)[: batch.num_particles].cpu().numpy()
    have: Bool[np.ndarray, " particles"] = has_momentum[kind]
    return have
