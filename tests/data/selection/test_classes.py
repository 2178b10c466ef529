"""Label branches become class indices as the configuration names them."""

from dataclasses import replace

import numpy as np
import pytest

from parttag.data.selection.classes import ClassCheck, assign_classes
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays, make_index
from parttag.testing import toy_jets

TOP_AND_QCD = {"top": ["label_top", "label_Tbqq"], "QCD": ["label_QCD"]}


def jets_with(labels: list[list[int]], names: tuple[str, ...]) -> JetArrays:
    array = np.array(labels, dtype=np.uint8).reshape(-1, len(names))
    toys = toy_jets(len(array))
    index = make_index(1, np.arange(len(array), dtype=np.int64))
    sources = ("first.root", "second.root")
    return replace(toys, labels=array, label_names=names, index=index, sources=sources)


def test_the_class_index_is_the_position_in_the_configuration():
    jets = jets_with([[1, 0, 0], [0, 1, 0], [0, 0, 1]], ("label_QCD", "label_Tbqq", "label_top"))
    assert assign_classes(jets, TOP_AND_QCD).tolist() == [1, 0, 0]
    assert assign_classes(jets, dict(reversed(TOP_AND_QCD.items()))).tolist() == [0, 1, 1]


def test_jets_of_no_class_get_minus_one():
    jets = jets_with([[0, 0, 1], [0, 0, 0], [0, 1, 0]], ("label_top", "label_QCD", "label_Hbb"))
    assert assign_classes(jets, TOP_AND_QCD).tolist() == [-1, -1, 1]


def test_two_labels_of_one_class_are_no_conflict():
    jets = jets_with([[1, 1, 0]], ("label_top", "label_Tbqq", "label_QCD"))
    assert assign_classes(jets, TOP_AND_QCD).tolist() == [0]


def test_labels_of_two_classes_are_refused_by_file_and_row():
    jets = jets_with([[1, 0], [1, 1]], ("label_top", "label_QCD"))
    message = r"second\.root, jet 1 carries labels of the classes top and QCD"
    with pytest.raises(InputError, match=message):
        assign_classes(jets, TOP_AND_QCD)


def test_a_class_without_any_of_its_labels_is_refused_with_what_is_there():
    jets = jets_with([[1, 0]], ("label_QCD", "label_Hbb"))
    message = r"second\.root has no label label_top or label_Tbqq for class top; it has label_QCD, "
    with pytest.raises(InputError, match=message):
        assign_classes(jets, TOP_AND_QCD)


def test_files_without_labels_say_so():
    jets = replace(jets_with([], ("x",)), label_names=(), labels=np.zeros((0, 0), np.uint8))
    with pytest.raises(InputError, match=r"first\.root has no label .* it has none"):
        assign_classes(jets, TOP_AND_QCD)


def warnings(jets: list[JetArrays], classes=TOP_AND_QCD) -> tuple[str, ...]:
    check = ClassCheck(classes)
    for part in jets:
        check.add(part, assign_classes(part, classes))
    return check.warnings("data.train")


def test_labels_of_no_class_are_named_with_the_jets_that_they_cost():
    names = ("label_top", "label_QCD", "label_Hbb", "label_Hcc", "label_old")
    first = jets_with([[1, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 1, 0, 0]], names)
    second = jets_with([[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]], names)
    # label_old is carried by a jet that has a class all the same.
    assert warnings([first, second]) == (
        "data.train: no class in data.classes has label_Hbb (3 jets), label_Hcc (1 jets): these "
        "jets are left out",
    )


def test_classes_of_no_jet_are_named_with_their_labels():
    names = ("label_top", "label_QCD")
    jets = jets_with([[0, 1], [0, 1]], names)
    assert warnings([jets]) == (
        "data.train: no jet is of class top, as none has label_top, label_Tbqq",
    )
    assert warnings([jets, jets_with([[1, 0]], names)]) == ()


def test_without_classes_all_jets_are_taken():
    jets = replace(toy_jets(3), labels=np.zeros((3, 2), dtype=np.uint8))
    np.testing.assert_array_equal(assign_classes(jets, {}), [0, 0, 0])


def test_a_class_of_which_all_weights_are_0_is_said_to_count_for_nothing():
    names = ("label_top", "label_QCD")
    jets = jets_with([[1, 0], [0, 1], [0, 1]], names)
    weighed = replace(jets, jet_weights=np.array([0, 1, 0], np.float32))
    assert warnings([weighed]) == (
        "data.train: all jets of class top have weight 0, so that nothing is learned or measured "
        "of it: correct the weights or data.classes",
    )
    assert warnings([weighed, jets]) == ()
