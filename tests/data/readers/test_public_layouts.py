"""Files as public sets have them, through YAML alone, beside h5py, NumPy and uproot.

The files are those of ``$PARTTAG_SHARED_DATA/files``: made in the layouts that the sets document,
of the same 100 jets, and one from the tests of uproot.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import uproot
import yaml

from parttag.data.readers import read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.packing import jet_sums
from parttag.options import Options, read_options

SHARED = Path(os.environ.get("PARTTAG_SHARED_DATA", "/nowhere")) / "files"
pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="PARTTAG_SHARED_DATA has no files")


class _Section(Options):
    columns: ColumnsOptions


@dataclass
class Direct:
    """What reading the arrays directly gives: px, py, pz, E (jets, slots), and which are real."""

    p4: np.ndarray
    real: np.ndarray
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    weights: np.ndarray | None = None


def from_pt(pt, eta, phi, energy=None):
    pt, eta, phi = (np.asarray(x, np.float64) for x in (pt, eta, phi))
    energy = pt * np.cosh(eta) if energy is None else np.asarray(energy, np.float64)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy], axis=-1)


def energy_of(pt, eta, mass):
    return np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)


def padded(lists, slots=200):
    rows = [np.asarray(row, np.float64) for row in lists]
    return np.array([np.pad(row, (0, slots - len(row))) for row in rows])


def atlas(file):
    eta, phi = file["fjet_clus_eta"][:], file["fjet_clus_phi"][:]
    p4 = from_pt(file["fjet_clus_pt"][:] / 1e3, eta, phi, file["fjet_clus_E"][:] / 1e3)
    labels = {"label_top": file["labels"][:] == 1, "label_QCD": file["labels"][:] == 0}
    return Direct(p4, file["fjet_clus_E"][:] > 0, labels, file["training_weights"][:])


def salt(file):
    flow, jets = file["flow"][:], file["jets"][:]
    eta = jets["eta"][:, None].astype(float) + flow["deta"]
    phi = jets["phi"][:, None].astype(float) + flow["dphi"]
    labels = {"label_top": jets["R10TruthLabel_R22v1"] == 1}
    labels["label_QCD"] = jets["R10TruthLabel_R22v1"] == 10
    p4 = from_pt(flow["pt"].astype(float) / 1e3, eta, phi)
    return Direct(p4, flow["valid"], labels)


def consts(file):
    rows = file["consts"][:]
    names = ("pt", "eta", "phi", "energy")
    pt, eta, phi, energy = (rows[name].astype(float) for name in names)
    return Direct(from_pt(pt / 1e3, eta, phi, energy / 1e3), rows["valid"])


def jetnet(file):
    deta, dphi, share, mask = np.moveaxis(file["particle_features"][:].astype(float), 2, 0)
    pt, eta = file["jet_features"][:, 0].astype(float), file["jet_features"][:, 1].astype(float)
    return Direct(from_pt(share * pt[:, None], eta[:, None] + deta, dphi), mask == 1)


def omnilearned(file):
    deta, dphi, log_pt, log_energy = np.moveaxis(file["data"][:].astype(float), 2, 0)
    _, eta, phi, _ = file["global"][:].T
    p4 = from_pt(np.exp(log_pt), eta[:, None] + deta, phi[:, None] + dphi, np.exp(log_energy))
    labels = {"label_QCD": file["pid"][:] == 0, "label_top": file["pid"][:] == 1}
    return Direct(p4, file["data"][:].any(axis=2), labels)


def pelican(file):
    real = np.arange(200) < file["Nobj"][:][:, None]
    labels = {"label_top": file["is_signal"][:] == 1, "label_QCD": file["is_signal"][:] == 0}
    return Direct(np.roll(file["Pmu"][:], -1, axis=2), real, labels)


def hls4ml(file):
    p4 = file["jetConstituentList"][:, :, :4]
    return Direct(p4, p4.any(axis=2))


def aspen(file):
    p4 = file["PFCands"][:, :, :4].astype(float)
    return Direct(p4, p4.any(axis=2))


def mod(file):
    ends = file["pfcs_index"][:]
    rows = [file["pfcs"][a:b] for a, b in pairwise(ends)]
    pt, rapidity, phi, mass = (padded([row[:, i] for row in rows]) for i in range(4))
    transverse = np.sqrt(pt**2 + mass**2)
    columns = [pt * np.cos(phi), pt * np.sin(phi), transverse * np.sinh(rapidity)]
    p4 = np.stack([*columns, transverse * np.cosh(rapidity)], axis=2)
    return Direct(p4, np.arange(200) < np.diff(ends.astype(int))[:, None])


def lhco(file):
    rows = file["df/block0_values"][:]
    pt, eta, phi = (rows[:, start:2100:3] for start in range(3))
    labels = {"label_signal": rows[:, 2100] == 1, "label_QCD": rows[:, 2100] == 0}
    return Direct(from_pt(pt, eta, phi), pt > 0, labels)


def hbb(tree):
    a = tree.arrays(library="np")
    share, energy, deta, dphi = (
        padded(a[f"pfcand_{n}"]) for n in ("ptrel", "erel", "etarel", "phirel")
    )
    pt, eta, phi, mass = (a[f"fj_{n}"].astype(float) for n in ("pt", "eta", "phi", "mass"))
    p4 = from_pt(
        share * pt[:, None],
        eta[:, None] + np.where(eta < 0, -1, 1)[:, None] * deta,
        phi[:, None] + dphi,
        energy * energy_of(pt, eta, mass)[:, None],
    )
    real = np.arange(200) < np.array([len(row) for row in a["pfcand_ptrel"]])[:, None]
    labels = {"label_H": a["fj_isH"] == 1, "label_QCD": a["fj_isQCD"] == 1}
    return Direct(p4, real, labels)


def fcc(tree):
    a = tree.arrays(library="np")
    px, py, pz, mass = (padded(a[f"rec_part_{n}"]) for n in ("px", "py", "pz", "mass"))
    energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
    real = np.arange(200) < np.array([len(row) for row in a["rec_part_px"]])[:, None]
    return Direct(np.stack([px, py, pz, energy], axis=2), real)


def mini(arrays):
    p4 = np.roll(arrays["kinematics_train"].astype(float), -1, axis=2)
    truth = arrays["labels_train"]
    labels = {"label_top": truth == 1, "label_QCD": truth == 0}
    return Direct(p4, p4.any(axis=2), labels)


JET = "jet: {{pt: '{0}[:, 0]', eta: '{0}[:, 1]', phi: {1}, mass: '{0}[:, {2}]'}}"
LAYOUTS: dict[str, tuple[str, Callable[..., Direct], str]] = {
    "atlas": (
        "atlas_toptag.h5",
        atlas,
        """
        particles: {pt: fjet_clus_pt, eta: fjet_clus_eta, phi: fjet_clus_phi, energy: fjet_clus_E,
                    unit: MeV}
        jet: {pt: fjet_pt, eta: fjet_eta, phi: fjet_phi, mass: fjet_m, unit: MeV}
        labels: {branch: labels, values: {label_top: 1, label_QCD: 0}}
        jet_weight: training_weights
        """,
    ),
    "salt flow": (
        "salt.h5",
        salt,
        """
        particles: {pt: flow/pt, eta: flow/deta, phi: flow/dphi, mass: 0, unit: MeV,
                    mask: flow/valid, relative_to_jet: {eta: difference, phi: difference}}
        jet: {pt: jets/pt, eta: jets/eta, phi: jets/phi, mass: jets/mass, unit: MeV}
        labels: {branch: jets/R10TruthLabel_R22v1, values: {label_top: 1, label_QCD: 10}}
        """,
    ),
    "salt consts": (
        "salt.h5",
        consts,
        """
        particles: {pt: consts/pt, eta: consts/eta, phi: consts/phi, energy: consts/energy,
                    unit: MeV, mask: consts/valid, charge: consts/charge}
        """,
    ),
    "jetnet": (
        "jetnet_t.hdf5",
        jetnet,
        """
        particles: {pt: 'particle_features[:, :, 2]', eta: 'particle_features[:, :, 0]',
                    phi: 'particle_features[:, :, 1]', mass: 0, mask: 'particle_features[:, :, 3]',
                    relative_to_jet: true}
        """
        + JET.format("jet_features", 0, 2),
    ),
    "omnilearned": (
        "omnilearned.h5",
        omnilearned,
        """
        particles: {pt: 'data[:, :, 2]', eta: 'data[:, :, 0]', phi: 'data[:, :, 1]',
                    energy: 'data[:, :, 3]',
                    relative_to_jet: {pt: log, energy: log, eta: difference, phi: difference}}
        labels: {branch: pid, values: {label_QCD: 0, label_top: 1}}
        """
        + JET.format("global", "'global[:, 2]'", 3),
    ),
    "pelican": (
        "pelican.h5",
        pelican,
        """
        particles: {px: 'Pmu[:, :, 1]', py: 'Pmu[:, :, 2]', pz: 'Pmu[:, :, 3]',
                    energy: 'Pmu[:, :, 0]', count: Nobj}
        labels: {branch: is_signal, values: {label_top: 1, label_QCD: 0}}
        """,
    ),
    "hls4ml": (
        "hls4ml.h5",
        hls4ml,
        """
        particles: {px: 'jetConstituentList[:, :, 0]', py: 'jetConstituentList[:, :, 1]',
                    pz: 'jetConstituentList[:, :, 2]', energy: 'jetConstituentList[:, :, 3]'}
        """,
    ),
    "aspen": (
        "aspen.h5",
        aspen,
        """
        particles: {px: 'PFCands[:, :, 0]', py: 'PFCands[:, :, 1]', pz: 'PFCands[:, :, 2]',
                    energy: 'PFCands[:, :, 3]', pdg_id: 'PFCands[:, :, 8]'}
        """
        + JET.format("jet_kinematics", "'jet_kinematics[:, 2]'", 3),
    ),
    "mod": (
        "mod.h5",
        mod,
        """
        particles: {pt: 'pfcs[:, 0]', rapidity: 'pfcs[:, 1]', phi: 'pfcs[:, 2]',
                    mass: 'pfcs[:, 3]', offsets: pfcs_index}
        """
        + JET.format("jets_f", "'jets_f[:, 2]'", 3),
    ),
    "lhco": (
        "lhco.h5",
        lhco,
        """
        particles: {pt: 'df/block0_values[:, 0:2100:3]', eta: 'df/block0_values[:, 1:2100:3]',
                    phi: 'df/block0_values[:, 2:2100:3]', mass: 0}
        labels: {branch: 'df/block0_values[:, -1]', values: {label_signal: 1, label_QCD: 0}}
        """,
    ),
    "hbb": (
        "hbb.root",
        hbb,
        """
        tree: deepntuplizer/tree
        particles: {pt: pfcand_ptrel, eta: pfcand_etarel, phi: pfcand_phirel, energy: pfcand_erel,
                    charge: pfcand_charge, relative_to_jet: {pt: ratio, energy: ratio,
                    eta: difference, phi: difference, eta_sign: true}}
        jet: {pt: fj_pt, eta: fj_eta, phi: fj_phi, mass: fj_mass}
        labels: {branches: {label_H: fj_isH, label_QCD: fj_isQCD}}
        """,
    ),
    "fcc": (
        "uproot-issue-172.root",
        fcc,
        """
        tree: events
        particles: {px: rec_part_px, py: rec_part_py, pz: rec_part_pz, mass: rec_part_mass,
                    charge: rec_part_charge}
        """,
    ),
    "toptagging mini": (
        "toptagging_mini.npz",
        mini,
        """
        particles: {px: 'kinematics_train[:, :, 1]', py: 'kinematics_train[:, :, 2]',
                    pz: 'kinematics_train[:, :, 3]', energy: 'kinematics_train[:, :, 0]'}
        labels: {branch: labels_train, values: {label_top: 1, label_QCD: 0}}
        """,
    ),
}


def layout(text: str) -> ColumnLayout:
    lines = [line.removeprefix(" " * 8) for line in text.splitlines()]
    content = {"columns": yaml.safe_load("\n".join(lines))}
    return ColumnLayout(read_options(_Section, content).columns)


def read(name: str, chunk_jets: int = 10_000) -> JetArrays:
    file, _, text = LAYOUTS[name]
    chunks = read_chunks(SHARED / file, layout=layout(text), chunk_jets=chunk_jets)
    return concatenate(list(chunks))


def directly(name: str) -> Direct:
    file, function, _ = LAYOUTS[name]
    if file.endswith(".root"):
        with uproot.open(SHARED / file) as root:
            return function(root["events" if name == "fcc" else "deepntuplizer/tree"])
    if file.endswith(".npz"):
        return function(np.load(SHARED / file))
    with h5py.File(SHARED / file) as hdf5:
        return function(hdf5)


BY_NAME = {
    "atlas": "atlas_toptag",
    "salt flow": "salt",
    "jetnet": "jetnet",
    "omnilearned": "omnilearned",
    "pelican": "pelican",
    "hls4ml": "hls4ml",
    "aspen": "aspen",
    "mod": "mod",
    "hbb": "hbb",
    "toptagging mini": "toptagging_npz",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_public_layout_is_read_to_what_its_arrays_hold(name):
    assert_as_direct(read(name), directly(name))


@pytest.mark.parametrize("name", BY_NAME)
def test_so_it_is_by_its_name(name):
    by_name = ColumnLayout(read_options(ColumnsOptions, {"layout": BY_NAME[name]}))
    jets = concatenate(list(read_chunks(SHARED / LAYOUTS[name][0], layout=by_name)))
    assert_as_direct(jets, directly(name))


def assert_as_direct(jets: JetArrays, direct: Direct) -> None:
    assert len(jets) == len(direct.p4)
    assert jets.lengths.tolist() == direct.real.sum(axis=1).tolist()
    sums = np.where(direct.real[..., None], direct.p4, 0).sum(axis=1)
    scale = np.abs(np.where(direct.real[..., None], direct.p4, 0)).sum(axis=1)
    found = jet_sums(jets.p4.astype(np.float64), jets.offsets)
    assert (np.abs(found - sums) <= 1e-6 * scale + 1e-6).all()
    assert set(jets.label_names) == set(direct.labels)
    for column, label in enumerate(jets.label_names):
        np.testing.assert_array_equal(jets.labels[:, column], direct.labels[label])
    expected = np.ones(len(jets)) if direct.weights is None else direct.weights
    np.testing.assert_allclose(jets.jet_weights, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["mod", "lhco", "salt flow", "toptagging mini", "hbb"])
def test_small_chunks_give_the_same(name):
    whole, parts = read(name), read(name, chunk_jets=7)
    for attribute in ("p4", "extra", "jet_p4", "labels", "offsets", "jet_weights", "index"):
        np.testing.assert_array_equal(getattr(whole, attribute), getattr(parts, attribute))


def test_relative_particles_add_up_to_their_jets():
    for name in ("hbb", "omnilearned"):
        jets = read(name)
        sums = jet_sums(jets.p4.astype(np.float64), jets.offsets)
        np.testing.assert_allclose(sums[:, 3], jets.jet_p4[:, 3], rtol=2e-3)
        np.testing.assert_allclose(sums[:, 2], jets.jet_p4[:, 2], rtol=2e-3, atol=1)
