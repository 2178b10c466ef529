"""A tagger trained on simulated jets scores those of CMS events, by the command as users give it.

Its scores are matched by run, event and jet with what uproot reads of the events.
"""

import os
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from helpers.runs import NETWORK
from parttag import cli
from parttag.api.jets import simulate
from parttag.jets.arrays import JetArrays
from parttag.runs.config import load_config
from parttag.runs.train import train_run
from parttag.testing import toy_jets

SHARED = os.environ.get("PARTTAG_SHARED_DATA")


@pytest.fixture(scope="module")
def tagger(tmp_path_factory) -> Path:
    """A small network that has seen a few hundred jets of Pythia's, top and QCD."""
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    folder = tmp_path_factory.mktemp("simulated")
    simulate("toptagging", 300, folder / "jets", windows="demonstration", processes=1)
    files = {name: str(folder / "jets" / name / "*.root") for name in ("train", "val")}
    content = {
        "data": {**files, "classes": {"top": ["label_top"], "QCD": ["label_QCD"]}},
        "model": NETWORK,
        "training": {"batch_size": 32, "epochs": 2, "device": "cpu"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return train_run(load_config(folder / "config.yaml", []), folder / "run")


def cms_events(path: Path, jets: JetArrays, names: tuple[str, str, str]) -> Path:
    """Write events of none, two, one, two … jets; in the second the candidates are shuffled."""
    candidates, table, which = names
    rng = np.random.default_rng(4)
    columns: dict[str, list] = {}
    first = 0
    for event, number in enumerate([0, 2, 1, 2, 0, 3]):
        own = range(first, first + number)
        first += number
        particles = [jets.p4[jets.offsets[i] : jets.offsets[i + 1]].astype(float) for i in own]
        lengths = [len(p4) for p4 in particles]
        stored = rng.permutation(sum(lengths))
        p4 = np.zeros((sum(lengths), 4))
        p4[stored] = np.concatenate([np.zeros((0, 4)), *particles])
        values = {f"{candidates}_{n}": v for n, v in by_pt(p4).items()}
        values |= {f"FatJet_{n}": v for n, v in by_pt(jets.jet_p4[own.start : own.stop]).items()}
        values |= {
            f"{candidates}_pdgId": np.full(len(p4), 211),
            f"{candidates}_puppiWeight": np.ones(len(p4)),
            f"{candidates}_charge": np.ones(len(p4), dtype=int),
            f"{table}_jetIdx": np.repeat(np.arange(number), lengths),
            f"{table}_{which}": stored,
            "FatJet_msoftdrop": 100.0 * event + np.arange(number),
            "run": 7,
            "event": 4_000_000_000 + event,
            "genWeight": 0.5 + event,
        }
        for name, value in values.items():
            columns.setdefault(name, []).append(value)
    branches = {n: np.array(v) if np.isscalar(v[0]) else ak.Array(v) for n, v in columns.items()}
    whole = [n for n in branches if n.endswith(("Idx", "pdgId", "charge"))]
    branches |= {name: ak.values_astype(branches[name], np.int32) for name in whole}
    types = {
        n: b.dtype if isinstance(b, np.ndarray) else b.type.content for n, b in branches.items()
    }
    with uproot.recreate(path) as file:
        file.mktree("Events", types).extend(branches)
    return path


def by_pt(p4: np.ndarray) -> dict[str, np.ndarray]:
    p4 = p4.astype(float).reshape(-1, 4)
    pt = np.hypot(p4[:, 0], p4[:, 1])
    mass2 = p4[:, 3] ** 2 - (p4[:, :3] ** 2).sum(axis=1)
    phi, eta = np.arctan2(p4[:, 1], p4[:, 0]), np.arcsinh(p4[:, 2] / pt)
    return {"pt": pt, "eta": eta, "phi": phi, "mass": np.sqrt(np.maximum(mass2, 0))}


PFNANO = ("PFCands", "FatJetPFCands", "pFCandsIdx")
NANOAOD = ("PFCand", "FatJetPFCand", "pfCandIdx")
KEPT = ("run", "event", "genWeight", "FatJet_pt", "FatJet_msoftdrop")


def assert_scored(path: Path, layout: str, tagger: Path, folder: Path, monkeypatch) -> None:
    """Score a file of events, and compare what comes out with the events, row by row."""
    (folder / "columns.yaml").write_text(f"columns: {{layout: {layout}}}")
    words = ["predict", tagger, path, "--out", folder / "scores.root", "--keep", ",".join(KEPT[:3])]
    words += [word for name in KEPT[3:] for word in ("--keep", name)]  # all of them are kept
    words += ["--columns", folder / "columns.yaml", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["parttag", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    with uproot.open(folder / "scores.root") as file:
        scores = file["scores"].arrays(library="np")
    with uproot.open(path) as file:
        events = file["Events"].arrays(list(KEPT))
    rows = [
        (event.run, event.event, jet, event.genWeight, event.FatJet_pt[jet], mass)
        for event in events
        for jet, mass in enumerate(event.FatJet_msoftdrop)
    ]
    assert len(scores["jet"]) == len(rows) > 5
    run, number, jet, weight, pt, mass = (np.array(column) for column in zip(*rows, strict=True))
    for name, expected in (("run", run), ("event", number), ("jet", jet), ("genWeight", weight)):
        np.testing.assert_array_equal(scores[name], expected)
    np.testing.assert_array_equal(scores["FatJet_pt"], pt)
    np.testing.assert_array_equal(scores["FatJet_msoftdrop"], mass)
    valid = scores["valid"] == 1
    np.testing.assert_allclose(scores["jet_pt"][valid], pt[valid], rtol=1e-5)
    assert np.isfinite(scores["logit_top"][valid]).all()
    assert np.isnan(scores["logit_top"][~valid]).all()
    assert valid.mean() > 0.9
    assert len({f"{logit:.6g}" for logit in scores["logit_top"][valid]}) > 5


@pytest.mark.parametrize(
    "layout, names", [("pfnano_fatjet", PFNANO), ("nanoaod_v15_fatjet", NANOAOD)]
)
def test_jets_of_made_events_are_scored_one_row_each(tmp_path, tagger, monkeypatch, layout, names):
    path = cms_events(tmp_path / "events.root", toy_jets(8, seed=3), names)
    assert_scored(path, layout, tagger, tmp_path, monkeypatch)


@pytest.mark.skipif(SHARED is None, reason="PARTTAG_SHARED_DATA is not set")
@pytest.mark.parametrize(
    "layout, name",
    [("pfnano_fatjet", "pfnano.root"), ("nanoaod_v15_fatjet", "nano_tt_v15.root")],
)
def test_jets_of_cms_files_are_scored_one_row_each(tmp_path, tagger, monkeypatch, layout, name):
    path = Path(SHARED or "") / "files" / name
    assert_scored(path, layout, tagger, tmp_path, monkeypatch)
