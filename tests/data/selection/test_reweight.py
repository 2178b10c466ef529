"""``data.reweight``: classes that can be told apart by pT and mass no longer can be."""

import json
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import yaml
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from helpers.files import write_jetclass_root
from helpers.runs import toy_config
from parttag.data import JetLoader, open_dataset
from parttag.data.selection.reweight import FlattenOptions, JetSpectra, ReweightOptions
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.options import read_options
from parttag.runs.config import load_config
from parttag.runs.train import train_run
from parttag.testing import toy_jets

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}


@lru_cache
def some_toys(num_jets: int) -> JetArrays:
    return toy_jets(num_jets, lengths=[1] * num_jets)


def jets_of(pt: np.ndarray, mass: np.ndarray, is_top: np.ndarray, weights=None) -> JetArrays:
    """Return jets of these pT, masses and classes, at η = 0."""
    toys = some_toys(len(pt))
    zero = np.zeros_like(pt)
    jet_p4 = np.stack([pt, zero, zero, np.sqrt(pt**2 + mass**2)], axis=1)
    labels = np.stack([is_top, ~is_top], axis=1).astype(np.uint8)
    weights = np.ones(len(pt)) if weights is None else weights
    return replace(
        toys,
        jet_p4=jet_p4.astype(np.float32),
        labels=labels,
        jet_weights=weights.astype(np.float32),
    )


def made(options, jets: JetArrays):
    spectra = JetSpectra(options, ("top", "QCD"))
    spectra.add(jets, jets.labels.argmax(axis=1))
    return spectra.weights()


def told_apart(num_jets: int, seed: int) -> JetArrays:
    """Return top jets of larger masses and pT than QCD jets; a fifth is spread over all bins."""
    rng = np.random.default_rng(seed)
    is_top = rng.random(num_jets) < 0.5
    mass, pt = rng.random((2, num_jets))
    peaked = rng.random(num_jets) < 0.8
    mass[peaked & is_top] = rng.beta(4, 3, num_jets)[peaked & is_top]
    mass[peaked & ~is_top] = rng.beta(1, 3, num_jets)[peaked & ~is_top]
    pt[peaked & ~is_top] = rng.beta(1, 2, num_jets)[peaked & ~is_top]
    return jets_of(500 + 500 * pt, 30 + 220 * mass, is_top)


FINE = ReweightOptions(
    by={
        "jet_pt": tuple(np.arange(500, 1001, 25.0).tolist()),
        "jet_mass": tuple(np.arange(30, 251, 10.0).tolist()),
    },
)


def by_pt_and_mass_alone(weights, *, learned: int, measured: int) -> float:
    """Return the AUC of a classifier of pT and mass, learned from one set of jets, on another."""
    sets = {}
    for seed in (learned, measured):
        jets = told_apart(30_000, seed)
        own = jets if weights is None else weights.reweighed(jets, jets.labels.argmax(axis=1))
        sets[seed] = np.stack([jets.pt, jets.mass], axis=1), jets.labels[:, 0], own.jet_weights
    x, is_top, weight = sets[learned]
    trees = HistGradientBoostingClassifier(max_iter=25, max_leaf_nodes=15, random_state=0)
    trees.fit(x, is_top, weight)
    x, is_top, weight = sets[measured]
    return roc_auc_score(is_top, trees.predict_proba(x)[:, 1], sample_weight=weight)


def test_pt_and_mass_alone_tell_nothing_any_more_of_jets_that_did_not_make_the_weights():
    spectra = JetSpectra(FINE, ("top", "QCD"))
    for seed in range(10, 30):
        jets = told_apart(30_000, seed)
        spectra.add(jets, jets.labels.argmax(axis=1))
    weights = spectra.weights()
    assert by_pt_and_mass_alone(None, learned=1, measured=2) > 0.75
    # The statistical error is 0.003; a bin of 10 GeV in which a ratio rises leaves some more.
    assert by_pt_and_mass_alone(weights, learned=1, measured=2) == pytest.approx(0.5, abs=0.01)


def test_jets_in_bins_without_every_class_and_beyond_the_edges_do_not_count():
    # Bins of mass: [0, 100) holds both, [100, 200] top alone, and one jet lies beyond.
    pt, mass = np.full(5, 600.0), np.array([50, 50, 150, 50, 900.0])
    jets = jets_of(pt, mass, np.array([True, True, True, False, False]))
    found = made(ReweightOptions(by={"jet_mass": (0, 100, 200)}), jets)
    weighed = found.reweighed(jets, jets.labels.argmax(axis=1)).jet_weights
    np.testing.assert_allclose(weighed, [1, 1, 0, 1, 0], rtol=1e-6)
    assert found.num_jets == (3, 2)
    assert found.num_zero == (1, 1)
    np.testing.assert_allclose(found.num_effective, [[3, 2], [2, 1]], rtol=1e-6)


def test_a_bin_needs_as_many_jets_of_each_class_as_is_said():
    mass, is_top = np.array([50, 50, 150, 150, 50, 50, 150.0]), np.arange(7) < 4
    jets = jets_of(np.full(7, 600.0), mass, is_top)
    found = made(ReweightOptions(by={"jet_mass": (0, 100, 200)}, min_jets=2), jets)
    np.testing.assert_array_equal(found.factors > 0, [[True, False], [True, False]])
    assert found.num_zero == (2, 1)


