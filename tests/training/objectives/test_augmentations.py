"""What augmentations change of a jet, what they keep, and how far they go."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from parttag.jets import kinematics
from parttag.jets.batch import join_batches, make_batch
from parttag.ops.jet_sums import pt_centroids, sum_jets
from parttag.testing import toy_batch, toy_jets
from parttag.testing.tolerances import FLOAT64_NETWORK
from parttag.training.objectives.augmentations import (
    AugmentationOptions,
    make_views,
    rotate,
    smear_soft,
    split_collinear,
    translate,
)

FUNCTIONS = pytest.mark.parametrize(
    "augment", [rotate, translate, smear_soft, split_collinear], ids=lambda f: f.__name__
)
NONE = {"rotation": 0, "translation": 0, "splitting_passes": 0, "smearing": 0}
LENGTHS = [1, 2, 0, 24, 60, 50, 49]


@pytest.fixture(autouse=True)
def _same_draws():
    torch.manual_seed(0)


def wide_batch(seed=0, lengths=LENGTHS):
    """Return jets in float64 with particles of 0 to 1 GeV of mass, jets being their sums."""
    arrays = toy_jets(seed=seed, lengths=lengths)
    batch = make_batch(arrays).to("cpu", torch.float64)
    mass = torch.linspace(0, 1, len(batch.p4), dtype=torch.float64)
    momentum = batch.p4[:, :3].square().sum(dim=1)
    batch.p4[:, 3] = (momentum + mass.square()).sqrt()
    return sum_jets(batch)


def positions(batch):
    """Return (η, φ) of every particle relative to the centroid of its jet."""
    centre = pt_centroids(batch)[batch.jet_of_particle]
    delta_phi = kinematics.delta_phi(kinematics.phi(batch.p4), centre[:, 1])
    return torch.stack([kinematics.eta(batch.p4) - centre[:, 0], delta_phi], dim=1)


def shifts(batch, other):
    """Return by how much (η, φ) of the particles differ."""
    delta_phi = kinematics.delta_phi(kinematics.phi(other.p4), kinematics.phi(batch.p4))
    return torch.stack([kinematics.eta(other.p4) - kinematics.eta(batch.p4), delta_phi], dim=1)


@FUNCTIONS
def test_jets_stay_the_same_in_number_and_order_and_become_the_sums_of_their_particles(augment):
    batch = wide_batch()
    torch.manual_seed(1)
    changed = augment(batch)
    for name in ("labels", "jet_weights", "index"):
        assert torch.equal(getattr(changed, name), getattr(batch, name))
    assert not torch.equal(changed.p4, batch.p4)
    summed = sum_jets(changed)
    torch.testing.assert_close(changed.jet_p4, summed.jet_p4, **FLOAT64_NETWORK)
    torch.testing.assert_close(changed.jet_axis, summed.jet_axis, **FLOAT64_NETWORK)
    assert changed.offsets.tolist() == [0, *np.cumsum(changed.lengths)]
    assert len(changed.p4) == len(changed.extra) == changed.num_particles


@FUNCTIONS
def test_the_same_random_state_gives_the_same_jets_and_another_others(augment):
    batch = wide_batch()
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(augment(batch).p4)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@FUNCTIONS
@pytest.mark.parametrize("lengths", [[], [0], [0, 3, 0]])
def test_batches_without_particles_and_junk_beyond_the_last_are_allowed(augment, lengths):
    batch = toy_batch(lengths=lengths)
    junk = torch.full((5, 4), torch.nan)
    extra = torch.cat([batch.extra, junk[:, :1].expand(-1, batch.extra.shape[1])])
    changed = augment(replace(batch, p4=torch.cat([batch.p4, junk]), extra=extra))
    assert len(changed) == len(lengths)
    assert changed.p4.isfinite().all()
    assert changed.extra.isfinite().all()
    assert changed.jet_axis.isfinite().all()


@FUNCTIONS
def test_particles_without_transverse_momentum_stay_finite(augment):
    jets = toy_jets(lengths=[12, 1, 1, 9], seed=4)
    beam, rest, nothing = [0, 0, 5, 5], [0, 0, 0, 1], [0, 0, 0, 0]
    jets.p4[9:12] = [beam, rest, nothing]
    jets.p4[12:14] = [beam, nothing]
    jets.p4[20] = [1e-12, 0, -300, 300]
    for _ in range(20):
        changed = augment(make_batch(jets))
        assert changed.p4.isfinite().all()
        assert changed.jet_p4.isfinite().all()
        assert (changed.p4[:, 3] >= 0).all()


@pytest.mark.parametrize("augment", [rotate, translate, smear_soft], ids=lambda f: f.__name__)
def test_particles_keep_their_momentum_transverse_to_the_beam_and_their_mass(augment):
    batch = wide_batch()
    changed = augment(batch)
    torch.testing.assert_close(kinematics.pt(changed.p4), kinematics.pt(batch.p4))
    torch.testing.assert_close(
        kinematics.mass(changed.p4), kinematics.mass(batch.p4), rtol=1e-5, atol=1e-5
    )
    assert torch.equal(changed.extra, batch.extra)


# ---------------------------------------------------------------------------------------- rotation


def test_a_quarter_turn_takes_eta_to_phi(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *size, **kind: torch.full(size, 0.75, **kind))
    batch = wide_batch()
    turned = positions(rotate(batch))
    expected = torch.stack([-positions(batch)[:, 1], positions(batch)[:, 0]], dim=1)
    torch.testing.assert_close(turned, expected, **FLOAT64_NETWORK)


def test_rotations_keep_the_centroid_and_all_distances_and_have_an_angle_a_jet():
    batch = wide_batch(lengths=[20] * 300)
    for strength in (1.0, 0.25):
        turned = rotate(batch, strength)
        torch.testing.assert_close(pt_centroids(turned), pt_centroids(batch), **FLOAT64_NETWORK)
        before, after = (
            torch.view_as_complex(positions(b).contiguous()).view(300, 20) for b in (batch, turned)
        )
        angles = (after / before).angle()
        torch.testing.assert_close((after / before).abs(), torch.ones(300, 20).double())
        torch.testing.assert_close(angles.cos(), angles[:, :1].cos().expand(-1, 20))
        # Uniform in ±strength·π: the standard deviation is that over √3.
        assert angles[:, 0].abs().max() <= strength * np.pi
        assert angles[:, 0].std().item() == pytest.approx(strength * np.pi / 3**0.5, rel=0.1)
        assert abs(angles[:, 0].mean().item()) < 0.2 * strength * np.pi


# ------------------------------------------------------------------------------------- translation


@pytest.mark.parametrize("strength", [1.0, 0.1])
def test_a_translation_moves_all_particles_of_a_jet_alike_up_to_its_extent(strength):
    batch = wide_batch(lengths=[1] + [20] * 300)
    moved = shifts(batch, translate(batch, strength))
    torch.testing.assert_close(moved[0], torch.zeros(2).double(), **FLOAT64_NETWORK)
    moved = moved[1:].view(300, 20, 2)
    torch.testing.assert_close(moved, moved[:, :1].expand(-1, 20, -1), **FLOAT64_NETWORK)
    per_jet = positions(batch)[1:].view(300, 20, 2)
    extent = per_jet.amax(dim=1) - per_jet.amin(dim=1)
    share = moved[:, 0] / (strength * extent)
    assert share.abs().max() <= 1
    assert share.std(dim=0).tolist() == pytest.approx([3**-0.5] * 2, rel=0.1)
    assert share.mean(dim=0).abs().max() < 0.12


def test_no_particle_is_moved_out_on_the_other_side_of_the_azimuth():
    batch = wide_batch(lengths=[6] * 200)
    # Particles at ±2.6 in φ from the centroid: a shift of more than 0.54 would take one past ±π.
    phi = torch.tensor([0.0, 0.0, 0.0, 0.0, 2.6, -2.6], dtype=torch.float64).repeat(200)
    momenta = [phi.cos(), phi.sin(), torch.zeros_like(phi), torch.ones_like(phi)]
    batch = replace(batch, p4=torch.stack(momenta, dim=1))
    moved = shifts(batch, translate(batch, 5.0))
    assert 0.5 < moved[:, 1].abs().max() <= np.pi - 2.6


# ---------------------------------------------------------------------------------------- smearing


def test_a_unit_deviate_moves_a_particle_by_a_tenth_over_its_pt(monkeypatch):
    monkeypatch.setattr(torch, "randn", lambda *size, **kind: torch.ones(size, **kind))
    batch = wide_batch(lengths=[4])
    pt = torch.tensor([50.0, 2.0, 0.1, 0.01], dtype=torch.float64)
    zero = torch.zeros_like(pt)
    batch = replace(batch, p4=torch.stack([pt, zero, zero, pt], dim=1))
    expected = torch.tensor([0.002, 0.05, 1.0, 1.0], dtype=torch.float64)
    for column in shifts(batch, smear_soft(batch)).t():
        torch.testing.assert_close(column, expected)
    for column in shifts(batch, smear_soft(batch, 0.01, min_pt=0.02)).t():
        torch.testing.assert_close(column, torch.tensor([2e-4, 0.005, 0.1, 0.5]).double())


def test_deviates_are_normal_and_independent_of_one_another():
    batch = wide_batch(lengths=[40] * 100)
    moved = shifts(batch, smear_soft(batch)) * kinematics.pt(batch.p4)[:, None] / 0.1
    soft = kinematics.pt(batch.p4) > 1  # far from where φ wraps
    deviates = moved[soft]
    assert deviates.mean(dim=0).abs().max() < 0.1
    assert deviates.std(dim=0).tolist() == pytest.approx([1, 1], rel=0.05)
    assert abs(np.corrcoef(deviates.t().numpy())[0, 1]) < 0.1


# --------------------------------------------------------------------------------------- splitting


def test_jets_are_filled_up_to_a_number_and_each_particle_is_split_once_at_most():
    batch = wide_batch()
    assert LENGTHS == [1, 2, 0, 24, 60, 50, 49]
    changed = split_collinear(batch, 50)
    assert changed.lengths.tolist() == [2, 4, 0, 48, 60, 50, 50]
    unchanged = (batch.span(4, 6).p4, changed.span(4, 6).p4)
    torch.testing.assert_close(*unchanged, rtol=0, atol=0)
    again = split_collinear(changed, 50)
    assert again.lengths.tolist() == [4, 8, 0, 50, 60, 50, 50]


def test_the_shares_of_a_particle_have_its_direction_and_add_up_to_it():
    batch = wide_batch(lengths=[20] * 200)
    changed = split_collinear(batch, 1000)
    torch.testing.assert_close(changed.jet_p4, sum_jets(changed).jet_p4, **FLOAT64_NETWORK)
    # A particle is known by its mass over its energy, which splitting leaves alone.
    before, after = (
        torch.stack([b.p4[:, 3], b.p4[:, 0] / b.p4[:, 3], b.p4[:, 2] / b.p4[:, 3]], dim=1)
        for b in (batch, changed)
    )
    before = before.view(200, 20, 3)
    after = after.view(200, 40, 3)
    same = (before[:, :, None, 1:] - after[:, None, :, 1:]).abs().amax(dim=3) < 1e-9
    assert same.sum(dim=2).eq(2).all()
    shares = torch.where(same, after[:, None, :, 0], 0)
    torch.testing.assert_close(shares.sum(dim=2), before[..., 0], **FLOAT64_NETWORK)
    # The larger of u and 1 − u is uniform in (½, 1).
    larger = (shares.amax(dim=2) / before[..., 0]).flatten()
    assert 0.5 <= larger.min() < 0.51
    assert larger.mean().item() == pytest.approx(0.75, abs=0.01)
    assert larger.std().item() == pytest.approx(0.5 / 12**0.5, rel=0.05)


def test_which_particles_are_split_is_random_where_there_is_no_room_for_all():
    batch = wide_batch(lengths=[10] * 500)
    changed = split_collinear(batch, 14)
    assert set(changed.lengths.tolist()) == {14}
    kept = torch.isclose(batch.p4.view(500, 10, 1, 4), changed.p4.view(500, 1, 14, 4), rtol=1e-12)
    is_whole = kept.all(dim=3).any(dim=2)
    assert is_whole.sum(dim=1).eq(6).all()
    assert is_whole.double().mean(dim=0).tolist() == pytest.approx([0.6] * 10, abs=0.08)


def test_particles_are_in_order_of_falling_pt_again_and_take_their_columns_along():
    batch = wide_batch(lengths=[5, 30, 0, 12])
    batch = replace(batch, extra=(kinematics.eta(batch.p4))[:, None], extra_names=("eta",))
    changed = split_collinear(batch, 1000)
    pt = kinematics.pt(changed.p4)
    inside = changed.jet_of_particle[1:] == changed.jet_of_particle[:-1]
    assert (pt[1:] <= pt[:-1])[inside].all()
    torch.testing.assert_close(changed.extra[:, 0], kinematics.eta(changed.p4), **FLOAT64_NETWORK)


# ------------------------------------------------------------------------------------------- views


def test_with_nothing_asked_for_both_views_are_the_sums_of_the_particles():
    batch = toy_batch(4)
    state = torch.get_rng_state()
    views = make_views(batch, AugmentationOptions(**NONE))
    assert torch.equal(torch.get_rng_state(), state)
    for view in views:
        assert torch.equal(view.p4, batch.p4)
        torch.testing.assert_close(view.jet_p4, sum_jets(batch).jet_p4)


@pytest.mark.parametrize(
    ("option", "changes_first"),
    [
        ({"rotation": 1}, True),
        ({"translation": 1}, True),
        ({"splitting_passes": 1}, False),
        ({"smearing": 0.1}, False),
    ],
)
def test_each_augmentation_is_an_option_and_the_first_view_is_only_rotated_and_moved(
    option, changes_first
):
    batch = wide_batch()
    first, second = make_views(batch, AugmentationOptions(**{**NONE, **option}))
    assert torch.equal(first.p4, batch.p4) != changes_first
    assert len(second.p4) != len(first.p4) or not torch.equal(second.p4, first.p4)


def test_views_keep_the_axis_of_the_jet_if_asked_to():
    batch = toy_batch(8)
    for view in make_views(batch, AugmentationOptions(keep_axis=True)):
        assert torch.equal(view.jet_axis, batch.jet_axis)
        assert not torch.equal(view.jet_p4, batch.jet_p4)
    for view in make_views(batch, AugmentationOptions()):
        torch.testing.assert_close(view.jet_axis, sum_jets(view).jet_axis)
        assert not torch.isclose(view.jet_axis, batch.jet_axis).all()


def test_views_can_be_joined_and_are_of_the_type_of_the_batch():
    for dtype in (torch.float32, torch.float64):
        batch = toy_batch(8).to("cpu", dtype)
        joined = join_batches(make_views(batch, AugmentationOptions()))
        assert len(joined) == 16
        assert joined.p4.dtype == joined.jet_axis.dtype == dtype
