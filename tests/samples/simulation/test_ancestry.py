"""What particles come from, in records of events written by hand."""

import numpy as np
import pytest

from parttag.samples.simulation.ancestry import Origin, Record, ancestry, has_quark


def record(*entries, direction=None):
    """Return an event of (PDG id, status, mother1, mother2), below Pythia's own three entries."""
    beams = [(90, -11, 0, 0), (2212, -12, 0, 0), (2212, -12, 0, 0)]
    table = np.array([*beams, *entries])
    momentum = np.ones((len(table), 3))
    for row, phi in (direction or {}).items():
        momentum[row] = np.cos(phi), np.sin(phi), 0.0
    return Record(np.zeros(len(table), int), table[:, 0], table[:, 1], table[:, 2:], momentum)


HARD = (21, -21, 1, 0), (21, -21, 2, 0)  # 3 and 4


@pytest.mark.parametrize(
    ("chain", "origin"),
    [
        ([21, 211], Origin.SHOWER),
        ([25, 5, 211], Origin.H),  # fragmentation of the b quark
        ([25, 5, 511, 211], Origin.B),
        ([25, 5, 10521, 521, 413, 421, 211], Origin.B),  # charm of a b hadron
        ([23, 4, 4122, 2212], Origin.C),
        ([24, 3, 431, 15, 211], Origin.C),  # a tau of a charmed hadron
        ([24, 15, 211], Origin.TAU),
        ([25, 24, 2, 111, 22], Origin.W),
        ([25, 23, 1, 211], Origin.Z),
        ([-6, -5, -211], Origin.TOP),
        ([6, 24, -13], Origin.W),
        ([21, 443, 13], Origin.SHOWER),  # charmonium has no open charm
        ([21, 531, 443, -13], Origin.B),
        ([21, 310, 211], Origin.SHOWER),
    ],
)
def test_the_nearest_ancestor_that_says_something_counts(chain, origin):
    entries = [(kind, -91, 4 + i if i else 3, 0) for i, kind in enumerate(chain)]
    found = ancestry(record(*HARD, *entries), np.array([4 + len(chain)]))
    assert found.origin.tolist() == [origin]
    assert found.mother_id.tolist() == [chain[-2]]


def test_products_of_one_hadron_have_one_ancestor_and_others_another():
    event = record(*HARD, (511, -83, 3, 0), (421, -91, 5, 0), (211, 91, 6, 0), (13, 91, 5, 0),
                   (-511, -84, 3, 0), (-13, 91, 9, 0))  # fmt: skip
    found = ancestry(event, np.array([7, 8, 10]))
    assert found.origin.tolist() == [Origin.B] * 3
    assert found.ancestor.tolist() == [5, 5, 9]


def test_a_hadron_of_a_torn_string_is_of_the_parton_in_its_direction():
    # A top's b quark at φ = 0 and a gluon of the initial state at φ = 3 share a string.
    event = record(*HARD, (6, -22, 3, 4), (5, -23, 5, 0), (21, -43, 3, 0), (5, -71, 6, 6),
                   (21, -71, 7, 7), (211, 83, 8, 9), (-211, 84, 8, 9), (111, 84, 8, 9),
                   direction={8: 0.0, 9: 3.0, 10: 0.4, 11: 2.9, 12: -0.2})  # fmt: skip
    found = ancestry(event, np.array([10, 11, 12]))
    assert found.origin.tolist() == [Origin.TOP, Origin.SHOWER, Origin.TOP]


def test_second_collisions_and_what_radiates_before_them_are_the_underlying_event():
    event = record(*HARD, (21, -23, 3, 4), (21, -41, 1, 0), (21, -31, 6, 0), (21, -31, 2, 0),
                   (2, -33, 7, 8), (21, -43, 6, 0), (211, 83, 9, 9), (111, 83, 10, 10),
                   (211, 83, 5, 5), (511, -83, 9, 9), (13, 91, 14, 0))  # fmt: skip
    found = ancestry(event, np.array([11, 12, 13, 15]))
    under = Origin.UNDERLYING
    assert found.origin.tolist() == [under, under, Origin.SHOWER, Origin.B]


def test_events_of_a_batch_do_not_mix():
    one = record(*HARD, (25, -22, 3, 4), (5, -23, 5, 0), (211, 91, 6, 0))
    other = record(*HARD, (24, -22, 3, 4), (2, -23, 5, 0), (211, 91, 6, 0))
    both = [np.concatenate([getattr(e, n) for e in (one, other)]) for n in vars(one)]
    both[0] = np.repeat([0, 8], 8)
    found = ancestry(Record(*both), np.array([7, 15]))
    assert found.origin.tolist() == [Origin.H, Origin.W]


def test_hadrons_are_known_by_their_heaviest_quark():
    kinds = np.array([5, 15, 111, 310, 411, 421, 431, 4122, 4332, 511, 541, 5122, 10523, 443, 553])
    assert kinds[has_quark(kinds, 5)].tolist() == [511, 541, 5122, 10523]
    assert kinds[has_quark(kinds, 4)].tolist() == [411, 421, 431, 4122, 4332]
    assert not has_quark(np.array([4101, 5503]), 5).any()  # diquarks
