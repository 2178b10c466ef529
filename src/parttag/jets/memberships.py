"""Which classes a jet is of, where it may be of several or none: a column of the jets a class."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool
from torch import Tensor, stack

from parttag.jets.arrays import JetArrays
from parttag.jets.batch import JetBatch
from parttag.jets.columns import as_records, pack_columns

_PREFIX = "is_of_class "


def with_memberships(
    jets: JetArrays, carried: Bool[np.ndarray, "jets classes"], classes: Sequence[str]
) -> JetArrays:
    """Return the jets with the classes that each is of, for ``memberships``.

    Parameters
    ----------
    carried
        Whether each jet is of each class.
    """
    columns = {f"{_PREFIX}{name}": carried[:, n] for n, name in enumerate(classes)}
    if jets.jet_column_types:
        records = as_records(jets.jet_columns, jets.jet_column_types)
        columns = {name: records[name] for name, _ in jets.jet_column_types} | columns
    packed, types = pack_columns(columns, len(jets))
    return replace(jets, jet_columns=packed, jet_column_types=types)


def memberships(batch: JetBatch, classes: Sequence[str]) -> Bool[Tensor, "jets classes"]:
    """Return whether each jet is of each class."""
    return stack([batch.jet_column(f"{_PREFIX}{name}") for name in classes], dim=1)
