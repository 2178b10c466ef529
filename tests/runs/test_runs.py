import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import parttag
from helpers.files import write_jetclass_root, write_toptagging_h5
from helpers.ranks import RankGroup
from helpers.runs import same_weights, toy_config
from parttag.errors import InputError
from parttag.runs import train as runs
from parttag.runs.config import dump_config, load_config
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.testing import toy_batch, toy_jets

PARTICLE_NET = {
    "name": "particle_net",
    "edge_dims": [[8, 8]],
    "num_neighbours": 3,
    "jet_dims": [8],
    "dropout": 0.3,
}


@pytest.fixture
def finished(tmp_path):
    config = toy_config(tmp_path, "training.epochs=2")
    return config, train_run(config, tmp_path / "run")


def test_a_run_leaves_what_the_design_lists(finished):
    config, run = finished
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert names == {
        "config.yaml",
        "provenance.json",
        "metrics.jsonl",
        "train.log",
        "checkpoints/best.pt",
        "checkpoints/last.pt",
        "checkpoints/last.previous.pt",
    }
    assert load_config(run / "config.yaml") == config
    assert "data.train: 60 jets read, 60 kept" in (run / "train.log").read_text()
    assert "epoch 2/2: step 8" in (run / "train.log").read_text()


def test_provenance_names_code_packages_hardware_data_and_command(finished, monkeypatch):
    config, run = finished
    provenance = json.loads((run / "provenance.json").read_text())
    train = Path(config.data.train[0])
    assert provenance["data"]["train"] == [
        {
            "path": str(train),
            "bytes": train.stat().st_size,
            "sha256": hashlib.sha256(train.read_bytes()).hexdigest(),
        }
    ]
    start = provenance["starts"][0]
    assert start["parttag"] == parttag.__version__
    assert start["packages"]["torch"].startswith(torch.__version__.split("+")[0])
    assert start["hardware"]["ranks"] == 1
    assert start["command"]
    monkeypatch.setattr("sys.argv", ["parttag", "train", "again"])
    train_run(config, run)
    starts = json.loads((run / "provenance.json").read_text())["starts"]
    assert [s["command"] for s in starts] == [start["command"], ["parttag", "train", "again"]]


def test_a_run_is_loaded_with_its_best_or_its_last_weights(finished):
    config, run = finished
    for name in ("best", "last"):
        loaded = load_run(run, name)
        content = torch.load(run / "checkpoints" / f"{name}.pt")
        assert loaded.classes == ("top", "QCD")
        assert loaded.config == config
        assert not loaded.model.training
        for key, weight in loaded.model.state_dict().items():
            assert torch.equal(weight, content["weights"][key])
    assert load_run(str(run)).model(toy_batch(3)).shape == (3, 2)


def test_what_is_no_run_cannot_be_loaded(tmp_path, finished):
    _, run = finished
    with pytest.raises(InputError, match="nothing is not a run: it has no"):
        load_run(tmp_path / "nothing")
    (run / "checkpoints" / "best.pt").unlink()
    with pytest.raises(InputError, match="there is no such checkpoint"):
        load_run(run)


def test_a_complete_run_is_left_as_it_is(finished):
    config, run = finished
    kept = [path for path in run.rglob("*") if path.suffix in (".pt", ".jsonl", ".yaml")]
    before = {path: path.read_bytes() for path in kept}
    train_run(config, run)
    assert {path: path.read_bytes() for path in kept} == before


def test_jets_kept_on_the_device_train_the_same_network(tmp_path, finished):
    config, run = finished
    resident = config.training.model_copy(update={"resident": True})
    other = train_run(config.model_copy(update={"training": resident}), tmp_path / "resident")
    assert same_weights(run, other)


def test_a_directory_that_holds_something_else_is_refused(tmp_path, finished):
    config, run = finished
    other = toy_config(tmp_path, "training.epochs=3", "optimizer.lr=0.1")
    with pytest.raises(InputError, match=r"run holds another run, whose optimizer\.lr is differ"):
        train_run(other, run)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").touch()
    with pytest.raises(InputError, match="thesis exists and is not a run"):
        train_run(config, tmp_path / "thesis")
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter1.tex"]
    with pytest.raises(InputError, match=r"train\.h5 exists and is not a run"):
        train_run(config, tmp_path / "train.h5")


