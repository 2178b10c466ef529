"""Every layout that has a name, read from a file that the test makes as its documentation says.

Each file has two jets, of two particles and of one; what is expected is written beside, by hand.
"""

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from parttag.data.readers import count_jets, read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.named_layouts import named_layouts
from parttag.jets.arrays import concatenate
from parttag.options import read_options

# Massless: px, py, pz, E of the particles of both jets, the hardest first.
FIRST, SECOND = [[6, 8, 5, 125**0.5], [3, 4, 0, 5]], [[30, 40, 0, 50]]
MASSIVE = [[6, 8, 5, 15], [3, 4, 0, 13]], [[30, 40, 0, 51]]
PT, ETA, PHI = (
    [[10.0, 5.0], [50.0]],
    [[np.arcsinh(0.5), 0.0], [0.0]],
    [[0.927295218] * 2, [0.927295218]],
)
MASS = [[10.0, 12.0], [101**0.5]]  # of (6, 8, 5, 15), (3, 4, 0, 13) and (30, 40, 0, 51)
AXES = {"pt": [15.0, 50.0], "eta": [0.25, -0.5], "phi": [0.9, 1.0], "mass": [7.0, 20.0]}
SLOTS = 3


def padded(lists):
    return np.array([[*values, *[0.0] * (SLOTS - len(values))] for values in lists])


def minus(lists, axis):
    return [[v - a for v in values] for values, a in zip(lists, AXES[axis], strict=True)]


def axes(kind=np.float64):
    return np.array([AXES[name] for name in ("pt", "eta", "phi", "mass")], kind).T


def hdf5(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name.replace("__", "/")] = values


def massive(order):
    p4 = np.zeros((2, SLOTS, 4))
    p4[0, :2], p4[1, :1] = MASSIVE
    return p4[:, :, order]


def pelican(path):
    hdf5(path, Pmu=massive([3, 0, 1, 2]), Nobj=[2, 1], is_signal=[1, 0])


def hls4ml(path):
    hdf5(path, jetConstituentList=massive([0, 1, 2, 3]))


def aspen(path):
    more = np.zeros((2, SLOTS, 5))
    more[:, :, -1] = 211
    hdf5(path, PFCands=np.concatenate([massive([0, 1, 2, 3]), more], 2), jet_kinematics=axes())


def toptagging_npz(path):
    with path.open("wb") as file:
        np.savez(file, kinematics_train=massive([3, 0, 1, 2]), labels_train=np.array([1, 0]))


def atlas_toptag(path):
    energies = massive([3])[:, :, 0]
    clusters = {"pt": 1e3 * padded(PT), "eta": padded(ETA), "phi": padded(PHI), "E": 1e3 * energies}
    jets = {f"fjet_{n}": v for n, v in zip(("pt", "eta", "phi", "m"), axes().T * 1, strict=True)}
    jets |= {"fjet_pt": 1e3 * axes()[:, 0], "fjet_m": 1e3 * axes()[:, 3]}
    truth = {"labels": [1, 0], "training_weights": [2.0, 3.0]}
    hdf5(path, **{f"fjet_clus_{n}": values for n, values in clusters.items()}, **jets, **truth)


def jetnet(path):
    """Δη, Δφ, pT as a share of the jet's, and 1 for what is a particle; no φ of the jet: 0."""
    shares = [[pt / axis for pt in pts] for pts, axis in zip(PT, AXES["pt"], strict=True)]
    mask = padded([[1, 1], [1]])
    columns = [padded(minus(ETA, "eta")), padded(PHI), padded(shares), mask]
    jets = np.array([AXES["pt"], AXES["eta"], AXES["mass"], [2, 1]]).T
    hdf5(path, particle_features=np.stack(columns, 2), jet_features=jets)


def omnilearned(path):
    energies = [[p4[3] for p4 in jet] for jet in MASSIVE]
    columns = [
        minus(ETA, "eta"),
        minus(PHI, "phi"),
        *([np.log(v) for v in x] for x in (PT, energies)),
    ]
    hdf5(path, data=np.stack([padded(c) for c in columns], 2), **{"global": axes()}, pid=[1, 0])


def salt(path):
    kinds = [("pt", "f4"), ("deta", "f2"), ("dphi", "f2"), ("valid", "?")]
    flow = np.zeros((2, SLOTS), kinds)
    flow["pt"] = 1e3 * padded(PT)
    flow["deta"], flow["dphi"] = padded(minus(ETA, "eta")), padded(minus(PHI, "phi"))
    flow["valid"] = padded([[1, 1], [1]])
    names = ("pt", "eta", "phi", "mass")
    jets = np.zeros(2, [*((n, "f4") for n in names), ("R10TruthLabel_R22v1", "i4")])
    for name in names:
        jets[name] = np.array(AXES[name]) * (1e3 if name in ("pt", "mass") else 1)
    jets["R10TruthLabel_R22v1"] = [1, 10]
    hdf5(path, flow=flow, jets=jets)


