from dataclasses import replace

import numpy as np

from helpers.jets import toy_arrays
from parttag.evaluation.fingerprints import fingerprint


def test_fingerprints_see_every_bit_the_order_and_the_number_of_particles():
    jets = toy_arrays(lengths=[4, 4])
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
    jets = toy_arrays(lengths=[2])
    p4 = jets.p4.copy()
    p4[0, 2] = 0.0
    positive = fingerprint(replace(jets, p4=p4))
    p4[0, 2] = -0.0
    assert fingerprint(replace(jets, p4=p4)) == positive
