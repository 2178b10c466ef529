"""Particle features against a NumPy restatement, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from parttag.errors import InputError
from parttag.jets.batch import make_batch
from parttag.jets.features import (
    EXTRA_NAMES,
    FEATURE_SETS,
    feature_names,
    particle_features,
    required_extras,
)
from parttag.testing import toy_batch, toy_jets
from parttag.testing.tolerances import FLOAT32_FEATURE


def restated(jets, names):
    """Return the features in NumPy float64, from the published table written out again."""
    p4, jet = jets.p4.astype(np.float64), np.repeat(np.arange(len(jets)), jets.lengths)
    extra = dict(zip(jets.extra_names, jets.extra.T.astype(np.float64), strict=True))
    pt, energy = np.hypot(p4[:, 0], p4[:, 1]), p4[:, 3]
    jet_p4 = jets.jet_p4.astype(np.float64)[jet]
    jet_pt = np.hypot(jet_p4[:, 0], jet_p4[:, 1])
    sign = np.where(jet_p4[:, 2] < 0, -1, 1)
    delta_eta = (np.arcsinh(p4[:, 2] / pt) - jets.jet_axis[jet, 0]) * sign
    delta_phi = np.arctan2(p4[:, 1], p4[:, 0]) - jets.jet_axis[jet, 1]
    delta_phi = (delta_phi + np.pi) % (2 * np.pi) - np.pi

    def clip(value):
        return np.clip(value, -5, 5)

    columns = {
        "log_pt": clip((np.log(pt) - 1.7) * 0.7),
        "log_energy": clip((np.log(energy) - 2.0) * 0.7),
        "log_pt_rel": clip((np.log(pt / jet_pt) + 4.7) * 0.7),
        "log_energy_rel": clip((np.log(energy / jet_p4[:, 3]) + 4.7) * 0.7),
        "delta_r": clip((np.hypot(delta_eta, delta_phi) - 0.2) * 4),
        "delta_eta": delta_eta,
        "delta_phi": delta_phi,
        **{name: extra[name] for name in EXTRA_NAMES[:6]},
        "tanh_d0": np.tanh(extra["d0"]),
        "d0_error": np.clip(extra["d0_error"], 0, 1),
        "tanh_dz": np.tanh(extra["dz"]),
        "dz_error": np.clip(extra["dz_error"], 0, 1),
    }
    return np.stack([columns[name] for name in names], axis=1)


@pytest.mark.parametrize(("features", "count"), [("kin", 7), ("kinpid", 13), ("full", 17)])
def test_sets_are_the_published_ones(features, count):
    jets = toy_jets(30, seed=1)
    values = particle_features(make_batch(jets), features)
    assert values.shape == (len(jets.p4), count)
    expected = torch.from_numpy(restated(jets, FEATURE_SETS[features])).float()
    torch.testing.assert_close(values, expected, **FLOAT32_FEATURE)


def test_sets_begin_with_momenta_and_end_with_angles():
    for names in FEATURE_SETS.values():
        assert names[:5] == ("log_pt", "log_energy", "log_pt_rel", "log_energy_rel", "delta_r")
        assert names[-2:] == ("delta_eta", "delta_phi")


def test_a_list_of_features_keeps_its_order():
    batch = toy_batch(5)
    both = particle_features(batch, ["delta_phi", "log_pt"])
    full = particle_features(batch, "kin")
    assert torch.equal(both, full[:, [6, 0]])


def test_angles_are_mirrored_for_jets_of_negative_eta():
    jets = toy_jets(1, seed=3)
    mirror = np.array([1, 1, -1, 1], dtype=np.float32)
    mirrored = replace(
        jets,
        p4=jets.p4 * mirror,
        jet_p4=jets.jet_p4 * mirror,
        jet_axis=jets.jet_axis * np.array([-1, 1], dtype=np.float32),
    )
    torch.testing.assert_close(
        particle_features(make_batch(mirrored), "kin"),
        particle_features(make_batch(jets), "kin"),
        **FLOAT32_FEATURE,
    )


def test_rows_beyond_the_last_particle_are_zero():
    batch = toy_batch(4)
    junk = torch.full((3, 4), torch.nan)
    longer = replace(
        batch,
        p4=torch.cat([batch.p4, junk]),
        extra=torch.cat([batch.extra, junk[:, :1].expand(3, batch.extra.shape[1])]),
    )
    values = particle_features(longer, "full")
    # The last bit of a vectorized arctangent depends on the number of rows.
    torch.testing.assert_close(values[:-3], particle_features(batch, "full"), **FLOAT32_FEATURE)
    assert torch.equal(values[-3:], torch.zeros(3, 17))


def test_particles_of_no_momentum_have_finite_features():
    jets = toy_jets(lengths=[4])
    null = replace(jets, p4=np.concatenate([jets.p4[:-1], np.zeros((1, 4), dtype=np.float32)]))
    assert particle_features(make_batch(null), "kin").isfinite().all()


def test_columns_that_are_not_numbers_count_as_zero():
    jets = toy_jets(lengths=[3])
    d0 = jets.extra_names.index("d0")
    jets.extra[:, d0] = [np.nan, np.inf, -np.inf]
    values = particle_features(make_batch(jets), ["tanh_d0", "log_pt"])
    assert values[:, 0].tolist() == [0.0, 0.0, 0.0]


def test_an_unknown_set_is_refused_by_name():
    with pytest.raises(InputError, match="no set 'all'; choose one of kin, kinpid, full"):
        feature_names("all")


def test_an_unknown_feature_is_refused_by_name():
    with pytest.raises(InputError, match="no feature 'pt'"):
        feature_names(["log_pt", "pt"])


def test_a_missing_column_is_refused_by_name():
    batch = make_batch(toy_jets(3, extra_names=("charge",)))
    with pytest.raises(InputError, match=r"needs the particle column is_charged_hadron.*charge"):
        particle_features(batch, "kinpid")
    with pytest.raises(InputError, match="four-momenta only"):
        particle_features(make_batch(toy_jets(3, extra_names=())), "full")


def test_required_extras_are_the_columns_that_features_read():
    assert required_extras("kin") == ()
    assert required_extras("full") == EXTRA_NAMES
    assert required_extras(["tanh_dz", "log_pt"]) == ("dz",)


def test_raw_features_are_those_before_standardization_without_the_sign_of_eta():
    jets = toy_jets(30, seed=1)
    jets = replace(jets, jet_p4=jets.jet_p4 * np.float32([1, 1, -1, 1]))  # every jet's sign flips
    names = ("log_pt", "delta_r", "delta_eta", "d0_error")
    raw = particle_features(make_batch(jets), names, raw=True)
    pt = np.hypot(*jets.p4[:, :2].T)
    jet = np.repeat(np.arange(len(jets)), jets.lengths)
    delta_eta = np.arcsinh(jets.p4[:, 2] / pt) - jets.jet_axis[jet, 0]
    torch.testing.assert_close(raw[:, 0], torch.from_numpy(np.log(pt)), **FLOAT32_FEATURE)
    torch.testing.assert_close(raw[:, 2], torch.from_numpy(delta_eta), **FLOAT32_FEATURE)
    standardized = particle_features(make_batch(jets), names)
    torch.testing.assert_close(
        standardized[:, 1], ((raw[:, 1] - 0.2) * 4).clamp(-5, 5), **FLOAT32_FEATURE
    )
    column = jets.extra_names.index("d0_error")
    assert torch.equal(raw[:, 3], torch.from_numpy(jets.extra[:, column]))