def test_an_empty_directory_is_used(tmp_path):
    (tmp_path / "empty").mkdir()
    train_run(toy_config(tmp_path, "training.epochs=1"), tmp_path / "empty")
    assert (tmp_path / "empty" / "metrics.jsonl").exists()


def test_jets_that_have_changed_since_are_refused(tmp_path, finished):
    config, run = finished
    write_toptagging_h5(tmp_path / "val.h5", toy_jets(30, seed=9))
    with pytest.raises(InputError, match="the jets that this run began with have changed"):
        train_run(config, run)


def test_a_start_that_fails_leaves_no_directory(tmp_path):
    run = tmp_path / "run"
    with pytest.raises(InputError, match=r"data\.train is empty"):
        train_run(toy_config(tmp_path, "data.train=[]"), run)
    with pytest.raises(InputError, match=r"nowhere\.h5"):
        train_run(toy_config(tmp_path, "data.val=nowhere.h5"), run)
    with pytest.raises(InputError, match="charge"):
        train_run(toy_config(tmp_path, "features=full"), run)
    assert not run.exists()


def test_part_of_the_training_jets_is_drawn_whatever_the_seed(tmp_path):
    logs = []
    for seed in (0, 1):
        config = toy_config(
            tmp_path, "training.epochs=1", "data.num_train_jets=40", f"training.seed={seed}"
        )
        run = train_run(config, tmp_path / f"run{seed}")
        logs.append((run / "train.log").read_text())
        assert json.loads((run / "metrics.jsonl").read_text())["jets"] == 40
    assert all("40 kept, 20 dropped (20 beyond data.num_train_jets)" in log for log in logs)
    with pytest.raises(InputError, match="is 61, but"):
        train_run(toy_config(tmp_path, "data.num_train_jets=61"), tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        train_run(toy_config(tmp_path), tmp_path / "file" / "run")


def test_training_starts_from_the_backbone_of_another_run(tmp_path, finished):
    _, run = finished
    # With a learning rate of almost zero the network stays as it was at the beginning.
    overrides = ("training.epochs=1", "optimizer.lr=1e-30", "training.seed=5")
    init = "init_from={path: " + str(run) + ", lr_multipliers: {head.*: 50}}"
    tuned = train_run(toy_config(tmp_path, *overrides, init), tmp_path / "tuned")
    fresh = train_run(toy_config(tmp_path, *overrides), tmp_path / "fresh")
    networks = [load_run(directory).model for directory in (run, tuned, fresh)]
    trained, tuned_network, fresh_network = (network.state_dict() for network in networks)
    for name, weight in tuned_network.items():
        expected = trained if name.startswith("backbone.") else fresh_network
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-20)


def test_after_a_start_that_failed_the_directory_takes_another_configuration(tmp_path, finished):
    _, run = finished
    start = "init_from={path: " + str(run) + ", freeze: "
    with pytest.raises(InputError, match=r"init_from\.freeze: 'backbon\.\*' fits the name of no"):
        train_run(toy_config(tmp_path, start + "backbon.*}"), tmp_path / "tuned")
    config = toy_config(tmp_path, start + "backbone.*}", "training.epochs=1")
    train_run(config, tmp_path / "tuned")
    assert load_config(tmp_path / "tuned" / "config.yaml") == config


