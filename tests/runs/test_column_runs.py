"""Columns of one's own from files through training, continuation and use, by the command line."""

import re
import sys
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest
import torch
import yaml

from helpers.files import write_jetclass_parquet, write_jetclass_root
from helpers.ranks import RankGroup, run_under_torchrun
from helpers.runs import same_weights
from parttag import cli
from parttag.data.jet_files import JetFiles
from parttag.data.loading.dataset import open_dataset
from parttag.data.preparation.prepare import prepare
from parttag.data.readers.columns import ColumnsOptions
from parttag.data.readers.more_columns import WantedColumns
from parttag.data.store.store import JetStore
from parttag.errors import InputError
from parttag.jets.column_features import ColumnFeature
from parttag.jets.value_counts import ValueCounts
from parttag.options import read_options
from parttag.runs.config import load_config
from parttag.runs.feature_options import FeatureOfColumn
from parttag.runs.standardization import measure
from parttag.testing import toy_jets
from parttag.training.distributed import Ranks

CLASSES = {"top": ["label_top"], "QCD": ["label_QCD"]}


def columns_of(jets, seed: int):
    rng = np.random.default_rng(seed)
    number = len(jets.p4)
    chi2 = rng.exponential(size=number).astype(np.float32)
    chi2[::17] = np.nan
    particles = {
        "part_chi2": chi2,
        "part_quality": rng.integers(0, 8, size=number).astype(np.int8),
        "part_only": rng.normal(5, 0.1, size=number),
    }
    softdrop = rng.normal(80, 20, size=len(jets)).astype(np.float32)
    return particles, {"jet_softdrop": softdrop, "jet_num_sv": softdrop.astype(np.int32) % 5}


def write_jets(path: Path, seed: int, jets: int = 60, *, without=()) -> Path:
    arrays = toy_jets(jets, seed)
    particles, of_jets = columns_of(arrays, seed)
    more = {n: ak.unflatten(v, arrays.lengths) for n, v in particles.items()} | of_jets
    more["part_constant"] = ak.unflatten(np.full(len(arrays.p4), 0.5), arrays.lengths)
    more["part_nan"] = ak.unflatten(np.full(len(arrays.p4), np.nan), arrays.lengths)
    write = write_jetclass_root if path.suffix == ".root" else write_jetclass_parquet
    return write(path, arrays, replaced=more, without=without)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("columns")
    write_jets(folder / "train.root", 1)
    write_jets(folder / "val.parquet", 2, 30)
    write_jets(folder / "lacking.root", 3, 10, without=["part_chi2"])
    return folder


@pytest.fixture
def run_command(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["parttag", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        output = capsys.readouterr()
        return end.value.code or 0, output.out, output.err

    return run


def test_a_scale_as_weavers_is_of_the_wider_side_of_the_median(folder):
    columns = ["part_chi2", "part_constant"]
    wanted = WantedColumns(particles=tuple(columns))
    data = open_dataset(JetFiles(folder / "train.root", wanted=wanted), CLASSES)
    features = [
        FeatureOfColumn(ColumnFeature(column=c, width="wider_side", missing=None)) for c in columns
    ]
    chi2, constant = (m.feature("train") for m in measure(data, features))
    values = columns_of(toy_jets(60, 1), 1)[0]["part_chi2"]
    low, middle, high = np.percentile(values[np.isfinite(values)], [16, 50, 84])
    assert chi2.centre == pytest.approx(middle, rel=1e-5)
    assert chi2.scale == pytest.approx(1 / max(high - middle, middle - low), rel=1e-5)
    assert (constant.centre, constant.scale) == (0.5, 1)
    seen = chi2.standardize(chi2.finite(torch.tensor([np.nan, np.inf, middle])))
    assert seen[0] == 0 and seen[1] == 0 and abs(seen[2]) < 1e-5
    clipped = chi2.model_copy(update={"infinite": "clip"})
    seen = clipped.standardize(clipped.finite(torch.tensor([np.nan, np.inf, -np.inf])))
    assert seen.tolist() == [0, 5, -5]
    with pytest.raises(InputError, match="clip needs the limits"):
        read_options(ColumnFeature, {"column": "x", "infinite": "clip", "clip": None})


def write_config(folder: Path, name: str = "config.yaml", **changes) -> Path:
    content = {
        "data": {
            "train": str(folder / "train.root"),
            "val": str(folder / "val.parquet"),
            "test": str(folder / "val.parquet"),
            "classes": CLASSES,
            "columns": {"jet_extra": {"softdrop": "jet_softdrop"}},
        },
        "features": [
            "kin",
            "part_quality",
            {"column": "part_chi2", "transform": "log1p", "missing": -1},
            {"column": "part_only", "centre": 5, "scale": 10},
        ],
        "jet_features": ["log_pt", "softdrop", "jet_num_sv"],
        "model": {"name": "pfn", "particle_dims": [8, 8], "jet_dims": [8]},
        "training": {"batch_size": 16, "epochs": 2, "device": "cpu", "rank_timeout": 60.0},
    }
    path = folder / name
    path.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False))
    return path


