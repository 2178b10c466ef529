"""Jets of events, as physicists' own files hold them, compared with direct reads."""

import os
from functools import cache
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot
import yaml

from parttag.data.readers import count_jets, read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays, concatenate, split_index, split_rows

SHARED = os.environ.get("PARTTAG_SHARED_DATA")
pytestmark = pytest.mark.skipif(SHARED is None, reason="PARTTAG_SHARED_DATA is not set")


def layout(text: str) -> ColumnLayout:
    return ColumnLayout(ColumnsOptions.model_validate(yaml.safe_load(text)))


def file(name: str) -> Path:
    return Path(SHARED or "") / "files" / name


@cache
def read(name: str, text: str, chunk_jets: int = 7) -> JetArrays:
    chunks = list(read_chunks(file(name), layout=layout(text), chunk_jets=chunk_jets))
    assert all(len(chunk) == chunk_jets for chunk in chunks[:-1])
    return concatenate(chunks)


@cache
def opened(name: str, tree: str):
    """Return a tree, once: of thousands of branches, that takes uproot more than a second."""
    return uproot.open(file(name))[tree]


def branches(name: str, tree: str, *names: str) -> dict[str, ak.Array]:
    return opened(name, tree).arrays(list(names), how=dict)


def momenta(pt, eta, phi, mass):
    """Return px, py, pz, E of one jet's particles, in double precision."""
    pt, eta, phi, mass = (np.asarray(values, dtype=np.float64) for values in (pt, eta, phi, mass))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return np.stack([px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + mass**2)], axis=-1)


def assert_jets(jets: JetArrays, expected: list[list[np.ndarray]]) -> None:
    """Compare with (particles 4) momenta of each jet of each event."""
    flat = [p4 for event in expected for p4 in event]
    assert len(jets) == len(flat)
    assert jets.lengths.tolist() == [len(p4) for p4 in flat]
    _, rows = split_index(jets.index)
    where = [(entry, jet) for entry, event in enumerate(expected) for jet in range(len(event))]
    assert list(zip(*(part.tolist() for part in split_rows(rows)), strict=True)) == where
    for number, p4 in enumerate(flat):
        own = jets.p4[jets.offsets[number] : jets.offsets[number + 1]].astype(np.float64)
        scale = np.abs(p4).sum(axis=0) + 1e-9
        assert np.all(np.abs(own.sum(axis=0) - p4.sum(axis=0)) < 1e-5 * scale.max())
        pt = np.sort(np.hypot(p4[:, 0], p4[:, 1]))[::-1]
        np.testing.assert_allclose(np.hypot(own[:, 0], own[:, 1]), pt, rtol=1e-6)


PFNANO = """
layout: pfnano_fatjet
labels: {branch: FatJet_hadronFlavour, values: {label_b: 5, label_c: 4, label_light: 0}}
jet_weight: genWeight
"""
NANO = "layout: nanoaod_v15_fatjet"


def paired(
    name: str,
    cands: str,
    table: tuple[str, str],
    weight: str | None = None,
    jet_pt: str = "FatJet_pt",
):
    parts = [f"{cands}_{q}" for q in ("pt", "eta", "phi", "mass")]
    more = [] if weight is None else [weight]
    a = branches(name, "Events", jet_pt, *table, *parts, *more)
    expected = []
    for event in range(len(a[jet_pt])):
        jet, particle = (np.asarray(a[column][event]) for column in table)
        p4 = momenta(*(a[part][event] for part in parts))
        if weight is not None:
            p4 = p4 * np.asarray(a[weight][event], dtype=np.float64)[:, None]
        own = [particle[jet == number] for number in range(len(a[jet_pt][event]))]
        if weight is not None:
            own = [rows[np.asarray(a[weight][event])[rows] != 0] for rows in own]
        expected.append([p4[rows] for rows in own])
    return expected


