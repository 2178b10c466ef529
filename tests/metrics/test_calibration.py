"""Reliability and temperatures, against labels that are drawn from scores that are right."""

import math

import numpy as np
import pytest

from parttag.errors import InputError
from parttag.metrics.calibration import (
    Reliability,
    fit_temperature,
    measure_reliability,
    reliability_curve,
)

CLASSES = ("b", "c", "light")


def _jets(number, seed=0, num_classes=3, spread=2.0):
    """Return logits that are right, and labels drawn from them."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=spread, size=(number, num_classes))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (random.uniform(size=(number, 1)) > scores.cumsum(axis=1)).sum(axis=1)
    return logits, labels.clip(max=num_classes - 1)


def test_right_scores_are_as_far_off_as_chance_says():
    """Over many samples, mean and spread of the error are those of ``by_chance``."""
    found = [measure_reliability(*_jets(3000, seed), CLASSES).highest for seed in range(30)]
    values = np.array([curve.error.value for curve in found])
    chance = found[0].by_chance
    assert values.mean() == pytest.approx(chance.value, abs=3 * chance.error / math.sqrt(30))
    assert values.std() == pytest.approx(chance.error, rel=0.35)


def test_error_of_a_known_miscalibration_and_its_error():
    """Scores of 0.9 of which 0.8 are right are 0.1 off, with the binomial error of 0.8."""
    logits = np.tile([math.log(9), 0.0], (1000, 1))
    labels = np.repeat([0, 1], [800, 200])
    curve = measure_reliability(logits, labels, ("top", "QCD")).by_class["top"]
    assert curve.error.value == pytest.approx(0.1)
    assert curve.error.error == pytest.approx(math.sqrt(0.8 * 0.2 / 1000))
    assert curve.by_chance.value == pytest.approx(math.sqrt(0.09 / 1000 * 2 / math.pi))
    assert list(curve.num_jets) == [1000]


def test_error_over_samples_is_its_spread():
    values = []
    for seed in range(30):
        logits, labels = _jets(3000, seed)
        values.append(measure_reliability(3 * logits, labels, CLASSES).highest.error)
    spread = np.std([v.value for v in values])
    assert np.mean([v.error for v in values]) == pytest.approx(spread, rel=0.3)


def test_weights_count_as_jets_do():
    logits, labels = _jets(400)
    twice = measure_reliability(
        np.repeat(logits, 2, axis=0), np.repeat(labels, 2), CLASSES
    ).highest.error.value
    weighted = measure_reliability(logits, labels, CLASSES, np.full(400, 2.0)).highest.error.value
    once = measure_reliability(logits, labels, CLASSES).highest.error.value
    assert weighted == pytest.approx(once)
    assert twice != once  # more bins can be filled


def test_jets_are_weighted_to_the_fractions_that_scores_are_for():
    """Logits that are right for other fractions are right only at those."""
    logits, labels = _jets(60_000, num_classes=2)
    now = np.bincount(labels) / len(labels)
    priors = {"top": 0.05, "QCD": 0.95}
    shifted = logits + np.log(np.array(list(priors.values())) / now)
    right = measure_reliability(shifted, labels, ("top", "QCD"), priors=priors)
    wrong = measure_reliability(shifted, labels, ("top", "QCD"))
    assert right.fractions == pytest.approx(priors)
    assert right.by_class["top"].error.value < 0.01
    assert wrong.by_class["top"].error.value > 0.2


def test_bins_hold_equally_many_jets():
    logits, labels = _jets(3000)
    curve = measure_reliability(logits, labels, CLASSES).highest
    assert len(curve.score) == 15
    assert list(curve.num_jets) == pytest.approx([200] * 15, abs=1)
    assert (np.diff(curve.score) > 0).all()


def test_few_jets_say_nothing():
    found = measure_reliability(*_jets(19), CLASSES)
    assert math.isnan(found.highest.error.value)
    assert "too few jets" in found.sentence()


def test_json_keeps_it():
    found = measure_reliability(*_jets(500), CLASSES, calibration="T=2")
    back = Reliability.from_json(found.to_json())
    assert back.to_json() == found.to_json()
    assert back.calibration == "T=2"


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_temperature_is_found_within_its_error(temperature):
    pulls = []
    for seed in range(25):
        logits, labels = _jets(500, seed)
        fitted = fit_temperature(temperature * logits, labels)
        pulls.append((fitted.value - temperature) / fitted.error)
    assert abs(np.mean(pulls)) < 0.6
    assert 0.7 < np.std(pulls) < 1.3


def test_temperature_has_the_least_cross_entropy():
    logits, labels = _jets(800)
    weights = np.random.default_rng(1).uniform(0.2, 2, 800)
    best = fit_temperature(2.5 * logits, labels, weights).value

    def loss(temperature):
        z = 2.5 * logits / temperature
        return weights @ (np.log(np.exp(z).sum(axis=1)) - z[np.arange(800), labels])

    assert loss(best) < min(loss(0.999 * best), loss(1.001 * best))


def test_no_temperature():
    logits, _ = _jets(200)
    with pytest.raises(InputError, match="takes none of them for another class; give more jets"):
        fit_temperature(logits, logits.argmax(axis=1))
    with pytest.raises(InputError, match="they do not go with the classes"):
        fit_temperature(logits, logits.argmin(axis=1))


def test_negative_weights_take_jets_away():
    """Pairs of opposite weight change no share, and add to its error."""
    scores = np.full(1200, 0.9)
    is_right = np.repeat([True, False, True], [800, 200, 200])
    weights = np.repeat([1.0, 1.0, 1.0, -1.0], [800, 200, 100, 100])
    curve = reliability_curve(scores, is_right, weights)
    assert curve.share == pytest.approx([0.8])
    assert curve.error.value == pytest.approx(0.1)
    plain = reliability_curve(scores[:1000], is_right[:1000], weights[:1000])
    assert curve.error.error > plain.error.error
    assert len(reliability_curve(scores, is_right, -weights).score) == 0
