"""``data.folds``: a training a fold, and each jet scored by the network that has not seen it."""

import json
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import uproot
import yaml

from helpers.files import write_jetclass_root
from helpers.ranks import RankGroup
from helpers.runs import same_weights
from parttag import cli
from parttag.data.jet_files import JetFiles
from parttag.data.preparation.prepare import prepare
from parttag.errors import InputError
from parttag.evaluation.predict import score_files
from parttag.evaluation.probe import probe_run
from parttag.evaluation.scorer import Scorer
from parttag.jets.arrays import split_index
from parttag.runs.config import load_config
from parttag.runs.run import join_folds, load_run
from parttag.runs.train import open_jets, train_run
from parttag.testing import toy_jets

NUMBER, JETS = 3, 60
FIRST_EVENT = 2**53  # of which float64 holds only every second one


def events_of(seed: int, jets: int) -> np.ndarray:
    return FIRST_EVENT + np.random.default_rng(seed).permutation(4 * jets)[:jets].astype(np.int64)


def write_jets(path: Path, seed: int, jets: int = JETS, **more: np.ndarray) -> Path:
    branches = {"eventNumber": events_of(seed, jets), **more}
    return write_jetclass_root(path, toy_jets(jets, seed), replaced=branches)


def write_config(folder: Path, name: str = "config.yaml", **of_data) -> Path:
    content = {
        "data": {
            "train": str(folder / "train.root"),
            "classes": {"top": ["label_top"], "QCD": ["label_QCD"]},
            "folds": {"number": NUMBER, "by": "eventNumber"},
            **of_data,
        },
        "model": {"name": "pfn", "particle_dims": [8, 8], "jet_dims": [8]},
        "training": {"batch_size": 8, "epochs": 2, "device": "cpu", "rank_timeout": 60.0},
    }
    path = folder / name
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    write_jets(folder / "train.root", 1)
    write_jets(folder / "new.root", 2, 30)
    return folder


