import numpy as np
import pytest
from scipy.stats import ks_2samp, wasserstein_distance

from parttag.errors import InputError
from parttag.inspection.compare import auc_by_chance, compare, discriminating_auc, distance
from parttag.inspection.inspect import NO_LABEL, JetSample
from parttag.jets.variables import JET_VARIABLES


def sample(number: int, shift: float = 0.0, seed: int = 0, labels=("label_top",)) -> JetSample:
    """Return jets whose variables are all Gaussian, the second one shifted."""
    rng = np.random.default_rng(seed)
    variables = rng.normal(size=(number, len(JET_VARIABLES)))
    variables[:, 1] += shift
    return JetSample(variables, tuple(labels), np.arange(number) % len(labels), np.ones(number))


def test_distances_are_those_of_scipy():
    rng = np.random.default_rng(0)
    values, reference = rng.normal(0.3, 1, 80), np.round(rng.normal(0, 2, 120), 1)
    weights, reference_weights = rng.uniform(0, 2, 80), rng.uniform(0, 2, 120)
    equal = distance("x", values, reference, np.ones(80), np.ones(120))
    assert equal.kolmogorov_smirnov == pytest.approx(ks_2samp(values, reference).statistic)
    found = distance("x", values, reference, weights, reference_weights)
    moved = wasserstein_distance(values, reference, weights, reference_weights)
    mean = np.average(reference, weights=reference_weights)
    spread = np.sqrt(np.average((reference - mean) ** 2, weights=reference_weights))
    assert found.wasserstein == pytest.approx(moved / spread)
    assert found.reference_mean == pytest.approx(mean)
    assert found.mean == pytest.approx(np.average(values, weights=weights))


def test_a_shift_by_a_standard_deviation_is_a_distance_of_one():
    reference = np.random.default_rng(0).normal(5, 3, 1000)
    values = reference + reference.std()
    found = distance("x", values, reference, np.ones(1000), np.ones(1000))
    assert found.wasserstein == pytest.approx(1)


def test_constants_are_equal_or_infinitely_far():
    ones = np.ones(5)
    same = distance("x", ones, ones, ones, ones)
    assert (same.kolmogorov_smirnov, same.wasserstein) == (0, 0)
    other = distance("x", 2 * ones, ones, ones, ones)
    assert (other.kolmogorov_smirnov, other.wasserstein) == (1, np.inf)


def test_samples_of_one_kind_cannot_be_told_apart_and_others_can():
    alike = discriminating_auc(sample(500), sample(400, seed=1))
    assert abs(alike.value - 0.5) < 4 * alike.error
    # Gaussians two apart: AUC Φ(√2) = 0.921, which trees on few jets nearly reach.
    shifted = discriminating_auc(sample(500, shift=2), sample(500, seed=1))
    assert 0.87 < shifted.value < 0.94
    assert 0.004 < shifted.error < 0.016


def test_the_chance_level_of_the_auc_holds_samples_of_one_kind():
    # Labels are mixed, so that a shift does not move it.
    few = auc_by_chance(sample(80, shift=3), sample(100, seed=1))
    # Of ranks alone 0.046 (Mann and Whitney); the folds' classifiers are not quite one.
    assert abs(few.value - 0.5) < 0.05
    assert 0.03 < few.error < 0.09
    found = discriminating_auc(sample(80, shift=3), sample(100, seed=1))
    assert found.value > few.value + 4 * few.error
    many = auc_by_chance(sample(1500), sample(1200, seed=1))
    assert (many.value, many.error) == (0.5, pytest.approx((2401 / (12 * 1200**2)) ** 0.5))


def test_jets_are_compared_label_by_label():
    ours = sample(60, shift=3, labels=("label_top", "label_QCD", NO_LABEL))
    theirs = sample(90, seed=1, labels=("label_QCD", "label_top", NO_LABEL))
    found = compare(ours, theirs)
    assert [(c.label, c.num_jets, c.num_reference) for c in found] == [
        ("label_top", 20, 30),
        ("label_QCD", 20, 30),
    ]
    by_name = {d.name: d for d in found[0].distances}
    assert list(by_name) == [variable.name for variable in JET_VARIABLES]
    assert by_name[JET_VARIABLES[1].name].kolmogorov_smirnov > 0.7


def test_samples_that_share_no_label_are_compared_as_a_whole():
    found = compare(sample(30, labels=("label_top",)), sample(40, labels=("label_Tbqq",)))
    assert [(c.label, c.num_jets, c.num_reference) for c in found] == [("all jets", 30, 40)]


def test_weights_can_make_samples_alike():
    """Half the jets of one sample are shifted; without their weight it is the reference."""
    mixed = sample(400, seed=1)
    mixed.variables[::2, 1] += 4
    mixed.jet_weights[::2] = 0
    plain = sample(200, seed=2)
    found = compare(mixed, plain)[0]
    assert found.distances[1].wasserstein < 0.3
    assert abs(found.auc.value - 0.5) < 4 * found.auc.error


def test_too_few_jets_are_refused():
    with pytest.raises(InputError, match=r"label_top: there are 9 and 50 good jets .* at least 10"):
        compare(sample(9), sample(50))
