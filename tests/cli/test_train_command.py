import json
import sys

import pytest
import yaml

from helpers.files import write_toptagging_h5
from helpers.ranks import RankGroup
from helpers.runs import toy_config
from parttag import cli
from parttag.runs.config import dump_config, load_config, run_config_class
from parttag.testing import toy_jets


@pytest.fixture
def run_command(monkeypatch, capsys):
    """Run ``parttag`` with arguments; return exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["parttag", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        output = capsys.readouterr()
        return end.value.code or 0, output.out, output.err

    return run


@pytest.fixture
def config_path(tmp_path):
    toy_config(tmp_path)
    return tmp_path / "config.yaml"


def test_print_config_prints_what_loads_again_and_trains_nothing(run_command, config_path):
    code, out, _ = run_command(
        "train", config_path, "training.epochs=7", "--strict", "--print-config"
    )
    assert code == 0
    printed = config_path.with_name("printed.yaml")
    printed.write_text(out)
    expected = load_config(config_path, ["training.epochs=7", "data.strict=true"])
    assert load_config(printed) == expected
    assert not list(config_path.parent.glob("runs"))


def test_schema_prints_the_json_schema(run_command):
    code, out, _ = run_command("schema")
    assert code == 0
    assert json.loads(out) == run_config_class().model_json_schema()


def test_train_makes_a_run_that_is_named_as_its_configuration(
    run_command, config_path, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run_command("train", config_path, "training.epochs=1")
    assert code == 0
    assert out == "trained: runs/config\n"
    written = yaml.safe_load((tmp_path / "runs" / "config" / "config.yaml").read_text())
    assert written["training"]["epochs"] == 1


def test_data_test_of_an_objective_without_scores_is_left_to_a_probe(run_command, tmp_path):
    model = {"name": "jetclr", "embed_dim": 8, "num_layers": 1, "feedforward_dim": 8}
    toy_config(tmp_path, model=model)
    write_toptagging_h5(tmp_path / "test.h5", toy_jets(10, seed=3))
    _, out, _ = run_command(
        "train",
        tmp_path / "config.yaml",
        "objective={name: contrastive}",
        "training={steps: 1, best_by: loss}",
        f"data.test={tmp_path / 'test.h5'}",
        "--out",
        tmp_path / "run",
    )
    assert "data.test is not evaluated: objective contrastive gives jets no scores" in out
    assert not (tmp_path / "run" / "evaluation").exists()


def test_a_users_error_is_one_sentence_with_exit_code_2(run_command, config_path):
    code, out, err = run_command("train", config_path, "training.batchsize=1")
    assert (code, out) == (2, "")
    assert err == (
        "error: training.batchsize: there is no such key; the nearest known one is "
        "training.batch_size\n"
    )


def test_sigterm_ends_the_command_with_exit_code_143(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(dump_config(toy_config(tmp_path)))
    (result,) = RankGroup(1, [(path, tmp_path / "run")], hurt="0:5:terminate").wait()
    assert result.code == 143
    assert "stopped by SIGTERM after step 5 of 16; the same command continues" in result.errors
