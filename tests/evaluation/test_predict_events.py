"""Files whose entries are events: their stores, their scores, and what is said of them."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from parttag.data.jet_files import JetFiles
from parttag.data.preparation.prepare import prepare
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.store.store import JetStore
from parttag.evaluation.predict import score_files
from parttag.inspection.inspect import inspect_files

SHARED = os.environ.get("PARTTAG_SHARED_DATA")
needs_files = pytest.mark.skipif(SHARED is None, reason="PARTTAG_SHARED_DATA is not set")


@pytest.fixture
def pfnano() -> JetFiles:
    columns = ColumnsOptions.model_validate({"layout": "pfnano_fatjet"})
    return JetFiles(Path(SHARED or "") / "files" / "pfnano.root", columns)


@needs_files
def test_a_store_without_labels_keeps_events_and_numbers(tmp_path, run, pfnano):
    prepare(pfnano.paths, tmp_path / "store", columns=pfnano.columns)
    assert JetStore(tmp_path / "store").manifest.label_names == ()
    places = score_files(run, tmp_path / "store").places
    found = sorted(zip(places["event"].tolist(), places["jet"].tolist(), strict=True))
    direct = score_files(run, pfnano).places
    assert found == list(zip(direct["event"].tolist(), direct["jet"].tolist(), strict=True))


@needs_files
def test_events_that_are_read_as_jets_are_pointed_out(caplog, pfnano):
    columns = {"tree": "Events", "particles": {"mass": 0}}
    columns["particles"] |= {q: f"PFCands_{q}" for q in ("pt", "eta", "phi")}
    events = JetFiles(pfnano.paths, ColumnsOptions.model_validate(columns))
    assert "name them in data.columns.jets" in inspect_files(events).warnings[0]
    list(events.chunks())
    assert "name them in data.columns.jets" in caplog.text
    assert not inspect_files(pfnano).warnings


def test_entries_whose_particles_lie_all_over_are_pointed_out(tmp_path, caplog):
    rng = np.random.default_rng(2)
    shape = (20, 60)
    particles = {"pt": rng.exponential(5, shape), "eta": rng.uniform(-4, 4, shape)}
    with h5py.File(tmp_path / "events.h5", "w") as file:
        for name, values in (particles | {"phi": rng.uniform(-3, 3, shape)}).items():
            file[name] = values
            file[f"narrow_{name}"] = values / 10
    for names, wide in (("", True), ("narrow_", False)):
        columns = {"particles": {q: f"{names}{q}" for q in ("pt", "eta", "phi")} | {"mass": 0}}
        files = JetFiles(tmp_path / "events.h5", ColumnsOptions.model_validate(columns))
        caplog.clear()
        list(files.chunks())
        found = [*inspect_files(files).warnings, caplog.text]
        assert all(("name them in data.columns.jets" in text) == wide for text in found)
