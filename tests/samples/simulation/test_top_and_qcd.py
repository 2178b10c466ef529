import numpy as np
import pytest

from helpers.particles import jets, p4
from parttag.samples.simulation.generator import Decays
from parttag.samples.simulation.toptagging import TopTagging, TopTaggingOptions, select

AXIS = (0.5, 1.0)  # η, φ


def decays(*tops, event=0):
    """Return tops along the axis, each with its quarks at the given (Δη, Δφ) from it."""
    eta, phi = AXIS
    quarks = [np.concatenate([p4(200.0, eta + d, phi + f) for d, f in one]) for one in tops]
    return tops_to(np.array(quarks).reshape(-1, 3, 4), event)


def tops_to(quarks, event=0):
    """Return tops that decayed to these quarks, shape (tops, 3, 4)."""
    return Decays(
        event=np.full(len(quarks), event),
        parent_id=np.full(len(quarks), 6),
        parent=quarks.sum(axis=1),
        product_ids=np.tile([5, 1, -2], (len(quarks), 1)),
        products=quarks,
    )


NO_TOPS = decays()
INSIDE = ((0.3, 0.0), (-0.2, 0.5), (0.0, -0.7))
OUTSIDE = ((0.3, 0.0), (-0.2, 0.5), (0.0, -0.9))


@pytest.mark.parametrize(
    ("pt", "eta", "chosen"),
    [
        (549.9, 0.0, False),
        (550.1, 0.0, True),
        (649.9, 1.99, True),
        (650.1, 0.0, False),
        (600.0, -2.01, False),
    ],
)
def test_jets_are_chosen_by_pt_and_eta(pt, eta, chosen):
    assert len(select(jets(p4(pt, eta, 2.0)), None)) == chosen


@pytest.mark.parametrize(
    ("tops", "chosen"),
    [
        (decays(INSIDE), True),
        (decays(OUTSIDE), False),
        (decays(OUTSIDE, INSIDE), True),
        (decays(INSIDE, event=1), False),
        (NO_TOPS, False),
    ],
)
def test_a_top_jet_holds_a_top_and_its_three_quarks(tops, chosen):
    assert len(select(jets(p4(600.0, *AXIS)), tops)) == chosen


def test_quarks_may_lie_across_the_seam_of_the_azimuth():
    jet = jets(p4(600.0, 0.0, 3.1))
    quarks = np.stack([p4(200.0, 0.0, phi)[0] for phi in (3.0, -3.1, -2.9)])[None]
    assert len(select(jet, tops_to(quarks))) == 1


def test_only_the_200_leading_particles_are_kept():
    jet = jets(p4(np.linspace(3.5, 1.3, 250), 0.0, 0.0))
    chosen = select(jet, None)
    assert chosen.lengths.tolist() == [200]
    assert chosen.p4 == pytest.approx(jet.p4)


def test_the_windows_differ_in_pthat_only():
    study, demonstration = (
        TopTagging(TopTaggingOptions(num_jets=20, windows=name)).channel("label_QCD").settings
        for name in ("study", "demonstration")
    )
    assert "PhaseSpace:pTHatMin=350" in study
    assert "PhaseSpace:pTHatMin=500" in demonstration
    changed = {line.split("=")[0] for line in set(study) ^ set(demonstration)}
    assert changed == {"PhaseSpace:pTHatMin"}
