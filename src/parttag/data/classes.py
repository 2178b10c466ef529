"""Label branches to class indices, by the classes of a configuration."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64

from parttag.data.quality import jet_name, source_name
from parttag.errors import InputError
from parttag.jets import JetArrays


def assign_classes(
    jets: JetArrays, classes: Mapping[str, Sequence[str]]
) -> Int64[np.ndarray, " jets"]:
    """Return the class index of each jet: −1 for a jet that carries no label of any class.

    A class may list labels of different data sets (``top: [label_top, label_Tbqq]``): one of them
    is enough, and those that the jets do not have count as not carried.

    Parameters
    ----------
    classes
        The labels of each class, in the order of the class indices.

    Raises
    ------
    InputError
        If the jets have none of a class's labels, or a jet carries labels of two classes.
    """
    carried = np.zeros((len(jets), len(classes)), dtype=bool)
    for column, (name, labels) in enumerate(classes.items()):
        known = [jets.label_names.index(label) for label in labels if label in jets.label_names]
        if not known:
            raise InputError(
                f"{source_name(jets)} has no label {' or '.join(labels)} for class {name}; it has "
                f"{', '.join(jets.label_names) or 'none'}: correct data.classes"
            )
        carried[:, column] = (jets.labels[:, known] == 1).any(axis=1)
    double = np.flatnonzero(carried.sum(axis=1) > 1)
    if len(double):
        both = [name for name, own in zip(classes, carried[double[0]], strict=True) if own]
        raise InputError(
            f"{jet_name(jets, int(double[0]))} carries labels of the classes {' and '.join(both)}; "
            "a jet must belong to one: correct the labels or data.classes"
        )
    return np.where(carried.any(axis=1), carried.argmax(axis=1), -1).astype(np.int64)
