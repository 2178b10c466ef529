"""Coordinates relative to the jet's, or logarithms, give the momenta that they stand for."""

import h5py
import numpy as np
import pytest
import yaml

from parttag.data.jet_files import JetFiles
from parttag.data.readers import read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.errors import InputError
from parttag.inspection.inspect import inspect_files
from parttag.options import Options, read_options

RNG = np.random.default_rng(4)
JETS, SLOTS = 12, 5
JET = {
    "jpt": RNG.uniform(300, 900, JETS),
    "jeta": RNG.normal(0, 1, JETS),
    "jphi": RNG.uniform(-np.pi, np.pi, JETS),
    "jm": RNG.uniform(20, 150, JETS),
}
REAL = np.arange(SLOTS) < np.array([5, 3, 1, 2] * 3)[:, None]
SHARE = np.where(REAL, RNG.uniform(0.01, 0.3, (JETS, SLOTS)), 0)
DETA = np.where(REAL, RNG.normal(0, 0.2, (JETS, SLOTS)), 0)
DPHI = np.where(REAL, RNG.normal(0, 0.2, (JETS, SLOTS)), 0)
SECTION = "jet: {pt: jpt, eta: jeta, phi: jphi, mass: jm}\n"


class _Section(Options):
    columns: ColumnsOptions


def options(text: str) -> ColumnsOptions:
    return read_options(_Section, {"columns": yaml.safe_load(text)}).columns


def written(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in {**JET, **arrays}.items():
            file[name] = values
    return path


def read(path, text):
    (jets,) = read_chunks(path, layout=ColumnLayout(options(text)))
    return jets


def expected(sign=None, energy=None):
    """Return px, py, pz and E of the real slots, in order of falling pT within each jet."""
    sign = np.ones(JETS) if sign is None else sign
    pt = SHARE * JET["jpt"][:, None]
    eta = JET["jeta"][:, None] + sign[:, None] * DETA
    phi = JET["jphi"][:, None] + DPHI
    energy = pt * np.cosh(eta) if energy is None else energy
    p4 = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=2)
    return np.concatenate(
        [rows[np.argsort(-p[real], kind="stable")] for rows, p, real in
         ((p4[j][REAL[j]], pt[j], REAL[j]) for j in range(JETS))]
    )  # fmt: skip


@pytest.mark.parametrize(
    "said",
    ["true", "{pt: ratio, eta: difference, phi: difference}"],
)
def test_shares_and_differences_become_momenta(tmp_path, said):
    path = written(tmp_path / "a.h5", pt=SHARE, eta=DETA, phi=DPHI)
    text = f"particles: {{pt: pt, eta: eta, phi: phi, mass: 0, relative_to_jet: {said}}}\n"
    jets = read(path, text + SECTION)
    assert jets.lengths.tolist() == REAL.sum(axis=1).tolist()
    np.testing.assert_allclose(jets.p4, expected(), rtol=3e-6, atol=1e-4)


def test_the_sign_of_the_jet_can_be_in_the_difference(tmp_path):
    path = written(tmp_path / "a.h5", pt=SHARE, eta=DETA, phi=DPHI)
    how = "{pt: ratio, eta: difference, phi: difference, eta_sign: true}"
    text = f"particles: {{pt: pt, eta: eta, phi: phi, mass: 0, relative_to_jet: {how}}}\n"
    sign = np.where(JET["jeta"] < 0, -1.0, 1.0)
    assert set(sign) == {-1.0, 1.0}
    np.testing.assert_allclose(read(path, text + SECTION).p4, expected(sign), rtol=3e-6, atol=1e-4)


def test_energies_may_be_shares_of_the_jets_and_momenta_in_another_unit(tmp_path):
    jet_energy = np.sqrt((JET["jpt"] * np.cosh(JET["jeta"])) ** 2 + JET["jm"] ** 2)
    share = SHARE * 1.5
    path = written(tmp_path / "a.h5", pt=SHARE, eta=DETA, phi=DPHI, e=share)
    text = "particles: {pt: pt, eta: eta, phi: phi, energy: e, relative_to_jet: true, unit: MeV}\n"
    energy = share * jet_energy[:, None]
    jets = read(path, text + SECTION)
    np.testing.assert_allclose(jets.p4, expected(energy=energy), rtol=3e-6, atol=1e-4)
    thousandth = read(path, text + SECTION.replace("mass: jm", "mass: jm, unit: MeV"))
    np.testing.assert_allclose(thousandth.jet_p4[:, 0] * 1000, jets.jet_p4[:, 0], rtol=1e-5)


def test_of_logarithms_slots_of_zeros_alone_are_padding(tmp_path):
    pt = np.where(REAL, SHARE * JET["jpt"][:, None], 1.0)
    pt[0, 0] = 1.0  # a particle of pT 1 GeV, whose logarithm is 0
    phi = np.where(REAL, RNG.uniform(-3, 3, (JETS, SLOTS)), 0)
    eta = np.where(REAL, RNG.normal(0, 1, (JETS, SLOTS)), 0)
    energy = pt * np.cosh(eta)
    path = written(tmp_path / "a.h5", pt=np.log(pt), eta=eta, phi=phi, e=np.log(energy))
    text = (
        "particles: {pt: pt, eta: eta, phi: phi, energy: e, unit: MeV, "
        "relative_to_jet: {pt: log, energy: log}}\n"
    )
    jets = read(path, text)
    assert jets.lengths.tolist() == REAL.sum(axis=1).tolist()
    total = [np.where(REAL, x, 0).sum(axis=1) / 1000 for x in (pt * np.cos(phi), energy)]
    np.testing.assert_allclose(jets.jet_p4[:, [0, 3]].T, total, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{pt: p, eta: e, phi: f, mass: 0, relative_to_jet: true}", "name jet"),
        ("{pt: p, eta: e, phi: f, mass: 0, relative_to_jet: {energy: log}}", "no branch is named"),
        ("{px: p, py: e, pz: f, mass: 0, relative_to_jet: true}", "which of pt, energy, eta"),
        ("{pt: p, eta: e, phi: f, mass: 0, relative_to_jet: {eta_sign: true}}", "which of pt"),
        (
            "{pt: p, eta: e, phi: f, mass: 0, relative_to_jet: {pt: log, eta_sign: true}}",
            "eta_sign is of eta",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        options(f"particles: {text}")


@pytest.mark.parametrize("with_jet", [True, False])
def test_shares_that_are_read_as_gev_are_recognized(tmp_path, with_jet):
    path = written(tmp_path / "a.h5", pt=SHARE / SHARE.sum(axis=1)[:, None], eta=DETA, phi=DPHI)
    text = "particles: {pt: pt, eta: eta, phi: phi, mass: 0}\n" + (SECTION if with_jet else "")
    (warning,) = inspect_files(JetFiles([path], options(text))).warnings
    assert "relative_to_jet" in warning
    assert "multiply" not in warning
    relative = text.replace("mass: 0", "mass: 0, relative_to_jet: true")
    if with_jet:
        assert inspect_files(JetFiles([path], options(relative))).warnings == ()