@pytest.mark.parametrize("weight", [None, "PFCands_puppiWeight"])
def test_pfnano(weight):
    table = ("FatJetPFCands_jetIdx", "FatJetPFCands_pFCandsIdx")
    text = PFNANO if weight else f"{PFNANO}particles: {{weight: null}}"
    jets = read("pfnano.root", text)
    assert len(jets) == count_jets(file("pfnano.root"), layout(text)) == 24
    assert_jets(jets, paired("pfnano.root", "PFCands", table, weight))
    names = ("FatJet_pt", "FatJet_eta", "FatJet_phi", "FatJet_mass", "FatJet_hadronFlavour")
    a = branches("pfnano.root", "Events", *names, "genWeight", "PFCands_charge")
    p4 = momenta(*(ak.flatten(a[name]) for name in names[:4]))
    np.testing.assert_allclose(jets.jet_p4, p4, rtol=1e-6, atol=1e-4)
    flavour = ak.to_numpy(ak.flatten(a["FatJet_hadronFlavour"]))
    assert jets.labels.argmax(axis=1).tolist() == [{5: 0, 4: 1, 0: 2}[f] for f in flavour.tolist()]
    broadcast = ak.flatten(ak.broadcast_arrays(a["genWeight"], a["FatJet_pt"])[0])
    np.testing.assert_allclose(jets.jet_weights, ak.to_numpy(broadcast), rtol=1e-6)
    assert set(np.unique(jets["charge"])) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize(
    "name, text, number",
    [("pfnano.root", PFNANO, (24, 24)), ("nano_tt_v15.root", NANO, (64, 62))],
)
def test_constituents_sum_to_the_raw_momentum_of_the_jet(name, text, number):
    """CMS: PUPPI candidates add up to the jet before its energy is corrected (rawFactor)."""
    jets = read(name, text)
    a = branches(name, "Events", "FatJet_pt", "FatJet_rawFactor")
    raw = ak.to_numpy(ak.flatten(a["FatJet_pt"] * (1 - a["FatJet_rawFactor"])))
    filled = jets.lengths > 0
    sums = np.array(
        [jets.p4[a:b].sum(0) for a, b in zip(jets.offsets, jets.offsets[1:], strict=False)]
    )
    ratio = np.hypot(sums[:, 0], sums[:, 1])[filled] / raw[filled]
    assert (len(jets), filled.sum()) == number
    assert np.mean(np.abs(ratio - 1) < 0.01) >= 0.99


def test_ak4_jets_of_pfnano():
    table = ("JetPFCands_jetIdx", "JetPFCands_pFCandsIdx")
    jets = read("pfnano.root", "layout: pfnano_jet")
    assert_jets(jets, paired("pfnano.root", "PFCands", table, None, "Jet_pt"))


def test_jets_of_nanoaod_that_have_no_table_have_what_is_near(caplog):
    jets = read("nano_tt_v15.root", "layout: nanoaod_v15_jet")
    quantities = [f"PFCand_{q}" for q in ("pt", "eta", "phi", "mass")]
    a = branches("nano_tt_v15.root", "Events", "Jet_eta", "Jet_phi", *quantities)
    numbers = []
    for event in range(len(a["Jet_eta"])):
        eta, phi = (np.asarray(a[f"PFCand_{q}"][event], np.float64) for q in ("eta", "phi"))
        for axis in zip(a["Jet_eta"][event], a["Jet_phi"][event], strict=True):
            turned = (phi - axis[1] + np.pi) % (2 * np.pi) - np.pi
            numbers.append(int((np.hypot(eta - axis[0], turned) < 0.4).sum()))
    assert jets.lengths.tolist() == numbers


def test_nanoaod():
    jets = read("nano_tt_v15.root", NANO)
    assert count_jets(file("nano_tt_v15.root"), layout(NANO)) == len(jets)
    table = ("FatJetPFCand_jetIdx", "FatJetPFCand_pfCandIdx")
    assert_jets(jets, paired("nano_tt_v15.root", "PFCand", table))


EDM4HEP = "layout: edm4hep"
FCC = f"""
{EDM4HEP}
particles:
  of_jet:
    begin: Jet/Jet.particles_begin
    end: Jet/Jet.particles_end
    through: "Jet#2/Jet#2.index"
"""


