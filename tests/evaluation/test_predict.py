from dataclasses import replace

import awkward as ak
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

from helpers.files import write_jetclass_parquet, write_jetclass_root, write_toptagging_h5
from helpers.limits import largest_file
from parttag.data.readers import read_chunks
from parttag.errors import InputError
from parttag.evaluation.predict import predict, score_files, score_jets
from parttag.evaluation.scorer import Scorer
from parttag.jets.arrays import concatenate
from parttag.testing import toy_jets

FORMATS = ("root", "h5", "parquet")


@pytest.fixture
def scorer(run) -> Scorer:
    return Scorer.of_run(run, labels_required=False)


def read(path, *names) -> dict[str, list]:
    if path.suffix == ".root":
        with uproot.open(path) as file:
            return {name: file["scores"][name].array().to_list() for name in names}
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return {name: [np.asarray(row).tolist() for row in file[name][:]] for name in names}
    return pq.read_table(path).select(list(names)).to_pydict()


@pytest.mark.parametrize("form", FORMATS)
def test_rows_are_the_jets_of_all_files_in_order_with_the_branches_to_keep(tmp_path, scorer, form):
    arrays = [toy_jets(8, seed=1), toy_jets(5, seed=2)]
    files = [
        write_jetclass_root(tmp_path / f"{i}.root", jets, replaced={"row": np.arange(len(jets))})
        for i, jets in enumerate(arrays)
    ]
    out = tmp_path / f"scores.{form}"
    report = predict(scorer, files, out, keep=["row", "part_px", "label_QCD"])
    assert (report.num_jets, report.num_bad, report.num_unlabelled) == (13, 0, 0)
    found = read(out, "row", "label", "num_particles", "part_px", "label_QCD", "logit_top")
    assert found["row"] == [*range(8), *range(5)]
    assert found["label"] == [i % 2 for i in found["row"]]
    assert found["label_QCD"] == found["label"]
    assert found["num_particles"] == [n for jets in arrays for n in jets.lengths]
    px = [ak.unflatten(jets.p4[:, 0], jets.lengths).to_list() for jets in arrays]
    assert found["part_px"] == px[0] + px[1]
    direct = [scorer.score(jets).logits[:, 0] for path in files for jets in read_chunks(path)]
    np.testing.assert_allclose(found["logit_top"], np.concatenate(direct), rtol=1e-6)


def test_chunks_join_without_a_seam(tmp_path, scorer):
    path = write_jetclass_root(tmp_path / "in.root", toy_jets(11), replaced={"row": np.arange(11)})
    predict(scorer, [path], tmp_path / "whole.parquet", keep=["row"])
    predict(scorer, [path], tmp_path / "parts.parquet", keep=["row"], step_jets=4)
    whole, parts = (
        pq.read_table(tmp_path / f"{name}.parquet").to_pydict() for name in ("whole", "parts")
    )
    assert parts["row"] == whole["row"] == list(range(11))
    np.testing.assert_allclose(parts["logit_QCD"], whole["logit_QCD"], rtol=1e-5, atol=1e-6)


def test_bad_and_unlabelled_jets_keep_their_rows(tmp_path, scorer):
    jets = toy_jets(6)
    p4 = jets.p4.copy()
    p4[jets.offsets[2], 3] = -1
    bad = replace(jets, p4=p4, labels=jets.labels[:, :0], label_names=())
    path = write_jetclass_parquet(tmp_path / "in.parquet", bad)
    report = predict(scorer, [path], tmp_path / "out.h5")
    assert (report.num_jets, report.num_bad, report.num_unlabelled) == (6, 1, 6)
    found = read(tmp_path / "out.h5", "valid", "label", "score_top", "jet_pt")
    assert found["valid"] == [1, 1, 0, 1, 1, 1]
    assert found["label"] == [-1] * 6
    assert np.flatnonzero(np.isnan(found["score_top"])).tolist() == [2]
    assert np.flatnonzero(np.isnan(found["jet_pt"])).tolist() == [2]


def test_strict_leaves_no_file(tmp_path, run):
    path = write_toptagging_h5(tmp_path / "in.h5", toy_jets(lengths=[3, 0, 2]))
    strict = Scorer.of_run(run, labels_required=False, strict=True)
    with pytest.raises(InputError, match=r"in.h5, jet 1: bad jet \(no particles\)"):
        predict(strict, [path], tmp_path / "out.root")
    assert list(tmp_path.iterdir()) == [path]


def test_a_kept_branch_takes_the_place_of_a_jet_quantity(tmp_path, scorer):
    own = np.arange(4, dtype=np.float64)
    path = write_jetclass_root(tmp_path / "in.root", toy_jets(4), replaced={"jet_mass": own})
    predict(scorer, [path], tmp_path / "out.root", keep=["jet_mass"])
    assert read(tmp_path / "out.root", "jet_mass")["jet_mass"] == own.tolist()


@pytest.mark.parametrize("name", ["label", "valid", "score_top", "logit_QCD"])
def test_a_kept_branch_may_not_hide_a_score(tmp_path, scorer, name):
    with pytest.raises(InputError, match=rf'keep="{name}": the scores have a column of this name'):
        predict(scorer, [], tmp_path / "out.root", keep=[name])


