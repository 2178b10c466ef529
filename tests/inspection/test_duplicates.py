from dataclasses import replace

import numpy as np

from parttag.inspection.duplicates import SharedJets, fingerprint, num_repeated, shared_jets
from parttag.testing import toy_jets


def test_fingerprints_see_every_bit_the_order_and_the_number_of_particles():
    jets = toy_jets(lengths=[4, 4])
    original = fingerprint(jets)
    assert original[0] != original[1]
    for column in range(4):
        p4 = jets.p4.copy()
        p4[2, column] = np.nextafter(p4[2, column], np.float32(np.inf))
        changed = fingerprint(replace(jets, p4=p4))
        assert changed[0] != original[0]
        assert changed[1] == original[1]
    swapped = replace(jets, p4=jets.p4[[1, 0, 2, 3, 4, 5, 6, 7]])
    assert fingerprint(swapped)[0] != original[0]
    shorter = replace(jets, offsets=np.array([0, 3, 8]))
    assert (fingerprint(shorter) != original).all()


def test_zeros_of_either_sign_are_the_same():
    jets = toy_jets(lengths=[2])
    p4 = jets.p4.copy()
    p4[0, 2] = 0.0
    positive = fingerprint(replace(jets, p4=p4))
    p4[0, 2] = -0.0
    assert fingerprint(replace(jets, p4=p4)) == positive


def numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def test_shared_jets_are_counted_for_every_pair_both_ways_and_those_within_are_not():
    inputs = {
        "train": numbers(1, 2, 3, 3, 4, 4),
        "val": numbers(3, 5, 5),
        "test": numbers(6, 3, 2),
        "other": numbers(7, 8),
        "empty": numbers(),
    }
    assert shared_jets(inputs) == [
        SharedJets("train", "test", 3, 6),  # 2, 3, 3
        SharedJets("train", "val", 2, 6),  # 3, 3
        SharedJets("test", "train", 2, 3),  # 3, 2
        SharedJets("val", "train", 1, 3),
        SharedJets("val", "test", 1, 3),
        SharedJets("test", "val", 1, 3),
    ]
    assert [num_repeated(jets) for jets in inputs.values()] == [2, 1, 0, 0, 0]


def test_shared_jets_are_those_of_a_plain_count():
    rng = np.random.default_rng(0)
    inputs = {name: rng.integers(0, 60, 25).astype(np.uint64) for name in "abcd"}
    for shared in shared_jets(inputs):
        other = set(inputs[shared.other].tolist())
        assert shared.num_shared == sum(jet in other for jet in inputs[shared.name].tolist())
    assert len(shared_jets(inputs)) == 12