def numbers_of(run: Path):
    content = yaml.safe_load((run / "config.yaml").read_text())
    return content["features"], content["jet_features"]["names"]


def test_train_continue_evaluate_and_predict_with_columns(run_command, folder, tmp_path):
    config, whole, cut = write_config(folder), tmp_path / "whole", tmp_path / "cut"
    assert run_command("train", config, "--out", whole)[0] == 0
    features, of_jets = numbers_of(whole)
    jets = toy_jets(60, 1)
    particles, jet_columns = columns_of(jets, 1)
    log1p = np.log1p(particles["part_chi2"].astype(np.float64))
    log1p = log1p[np.isfinite(log1p)]
    low, middle, high = np.quantile(log1p, (0.16, 0.5, 0.84))
    assert features[0] == "kin"
    assert features[2]["centre"] == pytest.approx(middle, rel=1e-5)
    assert features[2]["scale"] == pytest.approx(2 / (high - low), rel=1e-5)
    assert features[3] == {
        "column": "part_only",
        "transform": "none",
        "centre": 5.0,
        "scale": 10.0,
        "clip": [-5.0, 5.0],
        "missing": 0.0,
        "infinite": "missing",
        "width": "middle",
    }
    softdrop = np.quantile(jet_columns["jet_softdrop"].astype(np.float64), (0.16, 0.5, 0.84))
    assert of_jets[1]["centre"] == pytest.approx(softdrop[1], rel=1e-5)
    assert of_jets[1]["scale"] == pytest.approx(2 / (softdrop[2] - softdrop[0]), rel=1e-5)
    missing = int(np.isnan(particles["part_chi2"]).sum())
    log = (whole / "train.log").read_text()
    assert f"log1p_part_chi2: centre {features[2]['centre']:g}" in log
    assert f"{missing:,} of {len(jets.p4):,} values are not finite and count as -1" in log

    # Stopped in the second epoch and continued: the same numbers and the same weights.
    RankGroup(1, [(config, cut)], hurt="0:5:terminate").wait()
    assert not (cut / "evaluation").exists()
    assert numbers_of(cut) == (features, of_jets)
    code, _, err = run_command("train", config, "--out", cut)
    assert code == 0, err
    assert same_weights(whole, cut)
    code, _, err = run_command("train", config, "--out", whole)
    assert code == 0, err
    assert numbers_of(whole) == (features, of_jets)

    code, _, err = run_command("evaluate", whole, "--overwrite")
    assert code == 0, err
    code, _, err = run_command(
        "predict", whole, folder / "val.parquet", "--out", tmp_path / "scores.parquet"
    )
    assert code == 0, err
    scores = ak.from_parquet(tmp_path / "scores.parquet")
    assert np.isfinite(scores["score_top"].to_numpy()).all()
    assert len(scores) == 30

    # Fine-tuning keeps what the weights have been trained with, whatever its jets say.
    fine = write_config(
        folder, "fine.yaml", init_from={"path": str(whole)}, training={"epochs": 1, "device": "cpu"}
    )
    code, _, err = run_command(
        "train",
        fine,
        "--out",
        tmp_path / "fine",
        f"data.train={folder / 'val.parquet'}",
        f"data.val={folder / 'train.root'}",
        f"data.test={folder / 'train.root'}",
    )
    assert code == 0, err
    assert numbers_of(tmp_path / "fine") == (features, of_jets)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"features": ["kin", "part_chi"]},
            "features: there is no feature 'part_chi', and .*val.parquet has no branch of that "
            "name.*; the nearest is part_chi2",
        ),
        (
            {"features": ["log_ptt"]},
            "there is no feature 'log_ptt'.* the nearest is log_pt$",
        ),
        (
            {"jet_features": ["softdrop", "jet_sofdrop"]},
            "jet_features: there is no feature 'jet_sofdrop'.*; the nearest is jet_softdrop",
        ),
        (
            {"features": ["kin", "part_constant"]},
            "features: part_constant is 0.5 for all particles of data.train, which tells nothing",
        ),
        (
            {"features": ["kin", "part_nan"]},
            "features: part_nan is no finite number for any of the [0-9,]+ particles of data.train",
        ),
        (
            {"jet_features": ["part_chi2"]},
            "part_chi2 must hold one number a jet, not a list",
        ),
        (
            {"features": ["jet_softdrop"]},
            "jet_softdrop must hold a list of numbers, one a particle",
        ),
        (
            {"features": ["kin"], "model": {"name": "omnijet"}},
            "jet_features: omnijet has no place for them beside its representation",
        ),
        (
            {
                "features": "kin",
                "jet_features": {"to": "particles", "names": ["log_pt"]},
                "model": {"name": "lorentz_net"},
            },
            "jet_features: lorentz_net makes its own inputs from four-momenta; leave jet_features",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_written(
    run_command, folder, tmp_path, changes, sentence
):
    config = write_config(folder, "wrong.yaml", **changes)
    code, _, err = run_command("train", config, "--out", tmp_path / "run")
    assert code == 2
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert re.search(sentence, " ".join(err.split())), err


def test_a_column_that_one_file_lacks_is_refused_by_name(run_command, folder, tmp_path):
    config = write_config(folder, "two.yaml")
    files = f"data.train=[{folder / 'train.root'}, {folder / 'lacking.root'}]"
    code, _, err = run_command("train", config, files, "--out", tmp_path / "run")
    assert code == 2
    assert "lacking.root has no branch of that name" in " ".join(err.split())
    assert "'part_chi2'" in err


def test_stores_keep_the_columns_that_are_named_in_their_types(run_command, folder, tmp_path):
    columns = tmp_path / "columns.yaml"
    columns.write_text("columns: {jet_extra: {softdrop: jet_softdrop}}")
    code, _, err = run_command(
        "prepare", folder / "train.root", "--out", tmp_path / "store", "--no-shuffle",
        "--columns", f"{columns},softdrop,part_quality,part_chi2,jet_num_sv",
    )  # fmt: skip
    assert code == 0, err
    store = JetStore(tmp_path / "store")
    assert dict(store.manifest.column_types) == {"part_quality": "|i1", "part_chi2": "<f4"}
    assert dict(store.manifest.jet_column_types) == {"softdrop": "<f4", "jet_num_sv": "<i4"}
    arrays = toy_jets(60, 1)
    particles, of_jets = columns_of(arrays, 1)
    for jets in (store.read([(0, 60)]), store.take(np.arange(60))):
        assert np.array_equal(jets["part_quality"], particles["part_quality"])
        assert np.array_equal(jets["part_chi2"], particles["part_chi2"], equal_nan=True)
        assert np.array_equal(jets["softdrop"], of_jets["jet_softdrop"])
    with pytest.raises(InputError, match=r"particle column 'part_chi'.*; the nearest is part_chi2"):
        wanted = WantedColumns(particles=("part_chi",))
        open_dataset(JetFiles(tmp_path / "store", wanted=wanted), CLASSES)


def test_standardization_is_the_same_for_any_split(folder, tmp_path):
    names = (
        FeatureOfColumn(ColumnFeature(column="part_chi2")),
        FeatureOfColumn(ColumnFeature(column="log_pt_rel")),
        FeatureOfColumn(ColumnFeature(column="jet_softdrop"), of_jet=True),
    )
    wanted = WantedColumns(particles=("part_chi2",), jets=("jet_softdrop",))
    arguments = {"column_names": ["part_chi2", "jet_softdrop"]}
    prepare([folder / "train.root"], tmp_path / "one", **arguments)
    prepare([folder / "train.root"], tmp_path / "three", shard_bytes=20_000, **arguments)
    assert len(JetStore(tmp_path / "three").manifest.shards) >= 3

    class Rank(Ranks):
        """One of two ranks; what they gather is merged by the test."""

        def gather(self, rows):
            return [rows]

    tables = []
    for place in (folder / "train.root", tmp_path / "one", tmp_path / "three"):
        data = open_dataset(JetFiles(place, wanted=wanted), CLASSES)
        for chunk_jets in (7, 1000):
            found = measure(data, names, chunk_jets=chunk_jets)
            tables.append([measurement.counts.to_table() for measurement in found])
        parts = [measure(data, names, Rank(rank, 2), chunk_jets=5) for rank in (0, 1)]
        merged = []
        for one, other in zip(*parts, strict=True):
            whole = ValueCounts.of_table(one.counts.to_table())
            whole.merge(other.counts)
            merged.append(whole.to_table())
        tables.append(merged)
    for table in tables[1:]:
        assert all(map(np.array_equal, table, tables[0]))


def test_a_flag_that_is_rarely_set_has_a_width(folder):
    data = open_dataset(
        JetFiles(folder / "train.root", wanted=WantedColumns(particles=("part_quality",))), CLASSES
    )
    (measurement,) = measure(data, (FeatureOfColumn(ColumnFeature(column="part_quality")),))
    rare = ValueCounts()
    rare.add(np.repeat(np.float32([0, 1]), [999, 1]))
    measurement.counts = rare
    feature = measurement.feature("data.train")
    assert (feature.centre, feature.scale) == (0.0, 1.0)


def test_names_of_parttags_own_are_refused_for_columns(folder):
    data = {"columns": {"jet_extra": {"log_pt": "jet_softdrop"}}, "train": "x", "classes": CLASSES}
    path = write_config(folder, "taken.yaml", data=data)
    with pytest.raises(InputError, match=r"data.columns.jet_extra.log_pt: log_pt is a feature of"):
        load_config(path)


def test_two_ranks_measure_what_one_does(run_command, folder, tmp_path):
    config = write_config(folder)
    assert run_command("train", config, "--out", tmp_path / "one")[0] == 0
    run_under_torchrun(2, config, tmp_path / "two")
    assert numbers_of(tmp_path / "two") == numbers_of(tmp_path / "one")


def test_columns_of_a_foreign_file_keep_their_particles_and_types(folder, tmp_path):
    """Particles in any order, a slot of padding among them, and a column in half precision."""
    pt = [[1.0, 5.0, 0.0, 3.0], [2.0, 0.0, 0.0, 4.0]]
    branches = {
        name: np.float32(values)
        for name, values in {"pt": pt, "eta": np.zeros((2, 4)), "phi": np.zeros((2, 4))}.items()
    }
    branches["q"] = np.int8([[1, 2, 3, 4], [5, 6, 7, 8]])
    branches["w"] = np.float16([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]])
    branches["nsv"] = np.int8([3, 4])
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        for name, values in branches.items():
            file[name] = values
    extra = {"quality": "q", "w": "w"}
    particles = {"pt": "pt", "eta": "eta", "phi": "phi", "mass": 0, "extra": extra}
    columns = read_options(ColumnsOptions, {"particles": particles, "jet_extra": {"num_sv": "nsv"}})
    jets = JetFiles(tmp_path / "jets.h5", columns).read()
    assert jets["quality"].tolist() == [2, 4, 1, 8, 5]
    assert jets["quality"].dtype == np.int8
    assert np.array_equal(jets["w"], np.float16([0.2, 0.4, 0.1, 0.8, 0.5]))
    assert jets["w"].dtype == np.float16
    assert jets["num_sv"].tolist() == [3, 4]
    assert "columns: quality, w" in repr(jets)
    prepare([tmp_path / "jets.h5"], tmp_path / "store", columns=columns, column_names=["w"])
    assert JetStore(tmp_path / "store").manifest.column_types == (("w", "<f2"),)
    with pytest.raises(InputError, match=r"columns\.particles\.extra\.w"):
        wrong = {**particles, "extra": {"w": "ww"}}
        JetFiles(tmp_path / "jets.h5", read_options(ColumnsOptions, {"particles": wrong})).read()
    with pytest.raises(InputError, match="charge is a column that parttag knows"):
        read_options(ColumnsOptions, {"particles": {**particles, "extra": {"charge": "q"}}})


def test_plain_h5py_reads_the_columns_of_a_store(folder, tmp_path):
    prepare([folder / "train.root"], tmp_path / "store", shuffle=False, column_names=["part_chi2"])
    with h5py.File(tmp_path / "store" / "shard-00000.h5") as file:
        chi2 = file["columns"]["part_chi2"]
    assert np.array_equal(chi2, columns_of(toy_jets(60, 1), 1)[0]["part_chi2"], equal_nan=True)