def test_two_variables_by_hand():
    # Two bins of pT (widths 100, 300) by two of mass (50, 150); weights 2 for one of the jets.
    pt = np.array([550, 550, 750, 750, 550, 750, 550, 750.0])
    mass = np.array([20, 100, 20, 100, 20, 100, 100, 20.0])
    is_top = np.array([True] * 4 + [False] * 4)
    jets = jets_of(pt, mass, is_top, np.array([2, 1, 1, 1, 1, 1, 1, 1.0]))
    options = ReweightOptions(by={"jet_pt": (500, 600, 900), "jet_mass": (0, 50, 200)})
    weighed = made(options, jets).reweighed(jets, jets.labels.argmax(axis=1)).jet_weights
    # Areas 5, 15, 15, 45 (in thousands) of 80; top has 5 of 9, QCD 4; eight jets, a mean of 1.
    area = np.array([5, 15, 15, 45, 5, 45, 15, 15]) / 80
    expected = area * np.where(is_top, 5, 4) * 8 / 9
    np.testing.assert_allclose(weighed, expected, rtol=1e-6)


def test_to_a_class_gives_its_spectrum_where_both_are():
    jets = told_apart(50_000, 3)
    options = ReweightOptions(by={"jet_mass": tuple(range(30, 251, 20))}, to="QCD")
    weights = made(options, jets)
    shares = weights.after / weights.after.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares[0], shares[1], rtol=1e-9)
    common = (weights.before > 0).all(axis=0)
    wanted = np.where(common, weights.before[1], 0)
    np.testing.assert_allclose(shares[1], wanted / wanted.sum(), rtol=1e-9)


def test_one_variable_is_what_flatten_pt_does_where_all_bins_hold_both():
    jets = told_apart(20_000, 4)
    bins = (500.0, 600.0, 800.0, 1000.0)
    classes = jets.labels.argmax(axis=1)
    one = made(ReweightOptions(by={"jet_pt": bins}), jets).reweighed(jets, classes)
    other = made(FlattenOptions(bins=bins), jets).reweighed(jets, classes)
    np.testing.assert_array_equal(one.jet_weights, other.jet_weights)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"by": {}}, "1 or more entries"),
        ({"by": {"jet_pt": [1, 2], "jet_mass": [1, 2], "jet_eta": [0, 1]}}, "jet_eta|at most 2"),
        ({"by": {"jet_pt": [500]}}, "2 or more entries"),
        ({"by": {"jet_pt": [500, 400]}}, "the edges of jet_pt must rise"),
        ({"by": {"jet_pt": [500, float("nan")]}}, "by"),
    ],
)
def test_bins_that_make_no_sense_are_refused(content, message):
    with pytest.raises(InputError, match=message):
        read_options(ReweightOptions, content)


def test_a_class_that_there_is_not_and_bins_that_no_two_share_are_refused():
    with pytest.raises(InputError, match=r"data\.reweight\.to is W, but the classes are top, QCD"):
        JetSpectra(ReweightOptions(by={"jet_pt": (1, 2)}, to="W"), ("top", "QCD"))
    jets = jets_of(np.full(2, 600.0), np.array([50, 150.0]), np.array([True, False]))
    with pytest.raises(InputError, match=r"no bin of jet_mass that holds 1 or more jets of every"):
        made(ReweightOptions(by={"jet_mass": (0, 100, 200)}), jets)


def test_a_training_logs_keeps_and_draws_what_was_done(tmp_path):
    path = write_jetclass_root(tmp_path / "jets.root", told_apart(400, 5))
    by = {"jet_pt": [500, 750, 1000], "jet_mass": [30, 100, 250]}
    content = {
        "data": {"train": str(path), "classes": CLASSES, "reweight": {"by": by}},
        "model": {"name": "pfn", "particle_dims": [4], "jet_dims": [4]},
        "training": {"epochs": 1, "batch_size": 100, "device": "cpu"},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    run = train_run(load_config(tmp_path / "config.yaml"), tmp_path / "run")
    kept = json.loads((run / "reweighting.json").read_text())
    assert kept["edges"] == by
    top = kept["classes"]["top"]
    share = np.array(top["after"]) / np.sum(top["after"])
    np.testing.assert_allclose(share, np.outer([0.5, 0.5], [70 / 220, 150 / 220]), rtol=1e-6)
    assert (run / "reweighting.png").read_bytes().startswith(b"\x89PNG")
    log = (run / "train.log").read_text()
    assert f"reweighted by jet_pt and jet_mass: top has {top['num_jets']} jets" in log
    dataset = open_dataset([path], CLASSES).reweighted(ReweightOptions(by=by), ("top", "QCD"))
    weights = np.concatenate([b.jet_weights for b in JetLoader(dataset, 64, shuffle=False)])
    assert weights.mean() == pytest.approx(1, rel=1e-3)


def test_flatten_pt_and_reweight_exclude_each_other(tmp_path):
    with pytest.raises(InputError, match="one of flatten_pt and reweight"):
        toy_config(
            tmp_path, "data.flatten_pt={bins: [1, 2]}", "data.reweight={by: {jet_pt: [1, 2]}}"
        )
