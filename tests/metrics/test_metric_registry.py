"""Metrics that others add."""

import numpy as np
import pytest

from helpers.logits import gaussian_jets
from parttag import metrics
from parttag.errors import InputError
from parttag.metrics import METRICS, EvaluationOptions, register_metric


@pytest.fixture
def signal_weight():
    """A metric of a plug-in, for one test."""

    @register_metric("signal_weight")
    def signal_weight(logits, labels, jet_weights, classes, options):
        assert logits.shape == (len(labels), len(classes))
        assert isinstance(options, EvaluationOptions)
        return float(jet_weights[labels == 0].sum())

    yield signal_weight
    METRICS._entries.pop("signal_weight")


def test_a_metric_of_ones_own_is_measured_if_asked_for(signal_weight):
    logits, labels = gaussian_jets(100, 1.0)
    classes, weights = ("top", "QCD"), np.full(100, 0.5)
    options = EvaluationOptions(metrics=["accuracy", "signal_weight"])
    found = metrics.measure(logits, labels, classes, weights, options)
    expected = 0.5 * (labels == 0).sum()
    assert found.extra["signal_weight"].value == expected
    content = found.to_json()["extra"]
    assert content == {"signal_weight": {"value": expected, "error": None}}
    assert "signal_weight" in repr(found)
    assert metrics.measure(logits, labels, classes, weights).extra == {}


def test_a_metric_that_is_not_there_is_refused_with_the_nearest(signal_weight):
    options = EvaluationOptions(metrics=["signal_wait"])
    with pytest.raises(InputError, match="'signal_wait'; the nearest known one is signal_weight"):
        metrics.check_options(("top", "QCD"), options)


def test_names_of_parttag_and_names_that_are_taken_are_refused(signal_weight):
    with pytest.raises(InputError, match="parttag has a metric of the name auc itself"):
        register_metric("auc")
    with pytest.raises(InputError, match="there is a metric of the name signal_weight already"):
        register_metric("signal_weight")(lambda *_: 0.0)
