"""Label branches to class indices, by the classes of a configuration."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int64

from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.validity import jet_name, source_name


def assign_classes(
    jets: JetArrays, classes: Mapping[str, Sequence[str]]
) -> Int64[np.ndarray, " jets"]:
    """Return the class index of each jet: −1 for a jet that carries no label of any class.

    Without classes, labels do not matter: all jets are of class 0.

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
    if not classes:
        return np.zeros(len(jets), dtype=np.int64)
    carried = carried_classes(jets, classes)
    double = np.flatnonzero(carried.sum(axis=1) > 1)
    if len(double):
        both = [name for name, own in zip(classes, carried[double[0]], strict=True) if own]
        raise InputError(
            f"{jet_name(jets, int(double[0]))} carries labels of the classes {' and '.join(both)}; "
            "a jet must belong to one: correct the labels or data.classes, or set multi_label"
        )
    return np.where(carried.any(axis=1), carried.argmax(axis=1), -1).astype(np.int64)


def carried_classes(
    jets: JetArrays, classes: Mapping[str, Sequence[str]]
) -> Bool[np.ndarray, "jets classes"]:
    """Return whether each jet carries a label of each class; it may be of several, or of none.

    Raises
    ------
    InputError
        If the jets have none of a class's labels.
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
    return carried


class ClassCheck:
    """Looks, while files are read, for labels of no class and for classes that count for nothing.

    Both are allowed, since a task may be about some of a file's classes; and both are what a
    misspelled label looks like. A class counts for nothing if it has no jet, or none with a weight.

    Parameters
    ----------
    classes
        The labels of each class, in the order of the class indices.
    """

    def __init__(self, classes: Mapping[str, Sequence[str]]) -> None:
        self._classes = classes
        self._left_out: Counter[str] = Counter()
        self._found = np.zeros(len(classes), dtype=bool)
        self._weighs = np.zeros(len(classes), dtype=bool)

    def add(self, jets: JetArrays, class_of_jet: Int64[np.ndarray, " jets"]) -> None:
        """Look at some jets and what ``assign_classes`` returned for them."""
        if self._classes:
            known = class_of_jet >= 0
            self._found[np.unique(class_of_jet[known])] = True
            self._weighs[np.unique(class_of_jet[known & (jets.jet_weights != 0)])] = True
        carried = (jets.labels[class_of_jet < 0] == 1).sum(axis=0)
        self._left_out.update(dict(zip(jets.label_names, carried.tolist(), strict=True)))

    def warnings(self, name: str) -> tuple[str, ...]:
        """Return one sentence for each kind of finding in all jets so far.

        Parameters
        ----------
        name
            What the jets are, for example ``data.train``.
        """
        found = []
        left_out = {label: number for label, number in self._left_out.items() if number}
        if left_out:
            counts = ", ".join(f"{label} ({number:,} jets)" for label, number in left_out.items())
            found.append(f"{name}: no class in data.classes has {counts}: these jets are left out")
        empty = [own for own, known in zip(self._classes, self._found, strict=True) if not known]
        if empty:
            labels = ", ".join(label for own in empty for label in self._classes[own])
            found.append(f"{name}: no jet is of class {' or '.join(empty)}, as none has {labels}")
        weightless = self._found & ~self._weighs
        if weightless.any():
            names = [own for own, none in zip(self._classes, weightless, strict=True) if none]
            found.append(
                f"{name}: all jets of class {' and of class '.join(names)} have weight 0, so that "
                "nothing is learned or measured of it: correct the weights or data.classes"
            )
        return tuple(found)