@pytest.mark.parametrize(
    "name, text, through",
    [
        ("p8_ee_WW_ecm240_edm4hep.root", EDM4HEP, "_Jet_particles/_Jet_particles.index"),
        ("test_FCC_Winter2023.root", FCC, "Jet#2/Jet#2.index"),
    ],
)
def test_edm4hep(name, text, through):
    jets = read(name, text)
    stem = "ReconstructedParticles/ReconstructedParticles."
    parts = [f"{stem}{q}" for q in ("momentum.x", "momentum.y", "momentum.z", "energy")]
    ends = ("Jet/Jet.particles_begin", "Jet/Jet.particles_end")
    own = [f"Jet/Jet.{q}" for q in ("momentum.x", "momentum.y", "momentum.z", "energy")]
    a = branches(name, "events", *parts, *ends, through, *own)
    expected = []
    for event in range(len(a[through])):
        p4 = np.stack([np.asarray(a[p][event], np.float64) for p in parts], axis=1)
        index = np.asarray(a[through][event])
        ranges = zip(a[ends[0]][event], a[ends[1]][event], strict=True)
        expected.append([p4[index[first:last]] for first, last in ranges])
    assert_jets(jets, expected)
    p4 = np.stack([ak.to_numpy(ak.flatten(a[p])) for p in own], axis=1)
    np.testing.assert_allclose(jets.jet_p4, p4, rtol=2e-5, atol=1e-3)


DELPHES = "layout: delphes"
SOPHON = """
tree: Delphes
jets: JetPUPPI
jet: {pt: JetPUPPI/JetPUPPI.PT, eta: JetPUPPI/JetPUPPI.Eta, phi: JetPUPPI/JetPUPPI.Phi,
      mass: JetPUPPI/JetPUPPI.Mass}
particles:
  pt: ParticleFlowCandidate/ParticleFlowCandidate.PT
  ctg_theta: ParticleFlowCandidate/ParticleFlowCandidate.CtgTheta
  phi: ParticleFlowCandidate/ParticleFlowCandidate.Phi
  mass: ParticleFlowCandidate/ParticleFlowCandidate.Mass
  of_jet: {references: JetPUPPI/JetPUPPI.Constituents}
"""
FLOW = {"EFlowTrack": ("PT", "Mass"), "EFlowPhoton": ("ET", ""), "EFlowNeutralHadron": ("ET", "")}
CANDIDATES = {"ParticleFlowCandidate": ("PT", "Mass")}


def referenced(name: str, jet: str, kinds: dict[str, tuple[str, str]]):
    """Return the momenta of each jet's stored constituents, and which jets have all of theirs."""
    tree = opened(name, "Delphes")
    references = tree[f"{jet}/{jet}.Constituents"].array(library="np")
    stored = []
    angles = "CtgTheta" if kinds is CANDIDATES else "Eta"  # Eta is of where a candidate ends
    for kind, (pt, mass) in kinds.items():
        columns = [tree[f"{kind}/{kind}.{q}"].array() for q in ("fUniqueID", pt, angles, "Phi")]
        stored.append((*columns, tree[f"{kind}/{kind}.{mass}"].array() if mass else 0 * columns[1]))
    expected, complete = [], []
    for event, of_event in enumerate(references):
        known = {}
        for ids, pt, eta, phi, mass in stored:
            # Delphes gives particles at rest eta = 999, and counts their mass.
            angle = np.where(pt[event] > 0, eta[event], 0)
            if angles == "CtgTheta":
                angle = np.arcsinh(angle)
            p4 = momenta(pt[event], angle, phi[event], mass[event])
            known.update(zip((np.asarray(ids[event]) & 0xFFFFFF).tolist(), p4, strict=True))
        own = [[known[r] for r in refs if r in known] for refs in of_event]
        real = [[p4 for p4 in jet if p4[3] > 0] for jet in own]
        expected.append([np.array(p4).reshape(-1, 4) for p4 in real])
        complete += [len(p4) == len(refs) for p4, refs in zip(own, of_event, strict=True)]
    return expected, np.array(complete)