def mod(path):
    """Rapidity, not pseudorapidity; all particles one after the other, and where jets begin."""
    rows = []
    for px, py, pz, energy in np.concatenate(MASSIVE):
        mass = np.sqrt(energy**2 - px**2 - py**2 - pz**2)
        rows.append([np.hypot(px, py), np.arctanh(pz / energy), np.arctan2(py, px), mass, 1, 211])
    hdf5(path, pfcs=np.array(rows), pfcs_index=[0, 2, 3], jets_f=axes(np.float32))


def lhco(path):
    """700 times pT, η and φ of an event, and its label; jets of 500 GeV and more are clustered."""
    rows = np.zeros((2, 2101))
    for row, (pt, eta, phi) in enumerate(zip(PT, ETA, PHI, strict=True)):
        for slot, values in enumerate(zip(pt, eta, phi, strict=True)):
            rows[row, 3 * slot : 3 * slot + 3] = values * np.array([100, 1, 1])
    rows[:, 2100] = [1, 0]
    with h5py.File(path, "w") as file:
        file["df/block0_values"] = rows


def root(path, tree, branches, *, rntuple=False):
    with uproot.recreate(path) as file:
        make = file.mkrntuple if rntuple else file.mktree
        make(tree, {n: ak.type(b).content for n, b in branches.items()}).extend(branches)


def hbb(path):
    """Shares of pT and energy; Δη has the sign of the jet's η."""
    pt, eta, mass = (np.array(AXES[name]) for name in ("pt", "eta", "mass"))
    jet_energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    shares = [[v / a for v in values] for values, a in zip(PT, pt, strict=True)]
    energies = [[p[3] / e for p in jet] for jet, e in zip(MASSIVE, jet_energy, strict=True)]
    signed = [[v * np.sign(a) for v in d] for d, a in zip(minus(ETA, "eta"), eta, strict=True)]
    columns = {"ptrel": shares, "etarel": signed, "phirel": minus(PHI, "phi"), "erel": energies}
    branches = {f"pfcand_{name}": ak.Array(values) for name, values in columns.items()}
    branches |= {"pfcand_charge": ak.Array([[1.0, 0.0], [-1.0]])}
    branches |= {f"fj_{name}": ak.Array(values) for name, values in AXES.items()}
    branches |= {"fj_isH": ak.Array([1, 0]), "fj_isQCD": ak.Array([0, 1])}
    root(path, "deepntuplizer/tree", branches)


def events(jet, candidates, table=None):
    """Return an event of both jets: candidates in another order, and one more, of no jet."""
    particles = {"pt": [5.0, 99.0, 50.0, 10.0], "eta": [0.0, 3.0, 0.0, ETA[0][0]]}
    particles |= {"phi": [PHI[0][0]] * 4, "mass": [12.0, 0.0, MASS[1][0], 10.0]}
    branches = {f"{candidates}_{name}": ak.Array([values]) for name, values in particles.items()}
    branches |= {f"{candidates}_pdgId": ak.Array([[211, 22, -11, 130]])}
    branches |= {f"{jet}_{name}": ak.Array([values]) for name, values in AXES.items()}
    if table is not None:
        of_jet, of_particle = table
        branches |= {of_jet: ak.Array([[0, 1, 0]]), of_particle: ak.Array([[0, 2, 3]])}
    return {n: ak.values_astype(b, np.int32) if "d" in n[-3:] else b for n, b in branches.items()}


def pfnano(jet, weights):
    def write(path):
        table = (f"{jet}PFCands_jetIdx", f"{jet}PFCands_pFCandsIdx")
        branches = events(jet, "PFCands", table)
        scale = ak.Array([weights])
        for name in ("pt", "mass"):  # weights multiply what is stored
            branches[f"PFCands_{name}"] = branches[f"PFCands_{name}"] / scale
        branches |= {"PFCands_puppiWeight": scale, "PFCands_charge": ak.Array([[1, 0, 1, 0]])}
        root(path, "Events", branches)

    return write


def nanoaod_v15_fatjet(path):
    table = ("FatJetPFCand_jetIdx", "FatJetPFCand_pfCandIdx")
    root(path, "Events", events("FatJet", "PFCand", table), rntuple=True)


def nanoaod_v15_jet(path):
    """No table: a candidate belongs to the jet within 0.4 of it, of which one is at another φ."""
    branches = events("Jet", "PFCand")
    branches["Jet_eta"] = ak.Array([[0.25, 0.0]])
    branches["Jet_phi"] = ak.Array([[PHI[0][0], PHI[0][0] - 2]])
    branches["PFCand_phi"] = ak.Array([[PHI[0][0]] * 2 + [PHI[0][0] - 2, PHI[0][0]]])
    root(path, "Events", branches)


def grouped(group, columns):
    """Return branches as ROOT has those of a class: ``Jet/Jet.PT``."""
    return {f"{group}/{group}.{name}": ak.Array([values]) for name, values in columns.items()}