def test_a_frozen_part_stays_as_it_was_loaded_and_the_run_goes_on_bit_for_bit(tmp_path):
    folder = tmp_path / "first"
    folder.mkdir()
    trained = train_run(toy_config(folder, "training.epochs=1", model=PARTICLE_NET), folder / "run")
    init = "{path: " + str(trained) + ", freeze: [backbone.input_norm.*, backbone.blocks.*]}"
    config = toy_config(tmp_path, f"init_from={init}", model=PARTICLE_NET)
    decayed = config.optimizer.model_copy(update={"weight_decay": 0.1})
    config = config.model_copy(update={"optimizer": decayed})
    whole = train_run(config, tmp_path / "whole")
    before, after = (load_run(run).model.state_dict() for run in (trained, whole))
    same = {name for name, value in after.items() if torch.equal(value, before[name])}
    frozen = ("backbone.input_norm.", "backbone.blocks.")
    assert same == {name for name in after if name.startswith(frozen)}

    def stop_in_the_second_epoch(batches, *, description, **_):
        yield from batches
        if description == "epoch 2/4":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(config, tmp_path / "run", progress=stop_in_the_second_epoch)
    shutil.rmtree(trained)  # what it started from is not needed again
    train_run(config, tmp_path / "run")
    assert same_weights(whole, tmp_path / "run")


def test_ranks_draw_different_random_numbers_from_one_seed():
    seeds = {runs._seed_of_rank(seed, rank) for seed in range(10) for rank in range(10)}
    assert len(seeds) == 100


def test_killed_with_signal_9_a_run_ends_as_the_uninterrupted_one(tmp_path):
    config = toy_config(tmp_path, "training.checkpoint_every=3")
    path = tmp_path / "run.yaml"
    path.write_text(dump_config(config))
    whole = train_run(config, tmp_path / "whole")
    for step in (5, 8, 12):
        (result,) = RankGroup(1, [(path, tmp_path / "run")], hurt=f"0:{step}:kill").wait()
        assert result.code == -9
    (result,) = RankGroup(1, [(path, tmp_path / "run")]).wait()
    assert result.code == 0
    assert same_weights(whole, tmp_path / "run")
    assert same_weights(whole, tmp_path / "run", "best.pt")


def test_the_best_weights_in_place_of_the_last_are_nothing_to_continue(finished):
    config, run = finished
    checkpoints = run / "checkpoints"
    for name in ("last.pt", "last.previous.pt"):
        (checkpoints / name).write_bytes((checkpoints / "best.pt").read_bytes())
    with pytest.raises(InputError, match="no checkpoint in it can be read"):
        train_run(config, run)


def test_a_run_of_a_version_with_fewer_options_is_continued(tmp_path):
    config = toy_config(tmp_path)
    directory = train_run(config, tmp_path / "run")
    path = directory / "checkpoints" / "last.pt"
    content = torch.load(path, weights_only=True)
    del content["config"]["training"]["resident"]
    torch.save(content, path)
    train_run(config, directory)
    content["config"]["training"]["seed"] = 7
    torch.save(content, path)
    with pytest.raises(InputError, match="checkpoint is of another run"):
        train_run(config, directory)


def test_a_damaged_provenance_is_refused(finished):
    config, run = finished
    for content in ('{"data": {"tra', "{}"):
        (run / "provenance.json").write_text(content)
        with pytest.raises(InputError, match=r"provenance\.json is damaged or cut short"):
            train_run(config, run)


def test_a_log_that_cannot_be_written_is_refused(finished):
    config, run = finished
    (run / "train.log").unlink()
    (run / "train.log").mkdir()
    with pytest.raises(InputError, match=r"train\.log"):
        train_run(config, run)


def test_test_jets_that_are_missing_are_refused_before_the_training(tmp_path):
    config = toy_config(tmp_path, "data.test=none.h5")
    with pytest.raises(InputError, match=r"none\.h5: there is no such file"):
        train_run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("fault", ["has no label label_QCD", "holds no jets", "is damaged"])
def test_test_jets_that_cannot_be_used_are_refused_before_the_training(tmp_path, fault):
    test, toys = tmp_path / "test.root", toy_jets(20)
    match fault:
        case "has no label label_QCD":
            write_jetclass_root(test, toys, without=["label_QCD"])
        case "holds no jets":
            write_jetclass_root(test, toys.take(np.arange(0)))
        case _:
            content = write_jetclass_root(test, toys).read_bytes()
            test.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=rf"test\.root {fault}"):
        train_run(toy_config(tmp_path, f"data.test={test}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