def test_a_branch_that_is_not_there_is_named_with_what_is(tmp_path, scorer):
    path = write_jetclass_root(tmp_path / "in.root", toy_jets(4))
    with pytest.raises(InputError, match=r"in.root.*jet_sdmass.*part_px"):
        predict(scorer, [path], tmp_path / "out.root", keep=["jet_sdmass"])
    assert list(tmp_path.iterdir()) == [path]


def test_a_branch_that_changes_its_type_between_files_is_refused(tmp_path, scorer):
    files = [
        write_jetclass_root(
            tmp_path / f"{kind}.root", toy_jets(4), replaced={"tau": np.ones(4, dtype=kind)}
        )
        for kind in ("f4", "f8")
    ]
    with pytest.raises(InputError, match=r"f8.root: branch tau is of type float64, .* float32"):
        predict(scorer, files, tmp_path / "out.parquet", keep=["tau"])


@pytest.mark.parametrize("form", FORMATS)
def test_a_full_disk_leaves_nothing_behind(tmp_path, scorer, form):
    path = write_jetclass_root(tmp_path / "in.root", toy_jets(200))
    with (
        largest_file(4000),
        pytest.raises(InputError, match=rf"out.{form} cannot be written \(file too large\)"),
    ):
        predict(scorer, [path], tmp_path / f"out.{form}", keep=["part_px"])
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_only_if_asked(tmp_path, scorer):
    path = write_jetclass_root(tmp_path / "in.root", toy_jets(4))
    out = tmp_path / "out.h5"
    out.write_text("mine")
    with pytest.raises(InputError, match=r"out.h5 exists already; add overwrite=True"):
        predict(scorer, [path], out)
    assert out.read_text() == "mine"
    predict(scorer, [path], out, overwrite=True)
    assert len(read(out, "label")["label"]) == 4


def test_a_damaged_file_among_good_ones_leaves_nothing(tmp_path, scorer):
    good = write_jetclass_root(tmp_path / "good.root", toy_jets(4))
    damaged = tmp_path / "damaged.root"
    damaged.write_bytes(good.read_bytes()[:500])
    with pytest.raises(InputError, match=r"damaged.root"):
        predict(scorer, [good, damaged], tmp_path / "out.root")
    assert not (tmp_path / "out.root").exists()


def test_the_progress_counts_the_chunks_of_all_files(tmp_path, scorer):
    files = [write_jetclass_root(tmp_path / f"{i}.root", toy_jets(6)) for i in range(2)]
    seen = []

    def watch(items, *, total, description):
        assert (total, description) == (4, "scoring")
        for item in items:
            yield item
            seen.append(item)

    predict(scorer, files, tmp_path / "out.h5", step_jets=4, progress=watch)
    assert len(seen) == 4


def test_scores_in_memory_are_those_of_the_file(tmp_path, run, scorer):
    path = write_jetclass_root(tmp_path / "in.root", toy_jets(12), replaced={"row": np.arange(12)})
    keep = ["row", "part_px"]
    predict(scorer, [path], tmp_path / "out.parquet", keep=keep, step_jets=5)
    expected = pq.read_table(tmp_path / "out.parquet").to_pydict()
    found = score_files(run, path, keep, step_jets=5)
    assert len(found) == 12
    assert found.to_awkward().to_list() == [
        {name: expected[name][row] for name in expected} for row in range(12)
    ]
    jets = concatenate(list(read_chunks(path)))
    in_memory = score_jets(run, jets, step_jets=5)
    np.testing.assert_array_equal(in_memory.logits, found.logits)
    assert list(in_memory.columns()) == [name for name in expected if name not in keep]
    assert repr(found).startswith("Scores: 12 jets (0 bad, 12 of known class) | score_top")
    part = found.take(np.array([7, 2]))
    assert part.columns()["row"].to_list() == [7, 2]


@pytest.mark.parametrize("form", FORMATS)
def test_scores_are_written_as_predict_writes_them(tmp_path, run, scorer, form):
    path = write_jetclass_root(tmp_path / "in.root", toy_jets(6))
    predict(scorer, [path], tmp_path / f"one.{form}", keep=["part_px"])
    found = score_files(run, [path], ["part_px"])
    found.write(tmp_path / f"two.{form}")
    names = ("score_top", "label", "valid", "part_px")
    assert read(tmp_path / f"two.{form}", *names) == read(tmp_path / f"one.{form}", *names)
    with pytest.raises(InputError, match=rf"two.{form} exists already"):
        found.write(tmp_path / f"two.{form}")
    found.write(tmp_path / f"two.{form}", overwrite=True)


def test_scores_are_a_data_frame_of_one_row_a_jet(tmp_path, run):
    path = write_jetclass_root(tmp_path / "in.root", toy_jets(6), replaced={"row": np.arange(6)})
    frame = score_files(run, [path], ["row", "part_px"]).to_pandas()
    assert frame.shape == (6, 13)
    assert frame["row"].to_list() == list(range(6))
    assert frame["row"].dtype == np.int64
    assert [len(jet) for jet in frame["part_px"]] == toy_jets(6).lengths.tolist()
    np.testing.assert_array_equal(frame["logit_top"], score_files(run, [path]).logits[:, 0])


def test_no_jets_have_scores_of_no_rows(run):
    found = score_jets(run, toy_jets(3).span(0, 0))
    assert len(found) == 0
    assert found.to_pandas().shape == (0, 11)


def test_a_name_in_files_may_not_hide_a_score_in_memory_either(tmp_path, run):
    with pytest.raises(InputError, match='keep="label": the scores have a column of this name'):
        score_files(run, [], ["label"])
