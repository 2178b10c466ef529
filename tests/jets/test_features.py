"""Particle features against a NumPy restatement, and what is refused."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from parttag.errors import InputError
from parttag.jets import kinematics
from parttag.jets.arrays import EXTRA_NAMES
from parttag.jets.batch import make_batch
from parttag.jets.feature_lists import required_extras
from parttag.jets.features import (
    FEATURE_SETS,
    FEATURES,
    FeatureContext,
    feature_names,
    particle_features,
    register_feature,
)
from parttag.runs.config import build_config
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


def test_a_column_alone_needs_no_kinematics(monkeypatch):
    def never(*_):
        raise AssertionError("not asked for")

    jets = toy_jets(5)
    for name in ("pt", "eta", "phi", "delta_phi"):
        monkeypatch.setattr(kinematics, name, never)
    values = particle_features(make_batch(jets), ["charge"])
    assert torch.equal(values[:, 0], torch.from_numpy(jets["charge"].copy()))
    with pytest.raises(AssertionError, match="not asked for"):
        particle_features(make_batch(jets), ["log_pt"])


def test_what_features_share_is_computed_once(monkeypatch):
    calls = []
    particles = FeatureContext(toy_batch(5))
    for name in ("eta", "phi"):
        exact = getattr(kinematics, name)
        monkeypatch.setattr(kinematics, name, lambda p4, f=exact, n=name: calls.append(n) or f(p4))
    particles.table("kin")
    particles.table(["delta_eta", "delta_phi"])
    assert sorted(calls) == ["eta", "phi"]


@pytest.fixture
def registered():
    """Names that are forgotten after the test."""
    names: list[str] = []
    yield names
    for name in names:
        FEATURES._entries.pop(name)
        FEATURES._definitions.pop(name)


def test_a_feature_of_ones_own_is_one_like_the_others(registered):
    @register_feature("d0_significance", centre=1.0, scale=2.0, clip=(-3.0, 3.0), requires=["d0"])
    def significance(particles):
        return particles.extra("d0") / 0.5 + 0 * particles.pt

    registered.append("d0_significance")
    jets = toy_jets(10)
    names = ["log_pt", "d0_significance"]
    own = particle_features(make_batch(jets), names)
    expected = np.clip((jets["d0"] / np.float32(0.5) - 1) * 2, -3, 3)
    torch.testing.assert_close(own[:, 1], torch.from_numpy(expected), **FLOAT32_FEATURE)
    assert torch.equal(own[:, 0], particle_features(make_batch(jets), ["log_pt"])[:, 0])
    raw = particle_features(make_batch(jets), names, raw=True)
    torch.testing.assert_close(raw[:, 1], torch.from_numpy(jets["d0"] / np.float32(0.5)))
    assert required_extras(names) == ("d0",)
    with pytest.raises(InputError, match="d0_significance needs the particle column d0, which"):
        particle_features(make_batch(toy_jets(3, extra_names=())), names)
    with pytest.raises(InputError, match="there is a feature of the name d0_significance already"):
        register_feature("d0_significance")(lambda particles: particles.pt)


def test_a_function_that_is_defined_anew_takes_its_own_place(registered):
    """As when a cell of a notebook is run again."""
    registered.append("twice")
    for factor in (2, 3):

        @register_feature("twice", clip=None)
        def twice(particles, factor=factor):
            return factor * particles.pt

    batch = toy_batch(3)
    values = particle_features(batch, ["twice"])[:, 0]
    torch.testing.assert_close(values, 3 * FeatureContext(batch).pt)


def test_features_are_parttags_own_unless_a_plugin_brings_them():
    assert {FEATURES.plugin_of(name) for name in FEATURE_SETS["full"]} == {None}


def test_a_column_that_a_feature_does_not_name_is_refused_where_it_is_read(registered):
    register_feature("careless")(lambda particles: particles.extra("d0"))
    registered.append("careless")
    with pytest.raises(InputError, match=r"no particle column d0 .*names it in requires"):
        particle_features(make_batch(toy_jets(3, extra_names=("charge",))), ["careless"])


def test_configurations_know_registered_features_and_name_the_nearest(registered):
    def config(*features):
        return CONFIG | {"features": list(features)}

    register_feature("log_mass")(lambda particles: particles.pt)
    registered.append("log_mass")
    assert build_config(config("log_pt", "log_mass")).features == ("log_pt", "log_mass")
    with pytest.raises(InputError, match=r"no feature 'log_maas'; the nearest .* is log_mass"):
        feature_names(["log_pt", "log_maas"])
    # In a configuration it is a branch, which files have or not.
    wanted = build_config(config("log_pt", "log_maas")).wanted_columns
    assert wanted.particles == ("log_maas",)
    assert "log_mass" in wanted.known


CONFIG = {
    "data": {"classes": {"top": ["label_top"], "QCD": ["label_QCD"]}},
    "model": {"name": "pfn"},
}

COMPILE = """
import torch
from parttag.testing import toy_batch
from helpers.networks import small_network
from parttag.jets.features import register_feature

@register_feature("own", requires=["d0"])
def own(particles):
    return particles.extra("d0") + particles.eta

losses = []
for compiled in (False, True):
    torch.manual_seed(0)
    network = small_network("pfn", features=["log_pt", "delta_r", "charge", "own"]).train()
    if compiled:
        network.compile(backend="eager", dynamic=True)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for seed in range(3):
        batch = toy_batch(20 + seed, seed)
        loss = torch.nn.functional.cross_entropy(network(batch), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
assert losses[:3] == losses[3:], losses
print(len(set(losses)))
"""


@pytest.mark.slow
def test_a_compiled_network_sees_the_same_features():
    # In a process of its own: the checks of shapes in these tests cannot be traced.
    result = subprocess.run(
        [sys.executable, "-c", COMPILE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == "3", result.stderr
    assert "parttag" not in result.stderr  # nothing of ours makes the compiler warn
