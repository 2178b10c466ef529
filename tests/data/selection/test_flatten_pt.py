"""``data.flatten_pt``: the weighted spectra of the classes become what they should."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.files import write_jetclass_root
from parttag.data import JetLoader, open_dataset, prepare
from parttag.data.selection.reweight import FlattenOptions, JetSpectra
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.options import read_options
from parttag.testing import toy_jets

BINS = (500.0, 550.0, 700.0, 1000.0)
CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}


def jets_of(pt: np.ndarray, weights: np.ndarray | None = None) -> JetArrays:
    """Return jets of these pT, top and QCD in turn."""
    toys = toy_jets(len(pt), lengths=[2] * len(pt))
    phi = np.linspace(0, 3, len(pt))
    jet_p4 = np.stack([pt * np.cos(phi), pt * np.sin(phi), 0 * pt, 1.1 * pt], axis=1)
    own = np.ones(len(pt)) if weights is None else weights
    return replace(toys, jet_p4=jet_p4.astype(np.float32), jet_weights=own.astype(np.float32))


def falling_and_rising(num_jets: int = 4000) -> JetArrays:
    """Return top jets of a rising spectrum and QCD jets of a falling one, of varied weights."""
    rng = np.random.default_rng(2)
    low, high = rng.beta(1, 3, num_jets), rng.beta(2, 1, num_jets)
    pt = 500 + 499 * np.where(np.arange(num_jets) % 2, low, high)
    return jets_of(pt, rng.uniform(0.5, 2, num_jets))


def spectrum(jets: JetArrays, label: int) -> np.ndarray:
    """Return the weight per GeV in each bin."""
    carry = jets.labels[:, label] == 1
    pt = np.hypot(*jets.jet_p4[carry, :2].astype(np.float64).T)
    sums, _ = np.histogram(pt, BINS, weights=jets.jet_weights[carry].astype(np.float64))
    return sums / np.diff(BINS)


def reweighed(jets: JetArrays, options: FlattenOptions) -> JetArrays:
    classes = jets.labels.argmax(axis=1)
    spectra = JetSpectra(options, ("top", "QCD"))
    for start in range(0, len(jets), 700):  # a chunk at a time
        part = slice(start, min(start + 700, len(jets)))
        spectra.add(jets.span(part.start, part.stop), classes[part])
    return spectra.weights().reweighed(jets, classes)


def test_every_class_becomes_flat_and_keeps_its_share():
    jets = falling_and_rising()
    flat = reweighed(jets, FlattenOptions(bins=BINS))
    assert spectrum(jets, 1)[0] > 3 * spectrum(jets, 1)[2]  # which it was not before
    for label in (0, 1):
        density = spectrum(flat, label)
        np.testing.assert_allclose(density, density.mean(), rtol=1e-5)
    shares = [
        float(j.jet_weights[j.labels[:, 0] == 1].sum() / j.jet_weights.sum()) for j in (jets, flat)
    ]
    assert shares[0] == pytest.approx(shares[1], rel=1e-5)
    assert flat.jet_weights.mean() == pytest.approx(1, rel=1e-5)


def test_a_class_can_be_given_the_spectrum_of_another():
    jets = falling_and_rising()
    alike = reweighed(jets, FlattenOptions(bins=BINS, like="QCD"))
    before, after = spectrum(jets, 1), [spectrum(alike, label) for label in (0, 1)]
    for density in after:
        np.testing.assert_allclose(density / density.sum(), before / before.sum(), rtol=1e-5)


def test_weights_of_a_hand_made_set():
    # Two bins of 50 and 150 GeV. Top: three jets in the first, one in the second; QCD: one each.
    pt = np.array([510, 510, 520, 600, 530, 0, 600, 0], dtype=float)
    jets = jets_of(pt).take(np.array([0, 1, 2, 3, 4, 6]))
    labels = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, 0], [1, 0]], dtype=np.uint8)
    flat = reweighed(replace(jets, labels=labels), FlattenOptions(bins=BINS[:3]))
    # Top, of 4: a quarter of it in the first bin, 1/3 a jet, and 3 in the second. QCD, of 2: ½, 1½.
    np.testing.assert_allclose(flat.jet_weights, [1 / 3, 0.5, 1 / 3, 1.5, 1 / 3, 3], rtol=1e-6)


def test_a_bin_that_a_class_has_no_jet_in_stays_empty():
    pt = np.array([510, 510, 800, 520], dtype=float)  # QCD only in the first bin
    flat = reweighed(jets_of(pt), FlattenOptions(bins=BINS))
    assert spectrum(flat, 1).tolist() == pytest.approx([2 / 50, 0, 0])
    density = spectrum(flat, 0)
    assert density[0] == pytest.approx(density[2])
    assert density[1] == 0


def test_the_edges_belong_to_the_bins_and_what_is_outside_is_refused():
    options = FlattenOptions(bins=(500.0, 600.0, 1000.0))
    edges = jets_of(np.array([500.0, 1000.0]))
    assert np.isfinite(reweighed(edges, options).jet_weights).all()
    with pytest.raises(InputError, match=r"end at 500 and 1000 GeV, but a jet of toy\.root has pT"):
        reweighed(jets_of(np.array([500.0, 1001.0])), options)


def test_a_class_without_jets_where_the_other_has_some_is_refused():
    jets = jets_of(np.array([510, 710], dtype=float))
    with pytest.raises(InputError, match="class top has no jet in the bins where it should have"):
        reweighed(jets, FlattenOptions(bins=BINS, like="QCD"))
    with pytest.raises(InputError, match="like is gluon, but the classes are top, QCD"):
        reweighed(jets, FlattenOptions(bins=BINS, like="gluon"))


@pytest.mark.parametrize(
    ("bins", "message"),
    [([500], "2 or more entries"), ([500, 500], "the edges must rise"), ([2, 1], "must rise")],
)
def test_edges_that_make_no_bins_are_refused(bins, message):
    with pytest.raises(InputError, match=message):
        read_options(FlattenOptions, {"bins": bins})


def test_a_subset_is_flattened_by_its_own_spectrum(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", falling_and_rising(400))
    options = FlattenOptions(bins=BINS)
    dataset = open_dataset([path], CLASSES).subset(100).reweighted(options, ("top", "QCD"))
    jets = dataset.take(np.arange(100))
    assert jets.jet_weights.mean() == pytest.approx(1, rel=1e-5)
    for label in (0, 1):
        density = spectrum(jets, label)
        np.testing.assert_allclose(density, density.mean(), rtol=1e-4)


def test_jets_without_classes_are_flattened_together(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", falling_and_rising(400))
    jets = open_dataset([path], {}).reweighted(FlattenOptions(bins=BINS), ()).take(np.arange(400))
    density = spectrum(jets, 0) + spectrum(jets, 1)
    np.testing.assert_allclose(density, density.mean(), rtol=1e-4)


@pytest.mark.parametrize("stored", [False, True])
def test_batches_carry_the_weights_from_files_and_from_stores(tmp_path, stored):
    jets = falling_and_rising(400)
    path = write_jetclass_root(tmp_path / "a.root", jets)
    if stored:
        prepare([path], tmp_path / "store")
        path = tmp_path / "store"
    options = FlattenOptions(bins=BINS)
    dataset = open_dataset([path], CLASSES).reweighted(options, ("top", "QCD"))
    expected = reweighed(replace(jets, jet_weights=np.ones(400, np.float32)), options).jet_weights
    for batch in JetLoader(dataset, 50, shuffle=True).epoch(0):
        np.testing.assert_allclose(batch.jet_weights, expected[batch.index], rtol=1e-4)
