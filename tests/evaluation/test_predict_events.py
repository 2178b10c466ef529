"""Scores of files whose entries are events: one row a jet, matched by run, event and jet."""

import os
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from parttag.data.jet_files import JetFiles
from parttag.data.preparation.prepare import prepare
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.store.store import JetStore
from parttag.evaluation.predict import predict, score_files
from parttag.evaluation.scores import Scorer
from parttag.inspection.inspect import inspect_files

SHARED = os.environ.get("PARTTAG_SHARED_DATA")
needs_files = pytest.mark.skipif(SHARED is None, reason="PARTTAG_SHARED_DATA is not set")

COLUMNS = """
tree: Events
jets: FatJet
jet: {pt: FatJet_pt, eta: FatJet_eta, phi: FatJet_phi, mass: FatJet_mass}
particles: {pt: CANDS_pt, eta: CANDS_eta, phi: CANDS_phi, mass: CANDS_mass,
            of_jet: {jet: TABLE_jetIdx, particle: TABLE_INDEX}}
"""
NAMES = {
    "pfnano.root": ("PFCands", "FatJetPFCands", "pFCandsIdx"),
    "nano_tt_v15.root": ("PFCand", "FatJetPFCand", "pfCandIdx"),
}


def files(name: str) -> JetFiles:
    text = COLUMNS
    for key, value in zip(("CANDS", "TABLE", "INDEX"), NAMES[name], strict=True):
        text = text.replace(key, value)
    columns = ColumnsOptions.model_validate(yaml.safe_load(text))
    return JetFiles(Path(SHARED or "") / "files" / name, columns)


@needs_files
@pytest.mark.parametrize("name", NAMES)
def test_jets_of_cms_events_are_scored_in_order(tmp_path, run, name):
    scorer, out = Scorer.of_run(run, labels_required=False), tmp_path / "scores.root"
    predict(scorer, files(name), out, keep=["run", "event", "FatJet_msoftdrop"], step_jets=7)
    scores = uproot.open(out)["scores"].arrays(library="np")
    wanted = ["run", "event", "FatJet_pt", "FatJet_msoftdrop"]
    events = uproot.open(files(name).paths[0])["Events"].arrays(wanted)
    rows = [
        (event.run, event.event, jet, event.FatJet_pt[jet], event.FatJet_msoftdrop[jet])
        for event in events
        for jet in range(len(event.FatJet_pt))
    ]
    assert len(scores["jet"]) == len(rows)
    found = zip(*(scores[n].tolist() for n in ("run", "event", "jet")), strict=True)
    assert list(found) == [row[:3] for row in rows]
    np.testing.assert_allclose(scores["FatJet_msoftdrop"], [row[4] for row in rows])
    valid = scores["valid"] == 1
    pt = np.array([row[3] for row in rows])[valid]
    np.testing.assert_allclose(scores["jet_pt"][valid], pt, rtol=1e-5)
    assert np.isfinite(scores["logit_top"][valid]).all()
    entries = score_files(run, files(name)).places["event"]
    numbers = ak.to_numpy(events.event)[entries]
    np.testing.assert_array_equal(numbers, scores["event"])


@needs_files
def test_a_store_without_labels_keeps_events_and_numbers(tmp_path, run):
    prepare(files("pfnano.root").paths, tmp_path / "store", columns=files("pfnano.root").columns)
    assert JetStore(tmp_path / "store").manifest.label_names == ()
    places = score_files(run, tmp_path / "store").places
    found = sorted(zip(places["event"].tolist(), places["jet"].tolist(), strict=True))
    direct = score_files(run, files("pfnano.root")).places
    assert found == list(zip(direct["event"].tolist(), direct["jet"].tolist(), strict=True))


@needs_files
def test_events_that_are_read_as_jets_are_pointed_out(caplog):
    columns = {"tree": "Events", "particles": {"mass": 0}}
    columns["particles"] |= {q: f"PFCands_{q}" for q in ("pt", "eta", "phi")}
    path = files("pfnano.root").paths[0]
    events = JetFiles(path, ColumnsOptions.model_validate(columns))
    assert "name them in data.columns.jets" in inspect_files(events).warnings[0]
    list(events.chunks())
    assert "name them in data.columns.jets" in caplog.text
    assert not inspect_files(files("pfnano.root")).warnings