def delphes():
    """A track, a photon and a neutral hadron; the numbers of what is referred to begin at 1.

    Nothing but ROOT writes a TRefArray: these are the arrays that uproot makes of such a file.
    """
    process = 1 << 24
    track = {"PT": [50.0], "Eta": [0.0], "Phi": [PHI[0][0]], "Mass": [MASS[1][0]], "PID": [-11]}
    branches = grouped("EFlowTrack", track | {"fUniqueID": [process + 3]})
    for group, number, pt, eta in (
        ("EFlowPhoton", 1, [10.0], [ETA[0][0]]),
        ("EFlowNeutralHadron", 2, [5.0], [0.0]),
    ):
        tower = {"ET": pt, "Eta": eta, "Phi": [PHI[0][0]], "fUniqueID": [process + number]}
        branches |= grouped(group, tower)
    names = {"PT": "pt", "Eta": "eta", "Phi": "phi", "Mass": "mass"}
    jets = {name: AXES[key] for name, key in names.items()}
    jets["Constituents"] = [{"refs": [2, 1]}, {"refs": [3]}]
    return branches | grouped("Jet", jets)


def edm4hep(path):
    """Ranges of a list of numbers, which are those of the event's particles."""
    particles = np.array([[9, 9, 9, 99], MASSIVE[1][0], MASSIVE[0][1], MASSIVE[0][0]], float)
    names = ("momentum.x", "momentum.y", "momentum.z", "energy")
    columns = {name: particles[:, i].tolist() for i, name in enumerate(names)}
    branches = grouped("ReconstructedParticles", columns)
    branches |= grouped("Jet", {"particles_begin": [0, 2], "particles_end": [2, 3]})
    branches |= grouped("_Jet_particles", {"index": [2, 3, 1]})
    ak.to_parquet(ak.zip(branches, depth_limit=1), path)


MASSLESS = (FIRST, SECOND)
HUNDREDFOLD = tuple((100 * np.array(jet)).tolist() for jet in MASSLESS)
TOP, HIGGS, SIGNAL = "label_top", "label_H", "label_signal"
MADE = {
    "aspen": (aspen, MASSIVE, None),
    "atlas_toptag": (atlas_toptag, MASSIVE, TOP),
    "edm4hep": (edm4hep, MASSIVE, None),
    "hbb": (hbb, MASSIVE, HIGGS),
    "hls4ml": (hls4ml, MASSIVE, None),
    "jetnet": (jetnet, MASSLESS, None),
    "lhco": (lhco, HUNDREDFOLD, SIGNAL),
    "mod": (mod, MASSIVE, None),
    "nanoaod_v15_fatjet": (nanoaod_v15_fatjet, MASSIVE, None),
    "nanoaod_v15_jet": (nanoaod_v15_jet, None, None),
    "omnilearned": (omnilearned, MASSIVE, TOP),
    "pelican": (pelican, MASSIVE, TOP),
    "pfnano_fatjet": (pfnano("FatJet", [0.5, 1.0, 0.25, 0.5]), MASSIVE, None),
    "pfnano_jet": (pfnano("Jet", [1.0, 1.0, 1.0, 1.0]), MASSIVE, None),
    "salt": (salt, MASSLESS, TOP),
    "toptagging_npz": (toptagging_npz, MASSIVE, TOP),
}


def test_every_layout_is_made_here():
    assert {*MADE, "delphes"} == set(named_layouts())


def test_delphes_by_its_name(tmp_path):
    layout = ColumnLayout(read_options(ColumnsOptions, {"layout": "delphes"}))
    branches = delphes()
    assert set(layout.branches_to_read(branches, tmp_path)) == set(branches)
    jets = layout.to_jets(branches, tmp_path / "made.root", 0)
    assert jets.lengths.tolist() == [2, 1]
    np.testing.assert_allclose(jets.p4, [*FIRST, *MASSIVE[1]], rtol=1e-5, atol=1e-6)
    assert jets["is_photon"].tolist() == [1, 0, 0]
    assert jets["is_neutral_hadron"].tolist() == [0, 1, 0]
    assert (jets["is_electron"].tolist(), jets["charge"].tolist()) == ([0, 0, 1], [0, 0, 1])


@pytest.mark.parametrize("name", MADE)
def test_one_line_reads_what_was_written(tmp_path, name):
    write, expected, label = MADE[name]
    if name == "lhco":
        pytest.importorskip("fastjet")
    path = tmp_path / "made"
    write(path)
    layout = ColumnLayout(read_options(ColumnsOptions, {"layout": name}))
    jets = concatenate(list(read_chunks(path, layout=layout)))
    assert count_jets(path, layout) == len(jets) == 2
    assert jets.lengths.tolist() == [2, 1]
    if expected is not None:
        precision = 1e-3 if name == "salt" else 1e-5  # angles of half precision
        np.testing.assert_allclose(
            jets.p4, np.concatenate(expected), rtol=precision, atol=0.05 * precision
        )
    if label is not None:
        assert jets[label].tolist() == [1, 0]
        assert jets["label_QCD"].tolist() == [0, 1]
    if layout.columns.jet is not None:
        np.testing.assert_allclose(np.hypot(*jets.jet_p4[:, :2].T), AXES["pt"], rtol=1e-5)
        if name not in ("jetnet", "nanoaod_v15_jet"):  # of axes of their own
            np.testing.assert_allclose(jets.jet_axis, axes()[:, 1:3], rtol=1e-5)