def run_command(*arguments):
    """Run a command in this process; return its exit code."""
    before, sys.argv = sys.argv, ["parttag", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as end:
        return end.code or 0
    finally:
        sys.argv = before
    return 0


@pytest.fixture(scope="module")
def run(folder):
    assert run_command("train", write_config(folder), "--out", folder / "run") == 0
    return folder / "run"


def in_file_order(jets):
    _, rows = split_index(jets.index)
    return rows


def test_every_jet_is_scored_once_by_a_network_that_has_not_seen_it(folder, run):
    events = events_of(1, JETS)
    with h5py.File(run / "evaluation" / "scores.h5") as file:
        logits = np.stack([file["logit_top"][()], file["logit_QCD"][()]], axis=1)
        assert file["used"][()].sum() == len(logits) == JETS
    jets = JetFiles(folder / "train.root").read()
    seen = []
    for fold in range(NUMBER):
        own = load_run(run / f"fold_{fold}")
        assert own.config.data.folds.held_out == fold
        data = open_jets(own.config, "train")
        trained_on = in_file_order(data.take(np.arange(len(data))))
        assert sorted(trained_on) == np.flatnonzero(events % NUMBER != fold).tolist()
        seen.append(set(trained_on))
        held_out = np.flatnonzero(events % NUMBER == fold)
        scorer = Scorer.of_run(own, labels_required=True)
        expected = scorer.score(jets.take(held_out)).logits
        np.testing.assert_allclose(logits[held_out], expected, rtol=1e-5, atol=1e-6)
    assert len(set(map(frozenset, seen))) == NUMBER
    assert json.loads((run / "evaluation" / "metrics.json").read_text())["num_jets"] == {
        "top": int(jets.labels[:, jets.label_names.index("label_top")].sum()),
        "QCD": int(jets.labels[:, jets.label_names.index("label_QCD")].sum()),
    }


def test_new_files_are_scored_by_the_fold_of_their_events(folder, run, tmp_path):
    events = events_of(2, 30)
    folds = [run / f"fold_{fold}" for fold in (2, 0, 1)]
    for number, runs in enumerate(([run], folds)):
        out = tmp_path / f"{number}.root"
        assert (
            run_command(
                "predict", *runs, folder / "new.root", "--out", out, "--keep", "eventNumber"
            )
            == 0
        )
    ours, theirs = (
        uproot.open(tmp_path / f"{n}.root")["scores"].arrays(library="np") for n in (0, 1)
    )
    for name, column in ours.items():
        np.testing.assert_array_equal(theirs[name], column)
    np.testing.assert_array_equal(ours["eventNumber"], events)
    for fold in range(NUMBER):
        alone = score_files(load_run(run / f"fold_{fold}"), folder / "new.root")
        own = events % NUMBER == fold
        np.testing.assert_allclose(
            ours["logit_top"][own], alone.logits[own, 0], rtol=1e-5, atol=1e-6
        )
        others = ours["logit_top"][~own] != alone.logits[~own, 0]
        assert others.all()


def test_an_interrupted_run_goes_on_where_it_was(folder, run, tmp_path):
    cut, config = tmp_path / "cut", folder / "config.yaml"
    # In the second epoch of the second fold: its first has 6 steps or so.
    RankGroup(1, [(config, cut)], hurt="0:4:terminate").wait()
    assert (cut / "fold_0" / "checkpoints").is_dir()
    assert not (cut / "fold_2").exists()
    assert run_command("train", config, "--out", cut) == 0
    for fold in range(NUMBER):
        assert same_weights(run / f"fold_{fold}", cut / f"fold_{fold}")
    before = (cut / "fold_2" / "checkpoints" / "last.pt").stat().st_mtime_ns
    assert run_command("train", config, "--out", cut) == 0
    assert (cut / "fold_2" / "checkpoints" / "last.pt").stat().st_mtime_ns == before
    assert run_command("train", config, "data.folds.number=2", "--out", cut) == 2


def test_a_store_makes_the_same_folds(folder, run, tmp_path):
    store = tmp_path / "store"
    prepare([folder / "train.root"], store, column_names=["eventNumber"], shuffle=False)
    config = load_config(folder / "config.yaml", [f"data.train={store}"])
    from_store = load_run(train_run(config, tmp_path / "run"))
    scored = score_files(from_store, store)
    assert len(scored) == JETS
    assert np.isfinite(scored.logits).all()
    assert same_weights(tmp_path / "run" / "fold_1", run / "fold_1")


@pytest.mark.parametrize(
    ("branch", "message"),
    [
        ("jet_pt", "no whole number"),
        ("event", "eventNumber"),
        ("part_px", "no column 'part_px' of its jets"),
    ],
)
def test_a_column_that_is_no_number_of_an_event_is_refused(folder, tmp_path, branch, message):
    config = load_config(folder / "config.yaml", [f"data.folds.by={branch}"])
    with pytest.raises(InputError, match=message):
        train_run(config, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*/checkpoints/*.pt"))


def test_what_is_not_all_folds_is_refused_and_what_needs_one_network(folder, run, tmp_path):
    runs = [load_run(run / f"fold_{fold}") for fold in range(NUMBER)]
    with pytest.raises(InputError, match=r"of 3 folds there are 2 runs, and that of fold 1"):
        join_folds([runs[0], runs[2]])
    with pytest.raises(InputError, match="give each fold once"):
        join_folds([*runs, runs[0]])
    with pytest.raises(InputError, match="a probe cannot take: give one of them"):
        probe_run(load_run(run))
    with pytest.raises(InputError, match=r"no column .eventNumber. of its jets"):
        Scorer.of_run(load_run(run), labels_required=False).score(toy_jets(4, 0))
    lacking = tmp_path / "lacking"
    shutil.copytree(run, lacking)
    shutil.rmtree(lacking / "fold_1")
    with pytest.raises(InputError, match="fold_1 is not a run"):
        load_run(lacking)
