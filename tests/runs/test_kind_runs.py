"""Kinds of particles from files through training, continuation and use, by the command line."""

import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import yaml

from helpers.kinds import write_three_kinds, write_tracks
from helpers.ranks import RankGroup
from helpers.runs import same_weights
from parttag import cli
from parttag.data.store.store import JetStore
from parttag.runs.config import load_config
from parttag.training.checkpoint import read_checkpoint

EXAMPLES = Path(__file__).parents[2] / "configs" / "examples"
SMALL = {
    "three_kinds": ["model.embed_dims=[16,16]", "model.num_heads=2", "model.num_layers=1",
                    "model.num_class_layers=1", "model.pair_dims=[8]"],
    "tracks": ["model.embed_dims=[16]", "model.num_heads=2", "model.num_layers=1",
               "model.num_class_layers=1"],
}  # fmt: skip
STEPS = ["training.steps=2", "training.steps_per_epoch=1", "training.batch_size=16",
         "training.device=cpu", "training.rank_timeout=60"]  # fmt: skip


@pytest.fixture
def run_command(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["parttag", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        output = capsys.readouterr()
        return end.value.code or 0, output.out, " ".join(output.err.split())

    return run


def write_files(name: str, folder: Path) -> list[str]:
    write, suffix = {
        "three_kinds": (write_three_kinds, "parquet"),
        "tracks": (write_tracks, "h5"),
    }[name]
    overrides = []
    for seed, part in enumerate(("train", "val")):
        path = write(folder / f"{part}.{suffix}", EXAMPLES / f"{name}.yaml", 32, seed)
        overrides.append(f"data.{part}={path}")
    return [*overrides, "data.test=[]"]


def num_variables(name: str) -> dict[str, int]:
    features = load_config(EXAMPLES / f"{name}.yaml").network_features
    kinds = [feature.partition(".")[0] for feature in features]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def test_the_examples_say_every_input_of_the_two_taggers():
    assert num_variables("three_kinds") == {"charged": 30, "neutral": 7, "vertices": 11}
    assert len(load_config(EXAMPLES / "three_kinds.yaml").head_features) == 3
    assert num_variables("tracks") == {"tracks": 20 + 2}
    names = load_config(EXAMPLES / "tracks.yaml").network_features
    assert names[-2:] == ("tracks.jet_log_pt", "tracks.jet_eta")


@pytest.mark.parametrize("name", ["three_kinds", "tracks"])
def test_an_example_trains_for_two_steps_continues_and_evaluates(run_command, name, tmp_path):
    config = EXAMPLES / f"{name}.yaml"
    overrides = [*write_files(name, tmp_path), *SMALL[name], *STEPS]
    run, cut = tmp_path / "run", tmp_path / "cut"
    code, _, err = run_command("train", config, "--out", run, *overrides)
    assert code == 0, err
    described = yaml.safe_load((run / "config.yaml").read_text())
    kinds = list(described["features"])
    assert list(described["data"]["columns"]["particles"]) == kinds
    measured = [f for own in described["features"].values() for f in own if isinstance(f, dict)]
    assert all(f["centre"] is not None and f["scale"] is not None for f in measured)
    features = read_checkpoint(run / "checkpoints" / "best.pt")["features"]
    assert list(dict.fromkeys(f.partition(".")[0] for f in features)) == kinds
    log = (run / "train.log").read_text()
    assert f"{features[-1]}: centre" in log or "jet_eta: centre" in log

    written = tmp_path / "written.yaml"
    loaded = load_config(config, overrides)
    written.write_text(yaml.safe_dump(loaded.model_dump(mode="json"), sort_keys=False))
    RankGroup(1, [(written, cut)], hurt="0:1:terminate").wait()
    code, _, err = run_command("train", config, "--out", cut, *overrides)
    assert code == 0, err
    assert same_weights(run, cut)
    assert "continuing after step 1 of 2" in (cut / "train.log").read_text()

    val = next(o.partition("=")[2] for o in overrides if o.startswith("data.val"))
    code, _, err = run_command("evaluate", run, "--data", val)
    assert code == 0, err
    assert (run / "evaluation" / "metrics.json").is_file()
    code, _, err = run_command("predict", run, val, "--out", tmp_path / "scores.parquet")
    assert code == 0, err
    scores = ak.from_parquet(tmp_path / "scores.parquet")
    assert len(scores) == 32
    first = next(f for f in scores.fields if f.startswith("score_"))
    assert np.isfinite(scores[first].to_numpy()).all()


def test_a_run_from_a_store_is_that_from_its_files(run_command, tmp_path):
    config = EXAMPLES / "three_kinds.yaml"
    overrides = [*write_files("three_kinds", tmp_path), *SMALL["three_kinds"], *STEPS]
    columns = tmp_path / "columns.yaml"
    columns.write_text(
        yaml.safe_dump({"columns": yaml.safe_load(config.read_text())["data"]["columns"]})
    )
    for part in ("train", "val"):
        code, _, err = run_command(
            "prepare", tmp_path / f"{part}.parquet", "--out", tmp_path / part, "--no-shuffle",
            "--columns", columns,
        )  # fmt: skip
        assert code == 0, err
    store = JetStore(tmp_path / "train")
    assert store.manifest.kinds == (("charged", True), ("neutral", True), ("vertices", True))
    assert dict(store.manifest.column_types)["kind"] == "|u1"
    of_files, of_store = tmp_path / "files", tmp_path / "stores"
    for run, where in ((of_files, ["train.parquet", "val.parquet"]), (of_store, ["train", "val"])):
        places = [f"data.train={tmp_path / where[0]}", f"data.val={tmp_path / where[1]}"]
        code, _, err = run_command("train", config, "--out", run, *overrides, *places)
        assert code == 0, err
    assert same_weights(of_files, of_store)
