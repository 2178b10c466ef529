"""Records and what is no number: fields of parquet's records, references, texts."""

import os
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.mapped import layout, read
from parttag.data.jet_files import JetFiles
from parttag.data.readers import list_branches, read_branches
from parttag.errors import InputError
from parttag.inspection.inspect import inspect_files

DELPHES = Path(os.environ.get("PARTTAG_SHARED_DATA", "/nowhere")) / "files" / "delphes.root"
PT = [[50.0, 20.0], [], [70.0]]
RECORDS = [[{"pt": pt, "eta": 0.5, "phi": 0.1, "name": "a"} for pt in jet] for jet in PT]
TEXT = "particles: {pt: particles.pt, eta: particles.eta, phi: particles.phi, mass: 0}\n"
JET = "jet: {pt: jet.pt, eta: jet.eta, phi: jet.more.phi, mass: 0}\njet_weight: jet.pt"


def by_awkward(path):
    jets = [{"pt": 10.0 + i, "eta": 0.0, "more": {"phi": 1.0}} for i in range(3)]
    ak.to_parquet(ak.Array({"particles": RECORDS, "jet": jets}), path)
    return path


def by_arrow(path):
    jets = [{"pt": 10.0 + i, "eta": 0.0, "more": {"phi": 1.0}} for i in range(3)]
    pq.write_table(pa.table({"particles": RECORDS, "jet": jets}), path)
    return path


@pytest.mark.parametrize("write", [by_awkward, by_arrow])
def test_fields_of_records_are_columns(tmp_path, write):
    path = write(tmp_path / "a.parquet")
    for chunk_jets in (1, 10):
        jets = read(path, TEXT + JET, chunk_jets)
        assert jets.lengths.tolist() == [2, 0, 1]
        pt = np.hypot(jets.p4[:, 0], jets.p4[:, 1])
        np.testing.assert_allclose(pt, [50, 20, 70], rtol=1e-6)
        np.testing.assert_allclose(jets.jet_weights, [10, 11, 12])
        np.testing.assert_allclose(jets.jet_axis[:, 1], 1, rtol=1e-6)
    there = list_branches(path, layout(TEXT))
    assert {"particles", "particles.pt", "jet.more.phi"} <= set(there)
    kept = read_branches(path, ["jet.pt"], layout(TEXT))
    assert kept["jet.pt"].tolist() == [10, 11, 12]


def test_records_as_a_whole_and_other_fields_are_refused(tmp_path):
    path = by_arrow(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"particles must hold .* as in .*particles\.pt"):
        read(path, TEXT.replace("particles.pt", "particles"))
    with pytest.raises(InputError, match=r"particles\.name must hold a number"):
        read(path, TEXT.replace("particles.pt", "particles.name"))
    with pytest.raises(InputError, match=r"no branch particles\.ptt; the nearest is particles\.pt"):
        read(path, TEXT.replace("particles.pt", "particles.ptt"))


def test_lists_of_lists_that_claim_too_much_are_refused(tmp_path):
    inner = pa.array(np.zeros(9_000_000, np.int8))
    lists = pa.ListArray.from_arrays(pa.array([0, 9_000_000], pa.int32()), inner)
    outer = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), lists)
    pq.write_table(pa.table({"p": outer}), tmp_path / "a.parquet")
    text = "particles: {pt: 'p[:, :, 0]', eta: 'p[:, :, 0]', phi: 'p[:, :, 0]', mass: 0}"
    with pytest.raises(InputError, match="9,000,000 particles in 1 jets"):
        read(tmp_path / "a.parquet", text)


def with_other_datasets(path):
    with h5py.File(path, "w") as file:
        for name in ("x", "y"):
            file[name] = np.ones((4, 2))
        file.create_dataset("texts", data=["a", "b", "c", "d"], dtype=h5py.string_dtype())
        file.create_dataset("fixed", data=np.array([b"a"] * 4))
        references = file.create_dataset("links", (4,), h5py.ref_dtype)
        for row in range(4):
            references[row] = file["x"].ref
    return path


@pytest.mark.parametrize("name", ["texts", "fixed", "links"])
def test_texts_and_references_of_hdf5_are_not_called_damaged(tmp_path, name):
    path = with_other_datasets(tmp_path / "a.h5")
    text = "particles: {pt: x, eta: y, phi: y, mass: 0}\n"
    assert len(read(path, text)) == 4
    for more in (f"labels: {{branch: {name}, values: {{a: 1}}}}", f"jet_weight: {name}"):
        with pytest.raises(
            InputError, match=f"{name} must hold .*, not (texts|references)"
        ) as error:
            read(path, text + more)
        assert "damaged" not in str(error.value)
    with pytest.raises(InputError, match=f"{name} must hold"):
        read_branches(path, [name], layout(text))


@pytest.mark.skipif(not DELPHES.exists(), reason="PARTTAG_SHARED_DATA has no files")
def test_references_of_root_are_named_in_one_sentence():
    text = "tree: Delphes\nparticles: {pt: %s, eta: Jet.Eta, phi: Jet.Phi, mass: 0}"
    with pytest.raises(InputError, match=r"Jet.Constituents holds references.*of_jet.references"):
        read(DELPHES, text % "Jet/Jet.Constituents")
    with pytest.raises(InputError, match=r"Jet.Constituents holds references.*of_jet.references"):
        read(DELPHES, text % "Jet.PT" + "\njet_weight: Jet.Constituents")
    tracks = text.replace("Jet.", "EFlowTrack.") % "EFlowTrack.PT"
    assert read(DELPHES, tracks).lengths.sum() > 0
    with pytest.raises(InputError, match=r"the nearest is EFlowTrack/EFlowTrack\.PT: correct"):
        read(DELPHES, tracks.replace("EFlowTrack.PT", "EFlowTrack.Pt"))


def test_momenta_rounded_to_half_precision_are_told_what_helps(tmp_path):
    rng = np.random.default_rng(1)
    pt, eta = rng.uniform(10, 100, (50, 30)), rng.normal(0, 1, (50, 30))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["pt"], file["eta"] = pt.astype("f2"), eta.astype("f2")
        file["phi"], file["e"] = np.zeros((50, 30)), (pt * np.cosh(eta)).astype("f2")
    text = "particles: {pt: pt, eta: eta, phi: phi, energy: e}"
    inspection = inspect_files(JetFiles([tmp_path / "a.h5"], layout(text).columns))
    assert inspection.faults["momentum above energy"] == 50
    assert "mass: 0" in inspection.warnings[-1]
    intake = JetFiles([tmp_path / "a.h5"], layout(text).columns).good_jets()
    assert not any(len(jets) for jets in intake.chunks())
    assert "say mass: 0" in str(intake.counts)
    mended = layout(text.replace("energy: e", "mass: 0")).columns
    assert inspect_files(JetFiles([tmp_path / "a.h5"], mended)).num_bad == 0
