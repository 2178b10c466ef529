from dataclasses import replace

import numpy as np
import pytest

from parttag.jets.arrays import JetArrays
from parttag.jets.variables import JET_VARIABLES, jet_variables
from parttag.testing import toy_jets

NAMES = [variable.name for variable in JET_VARIABLES]


def jet_of(pt: list[float], delta_eta: list[float], delta_phi: list[float]) -> JetArrays:
    """Return one jet about the axis (0.5, 3.0), which φ crosses ±π near."""
    pt_, eta, phi = np.array(pt), 0.5 + np.array(delta_eta), 3.0 + np.array(delta_phi)
    p4 = np.stack(
        [pt_ * np.cos(phi), pt_ * np.sin(phi), pt_ * np.sinh(eta), pt_ * np.cosh(eta)], axis=1
    )
    return replace(
        toy_jets(lengths=[len(pt)], extra_names=()),
        p4=p4.astype(np.float32),
        jet_p4=np.array([[30, 40, 0, 130]], dtype=np.float32),
        jet_axis=np.array([[0.5, 3.0]], dtype=np.float32),
    )


def variables(jets: JetArrays) -> dict[str, float]:
    return dict(zip(NAMES, jet_variables(jets)[0], strict=True))


def test_three_particles_give_the_numbers_worked_out_by_hand():
    found = variables(jet_of([62, 30, 8], [0.0, 0.16, -0.36], [0.0, 0.0, 0.0]))
    expected = {
        "num_particles": 3,
        "pt": 50,
        "mass": 120,
        "abs_eta": 0,
        "les_houches": 0.3 * 0.4 + 0.08 * 0.6,
        "width": 0.3 * 0.16 + 0.08 * 0.36,
        "thrust": 0.3 * 0.16**2 + 0.08 * 0.36**2,
        # Mean Δη = 0.0192; all on a line, so that there is no minor axis.
        "major_axis": np.sqrt(0.3 * 0.16**2 + 0.08 * 0.36**2 - 0.0192**2),
        "roundness": 0,
        "pt_d": np.sqrt(0.62**2 + 0.3**2 + 0.08**2),
        "leading_share": 0.62,
        "leading5_share": 1,
        "leading20_share": 1,
        "core_share": 0.62,
        "num_to_90": 2,
        "softest_pt": 8,
    }
    assert list(found) == NAMES
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


def test_a_cross_is_round_and_azimuth_is_wrapped():
    arm = 0.3  # φ = 3.0 + 0.3 lies beyond π
    found = variables(jet_of([25] * 4, [arm, -arm, 0, 0], [0, 0, arm, -arm]))
    assert found["roundness"] == pytest.approx(1, rel=1e-3)
    assert found["major_axis"] == pytest.approx(arm / np.sqrt(2), rel=1e-4)
    assert found["width"] == pytest.approx(arm, rel=1e-4)


def test_jets_do_not_mix_and_order_does_not_matter():
    jets = toy_jets(20)
    together = jet_variables(jets)
    for row in (0, 7, 19):
        alone = jet_variables(jets.take(np.array([row])))
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-9, atol=1e-12)


def test_variables_do_not_change_when_a_jet_is_turned_about_the_beam():
    def turned(p4: np.ndarray, angle: float) -> np.ndarray:
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        return (p4 @ turn.T).astype(np.float32)

    jets = toy_jets(20)
    other = replace(
        jets,
        p4=turned(jets.p4, 2.0),
        jet_p4=turned(jets.jet_p4, 2.0),
        jet_axis=jets.jet_axis + np.array([0, 2.0], dtype=np.float32),
    )
    found, expected = jet_variables(other), jet_variables(jets)
    mass = NAMES.index("mass")  # its square is a difference of numbers near 10⁶
    np.testing.assert_allclose(found[:, mass] ** 2, expected[:, mass] ** 2, atol=0.5)
    others = np.arange(len(NAMES)) != mass
    np.testing.assert_allclose(found[:, others], expected[:, others], rtol=2e-3, atol=2e-3)


def test_jets_of_one_particle_and_of_none_are_no_obstacle():
    single = toy_jets(lengths=[1, 1])
    assert np.isfinite(jet_variables(single)).all()
    assert jet_variables(single.span(0, 0)).shape == (0, len(JET_VARIABLES))
