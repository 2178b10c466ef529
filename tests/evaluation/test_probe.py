"""Linear probes of what networks make of jets."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.optimize import minimize
from torch import nn

from helpers.files import write_toptagging_h5
from parttag.data.loading.dataset import open_dataset
from parttag.errors import InputError
from parttag.evaluation.evaluate import evaluate_run
from parttag.evaluation.logistic_regression import STRENGTHS
from parttag.evaluation.probe import (
    LabeledJets,
    RawInputs,
    check_probe_target,
    fit_probe,
    probe_run,
)
from parttag.evaluation.scorer import Scorer
from parttag.jets.batch import make_batch
from parttag.jets.features import feature_names, particle_features
from parttag.testing import toy_batch, toy_jets
from parttag.training.objectives.objective import ObjectiveOptions


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    monkeypatch.setattr(Figure, "savefig", lambda _, target, **_kwargs: target.write(b"PNG"))


@pytest.fixture
def unlabeled(run):
    """The run as one of an objective without classes leaves it."""

    class Options(ObjectiveOptions):
        name: str = "contrastive"

    data = run.config.data.model_copy(update={"classes": {}})
    config = run.config.model_copy(update={"data": data, "objective": Options()})
    run.model.head = nn.Bilinear(8, 8, 3)
    return replace(run, config=config, classes=())


def penalized_fit(values, labels, weights, strength):
    """Restate logistic regression: sum of weighted losses times C, half the squared weights."""
    sign = 2 * labels - 1.0

    def loss(parameters):
        margin = sign * (values @ parameters[:-1] + parameters[-1])
        losses = np.logaddexp(0, -margin)
        slope = -strength * weights * sign / (1 + np.exp(margin))
        gradient = np.append(slope @ values + parameters[:-1], slope.sum())
        return strength * (weights * losses).sum() + 0.5 * (parameters[:-1] ** 2).sum(), gradient

    start = np.zeros(values.shape[1] + 1)
    return minimize(loss, start, jac=True, tol=1e-12).x


def overlapping(number=300, seed=2):
    """Return inputs of two overlapping classes, labels and weights; one input is constant."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, number)
    inputs = rng.normal(size=(number, 3)) * [5, 1, 0] + labels[:, None] * [3.0, 0.2, 0] + [1, 9, 4]
    return inputs.astype(np.float32), labels, rng.uniform(0.5, 2, number).astype(np.float32)


def test_the_probe_is_the_penalized_fit_of_standardized_inputs():
    inputs, labels, weights = overlapping()
    probe, strength = fit_probe(inputs, labels, ("a", "b"), weights)
    assert strength in STRENGTHS
    spread = np.where(inputs.std(axis=0) > 0, inputs.std(axis=0), 1)
    values = (inputs - inputs.mean(axis=0)) / spread
    expected = penalized_fit(values, labels, weights, strength)
    with torch.no_grad():
        logits = probe(torch.from_numpy(inputs)).numpy()
    odds = values @ expected[:-1] + expected[-1]
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], odds, atol=0.01)
    np.testing.assert_allclose(logits.sum(axis=1), 0, atol=1e-5)


def test_the_strength_is_the_best_on_jets_held_back():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(600, 100)).astype(np.float32)
    labels = np.arange(600) % 2
    same = np.ones(600, dtype=np.float32)
    # Where there is nothing to learn, the strongest penalty loses least; where all is clear, none.
    assert fit_probe(noise, labels, ("a", "b"), same)[1] == min(STRENGTHS)
    clear = (noise + 50 * labels[:, None]).astype(np.float32)
    assert fit_probe(clear, labels, ("a", "b"), same)[1] == max(STRENGTHS)


def test_several_classes_have_a_logit_each():
    rng = np.random.default_rng(1)
    labels = np.arange(90) % 3
    corners = np.array([[0, 4], [4, 0], [-4, -4]])
    inputs = (corners[labels] + rng.normal(size=(90, 2))).astype(np.float32)
    probe, _ = fit_probe(inputs, labels, ("a", "b", "c"), np.ones(90, dtype=np.float32))
    right = probe(torch.from_numpy(inputs)).argmax(dim=1).numpy() == labels
    assert right.mean() > 0.95


def test_too_few_jets_of_a_class_are_refused():
    inputs, _, weights = overlapping(20)
    labels = np.array([0] * 17 + [1] * 3)
    with pytest.raises(InputError, match="there are 3 jets of class b among 20, too few"):
        fit_probe(inputs, labels, ("a", "b"), weights)


