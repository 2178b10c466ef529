import numpy as np
import pytest

from helpers.particles import jets, p4
from parttag.samples.simulation.generator import Decays
from parttag.samples.simulation.truth import held_decay


def decay(*products, event=0, ids=(1, -1)):
    """Return one decay to products at the given (η, φ)."""
    momenta = np.concatenate([p4(100.0, eta, phi) for eta, phi in products])
    return Decays(
        event=np.array([event]),
        parent_id=np.array([23]),
        parent=momenta.sum(axis=0)[None],
        product_ids=np.array([ids]),
        products=momenta[None],
    )


def both(first, second):
    names = ("event", "parent_id", "parent", "product_ids", "products")
    return Decays(*(np.concatenate([getattr(d, name) for d in (first, second)]) for name in names))


JET = p4(600.0, 0.5, 3.1)


@pytest.mark.parametrize(
    ("products", "held"),
    [
        (((0.5, 3.1), (0.5, -3.1)), True),
        (((1.29, 3.1), (-0.29, 3.1)), True),
        (((1.31, 3.1), (0.5, 3.1)), False),
        (((0.5, 2.2), (0.5, 3.1)), False),
    ],
)
def test_a_jet_holds_a_decay_with_all_products_near_its_axis(products, held):
    assert (held_decay(jets(JET), decay(*products), 0.8) >= 0).tolist() == [held]


def test_neutrinos_may_go_anywhere():
    away = decay((0.5, 3.1), (0.5, 0.0), ids=(11, -12))
    assert held_decay(jets(JET), away, 0.8).tolist() == [0]


def test_a_decay_of_another_event_is_not_held():
    assert held_decay(jets(JET), decay((0.5, 3.1), (0.5, 3.1), event=1), 0.8).tolist() == [-1]


def test_two_jets_of_an_event_hold_each_their_own():
    other = p4(550.0, -0.5, 0.0)
    near_jet, near_other = decay((0.5, 3.1), (0.4, 3.0)), decay((-0.5, 0.1), (-0.6, 0.0))
    found = held_decay(jets(JET, other, event=[0, 0]), both(near_other, near_jet), 0.8)
    assert found.tolist() == [1, 0]


def test_the_parent_may_have_to_be_near_too():
    # Before it radiated, the parent went elsewhere.
    wide = decay((0.5, 3.1), (0.5, 3.1))
    far = Decays(wide.event, wide.parent_id, p4(200.0, 1.5, 3.1), wide.product_ids, wide.products)
    assert held_decay(jets(JET), far, 0.8).tolist() == [0]
    assert held_decay(jets(JET), far, 0.8, parent_too=True).tolist() == [-1]


def test_without_jets_or_decays_nothing_is_held():
    none = jets(JET).take(np.zeros(0, dtype=np.int64))
    assert held_decay(none, decay((0.5, 3.1), (0.5, 3.1)), 0.8).tolist() == []
    empty = Decays(
        np.zeros(0, dtype=np.int64),
        np.zeros(0, dtype=np.int64),
        np.zeros((0, 4)),
        np.zeros((0, 0), dtype=np.int64),
        np.zeros((0, 0, 4)),
    )
    assert held_decay(jets(JET), empty, 0.8).tolist() == [-1]
