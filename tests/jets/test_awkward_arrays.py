"""Jets to Awkward Arrays and back, and what vector makes of them."""

import awkward as ak
import numpy as np
import pytest
import vector

from parttag.errors import InputError
from parttag.jets.arrays import PER_JET, PER_PARTICLE
from parttag.jets.awkward_arrays import from_awkward
from parttag.testing import toy_jets

vector.register_awkward()


def test_jets_come_back_as_they_were():
    jets = toy_jets(30)
    again = from_awkward(jets.to_awkward())
    for name in (*PER_PARTICLE, "offsets", *PER_JET):
        if name != "index":
            np.testing.assert_array_equal(getattr(again, name), getattr(jets, name), name)
            assert getattr(again, name).dtype == getattr(jets, name).dtype
    assert again.extra_names == jets.extra_names
    assert again.label_names == jets.label_names


def test_some_jets_of_many_are_those_jets():
    some = toy_jets(30).span(10, 20)
    np.testing.assert_array_equal(ak.num(some.to_awkward().particles), some.lengths)
    np.testing.assert_array_equal(from_awkward(some.to_awkward()).p4, some.p4)


def test_jets_without_labels_and_extras_and_no_jets_at_all_come_back():
    bare = from_awkward(toy_jets(4, extra_names=()).to_awkward().particles)
    assert (bare.extra_names, bare.label_names, len(bare)) == ((), (), 4)
    assert len(from_awkward(bare.to_awkward())) == 4
    assert len(from_awkward(toy_jets(4).span(2, 2).to_awkward())) == 0


def test_behaviors_of_vector_give_the_masses_of_the_jets():
    jets = toy_jets(20)
    array = ak.values_astype(jets.to_awkward(), np.float64)  # masses are differences
    sums = ak.zip(
        {name: ak.sum(array.particles[name], axis=1) for name in ("px", "py", "pz", "E")},
        with_name="Momentum4D",
    )
    for momenta, rounding in ((array.jet, 1e-6), (sums, 1e-2)):
        heavy = jets.mass > 1  # those of one particle are rounding
        np.testing.assert_allclose(momenta.mass[heavy], jets.mass[heavy], rtol=rounding)
        for name in ("pt", "eta", "phi"):
            ours = getattr(jets, name)
            np.testing.assert_allclose(getattr(momenta, name), ours, rtol=rounding, atol=1e-6)


COORDINATES = [
    ("px", "py", "pz", "E"),
    ("x", "y", "z", "t"),
    ("pt", "phi", "eta", "mass"),
    ("rho", "phi", "theta", "tau"),
    ("pt", "phi", "pz", "energy"),
    ("px", "py", "eta", "M"),
    ("pt", "phi", "theta", "e"),
    ("pt", "phi", "eta", "m"),
]
GETTERS = {"e": "E", "m": "mass", "t": "t", "M": "M"}


@pytest.mark.parametrize("names", COORDINATES, ids="-".join)
def test_whatever_vector_accepts_is_the_same_momentum(names):
    exact = ak.values_astype(toy_jets(10).to_awkward().particles, np.float64)
    given = ak.zip({name: getattr(exact, GETTERS.get(name, name)) for name in names})
    assert set(vector.zip({name: given[name] for name in names}).fields)  # vector takes it
    jets = from_awkward(given)
    assert jets.extra_names == ()
    expected = toy_jets(10).p4
    # Masses of massless particles are rounding.
    np.testing.assert_allclose(jets.p4, expected, rtol=1e-4, atol=1e-3)


def test_particles_are_put_in_order_of_falling_pt_and_take_their_columns_along():
    array = ak.Array(
        [
            [
                {"pt": 1.0, "eta": 0.0, "phi": 0.0, "mass": 0.0, "charge": 1, "is_pv": True},
                {"pt": 3.0, "eta": 1.0, "phi": 0.0, "mass": 4.0, "charge": -1, "is_pv": False},
            ],
            [],
        ]
    )
    jets = from_awkward(array, {"label_top": [True, False]}, jet_weights=[2, 1])
    assert jets.extra_names == ("charge", "is_pv")
    assert jets["charge"].tolist() == [-1, 1]
    assert jets["is_pv"].tolist() == [0, 1]
    assert jets["label_top"].tolist() == [1, 0]
    assert jets.jet_weights.tolist() == [2, 1]
    energy = np.sqrt(9 * np.cosh(1) ** 2 + 16)
    np.testing.assert_allclose(jets.p4[0], [3, 0, 3 * np.sinh(1), energy], rtol=1e-6)
    np.testing.assert_allclose(jets.jet_p4[0], [4, 0, 3 * np.sinh(1), energy + 1], rtol=1e-6)


def test_the_jets_own_momenta_and_the_columns_to_keep_can_be_given():
    array = toy_jets(3).to_awkward()
    own = ak.zip({"pt": [1.0, 2, 3], "eta": [0.0, 1, 2], "phi": [0.0, 1, 2], "mass": [1.0, 0, 0]})
    jets = from_awkward(array.particles, jets=own, extras=["d0"])
    assert jets.extra_names == ("d0",)
    np.testing.assert_allclose(jets.pt, [1, 2, 3], rtol=1e-6)
    np.testing.assert_allclose(jets.jet_axis[:, 0], [0, 1, 2], atol=1e-6)


def record(**fields):
    return [[{"px": 1.0, "py": 0.0, "pz": 0.0, "E": 1.0, **fields}]]


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        ([1.0, 2.0], {}, "is no jets × particles of records"),
        ([[1.0], [2.0]], {}, "is no jets × particles of records"),
        (
            [[{"pt": 1.0, "eta": 0.0, "phi": 0.0}]],
            {},
            r"need energy or mass; they have pt, eta, phi",
        ),
        ([[{"px": 1.0, "pz": 0.0, "E": 0.0}]], {}, "need px, py or pt, phi"),
        (record(energy=2.0), {}, "have E and energy, which are the same"),
        (record(d0=None), {}, "field d0 has missing values"),
        ([None, *record()], {}, "the array has missing jets"),
        ([[None, *record()[0]]], {}, "field px has missing values"),
        (record(name="muon"), {}, "field name does not hold one number a particle"),
        (record(hits=[1, 2]), {}, "field hits does not hold one number a particle"),
        ([[{"px": "1", "py": 0.0, "pz": 0.0, "E": 1.0}]], {}, "field px of the particles"),
        (record(), {"extras": ["d0"]}, "have no field d0; they have px, py, pz, E"),
        (record(), {"labels": {"label_top": [2]}}, "label_top must be 0 or 1, but is 2 for jet 0"),
        (record(), {"labels": {"label_top": [1, 0]}}, "one number for each of the 1 jets"),
        (record(), {"labels": {"label_top": ["yes"]}}, "one number for each of the 1 jets"),
        (record(), {"jet_weights": [[1.0]]}, "weights must be one number for each"),
        (record(), {"jets": ak.Array([{"pt": 1.0}])}, "the jets need px, py or pt, phi"),
    ],
)
def test_what_cannot_be_jets_is_refused_in_one_sentence(array, options, message):
    with pytest.raises(InputError, match=message):
        from_awkward(ak.Array(array), **options)


def test_what_is_no_awkward_array_is_refused():
    with pytest.raises(InputError, match="is no Awkward Array"):
        from_awkward([object()])


def test_fields_that_are_no_numbers_can_be_left_out():
    assert from_awkward(record(name="muon"), extras=[]).extra_names == ()