def test_a_probe_of_any_run_is_measured_as_a_tagger(unlabeled, tmp_path):
    classes = {"top": ("label_top",), "QCD": ("label_QCD",)}
    before = {name: value.clone() for name, value in unlabeled.model.state_dict().items()}
    labeled = LabeledJets(classes=classes, most=50)
    result = probe_run(unlabeled, "linear", labeled)
    result.save(tmp_path / "one")
    content = json.loads((tmp_path / "one" / "metrics.json").read_text())
    assert content == result.to_json()
    assert list(content["probe"]) == ["of", "num_jets", "data", "width", "C"]
    assert result.probe.of == "linear"
    assert (result.probe.num_jets, result.probe.width) == (50, 8)
    assert result.num_jets == {"top": 40, "QCD": 40}
    assert set(result.rejection["top"]) == {0.5, 0.3}
    assert (tmp_path / "one" / "scores.h5").is_file()
    assert not (tmp_path / "one" / "training.png").exists()
    # Nothing is random, and the network is left as it was, whatever its head asks for.
    assert probe_run(unlabeled, "linear", labeled).to_json() == content
    assert all(torch.equal(before[name], v) for name, v in unlabeled.model.state_dict().items())
    with pytest.raises(InputError, match=r"scores\.h5 exists already"):
        check_probe_target(unlabeled, "linear", labeled, tmp_path / "one")
    check_probe_target(unlabeled, "linear", labeled, tmp_path / "two")


def test_a_probe_of_the_trained_network_is_about_as_good_as_its_head(run):
    result = probe_run(run)
    assert result.auc.value > evaluate_run(run).auc.value - 0.05
    assert result.auc.value > 0.7


def test_the_comparisons_are_raw_inputs_and_an_untrained_network(run):
    widths = {}
    for kind in ("raw", "untrained"):
        result = probe_run(run, kind)
        widths[kind] = result.probe.width
        assert result.auc.value > 0.5
    assert widths == {"raw": 20 * 7, "untrained": 8}
    assert probe_run(run, "untrained").loss == result.loss
    assert probe_run(run).loss != result.loss


def test_an_untrained_network_keeps_what_was_never_trained(run):
    from parttag.evaluation.probe import _untrained

    run.model.backbone[0].requires_grad_(False)
    fresh = _untrained(run).backbone
    assert torch.equal(fresh[0].weight, run.model.backbone[0].weight)
    assert not torch.equal(fresh[2].weight, run.model.backbone[2].weight)


def test_raw_inputs_are_the_features_of_the_hardest_particles():
    batch = toy_batch(lengths=[3, 25])
    network = RawInputs(feature_names("kin"))
    raw = network.encode(make_batch(toy_jets(lengths=[3, 25]), max_particles=20))
    features = particle_features(batch, "kin")
    assert raw.shape == (2, 140)
    torch.testing.assert_close(raw[0, :21], features[:3].flatten())
    assert not raw[0, 21:].any()
    torch.testing.assert_close(raw[1], features[3:23].flatten())


def test_a_probe_needs_labels_and_jets(unlabeled, run):
    with pytest.raises(
        InputError, match=r"has no data\.classes; say which labels .* classes, such"
    ):
        probe_run(unlabeled)
    data = run.config.data.model_copy(update={"train": ()})
    bare = replace(run, config=run.config.model_copy(update={"data": data}))
    with pytest.raises(InputError, match=r"has no data\.train; name the jets .* train"):
        probe_run(bare)
    spoiled = replace(run)
    spoiled.model.backbone[0].bias.data[:] = torch.nan
    with pytest.raises(InputError, match="is not a finite number; its weights are spoiled"):
        probe_run(spoiled)
    data = run.config.data.model_copy(update={"test": ()})
    untested = replace(spoiled, config=run.config.model_copy(update={"data": data}))
    # Before anything is computed: the weights are still spoiled.
    with pytest.raises(InputError, match=rf"{run.directory}: .* no data\.test; .* data"):
        probe_run(untested)


def test_the_probe_is_fitted_to_the_jets_that_the_run_was_trained_on_or_to_others(run, tmp_path):
    data = run.config.data.model_copy(update={"num_train_jets": 30})
    few = replace(run, config=run.config.model_copy(update={"data": data}))
    assert probe_run(few).probe.num_jets == 30
    other = write_toptagging_h5(tmp_path / "other.h5", toy_jets(44, seed=9))
    result = probe_run(few, labeled=LabeledJets([other]))
    assert result.probe.num_jets == 44
    assert result.probe.data == (str(other),)
    classes = {"top": ["label_top"], "QCD": ["label_QCD"]}
    assert len(open_dataset(run.config.data.train, classes)) == 60


def test_a_run_without_classes_gives_no_scores_and_says_what_to_do(unlabeled):
    with pytest.raises(InputError, match="objective contrastive, which gives jets no scores"):
        Scorer.of_run(unlabeled, labels_required=True)