@pytest.mark.parametrize(
    "name, text, jet, kinds, number",
    [
        ("delphes.root", DELPHES, "Jet", FLOW, 106),
        ("sophon_events_delphes_example.root", SOPHON, "JetPUPPI", CANDIDATES, 44),
        (
            "sophon_events_delphes_example.root",
            SOPHON.replace("JetPUPPI", "JetPUPPIAK8"),
            "JetPUPPIAK8",
            CANDIDATES,
            22,
        ),
    ],
)
def test_delphes(name, text, jet, kinds, number):
    expected, complete = referenced(name, jet, kinds)
    assert complete.all()
    jets = read(name, text)
    assert len(jets) == number
    assert_jets(jets, expected)
    sums = np.array([p4.sum(axis=0) for event in expected for p4 in event])
    assert np.all(np.abs(jets.jet_p4 - sums) < 1e-5 * sums[:, 3:])
    if kinds is FLOW:
        charged = (jets["is_charged_hadron"] + jets["is_electron"] + jets["is_muon"]) == 1
        assert np.all((jets["charge"] != 0) == charged)
        assert np.all(charged + jets["is_photon"] + jets["is_neutral_hadron"] == 1)


def test_references_to_what_was_not_stored(caplog):
    """Delphes keeps the candidates that jets are made of only where it is told to."""
    name, text = "sophon_events_delphes_example.root", SOPHON.replace("JetPUPPI", "Jet")
    with pytest.raises(
        InputError, match=r"Jet\.Constituents of jet 0 of event 0 refers to a parti"
    ):
        read(name, text)
    with caplog.at_level("WARNING"):
        jets = read(name, text.replace("nts}", "nts, missing: drop}"))
    assert_jets(jets, referenced(name, "Jet", CANDIDATES)[0])
    assert "1,634 of 1,648 references are to particles that the file does not" in caplog.text


PHYSLITE = """
tree: CollectionTree
jets: Vertices
particles:
  px: HardScatterParticlesAuxDyn.px
  py: HardScatterParticlesAuxDyn.py
  pz: HardScatterParticlesAuxDyn.pz
  energy: HardScatterParticlesAuxDyn.e
  unit: MeV
  of_jet: {links: HardScatterVerticesAuxDyn.outgoingParticleLinks}
"""


def test_physlite_links():
    """The constituents of its jets are not in the file; what leaves the hard scatter is."""
    jets = read("PHYSLITE_example.root", PHYSLITE)
    links = "HardScatterVerticesAuxDyn.outgoingParticleLinks"
    parts = [f"HardScatterParticlesAuxDyn.{q}" for q in ("px", "py", "pz", "e")]
    a = branches("PHYSLITE_example.root", "CollectionTree", links, *parts)
    expected = []
    for event in range(len(a[links])):
        p4 = np.stack([np.asarray(a[p][event], np.float64) / 1000 for p in parts], axis=1)
        expected.append([p4[np.asarray(own.m_persIndex)] for own in a[links][event]])
    assert_jets(jets, expected)


def test_links_to_a_container_that_is_not_there():
    wrong = "AnalysisLargeRJetsAuxDyn.constituentLinks"
    text = PHYSLITE.replace("HardScatterVerticesAuxDyn.outgoingParticleLinks", wrong)
    with pytest.raises(
        InputError, match=r"constituentLinks are to other containers than HardScatterParticles"
    ):
        read("PHYSLITE_example.root", text)


def test_lhc_olympics():
    """The file holds events without jets: the made copy has one jet in each."""
    pytest.importorskip("fastjet")
    rows = "df/block0_values"
    text = f"""
    particles: {{pt: "{rows}[:, 0:2100:3]", eta: "{rows}[:, 1:2100:3]", phi: "{rows}[:, 2:2100:3]",
                mass: 0, of_jet: {{cluster: {{radius: 1.0, min_pt: 500, max_abs_eta: 2}}}}}}
    labels: {{branch: "{rows}[:, 2100]", values: {{signal: 1, background: 0}}}}
    """
    jets = read("lhco.h5", text)
    with h5py.File(file("lhco.h5")) as content:
        values = content[rows][:]
    events = values[:, :2100].reshape(len(values), 700, 3)
    real = events[:, :, 0] > 0
    assert_jets(jets, [[momenta(*e[r].T, 0 * e[r, 0])] for e, r in zip(events, real, strict=True)])
    np.testing.assert_array_equal(jets["signal"], values[:, 2100])
