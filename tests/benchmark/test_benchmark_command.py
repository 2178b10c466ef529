import sys

import pytest
import yaml

from helpers.benchmarks import toy_benchmark, write_recipes
from parttag import cli


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Run ``parttag benchmark`` on a table of two rows; return exit code and what was printed."""
    write_recipes(tmp_path)
    path = tmp_path / "table.yaml"

    def run(*arguments, **changes):
        path.write_text(yaml.safe_dump(toy_benchmark(**changes), sort_keys=False))
        words = ["parttag", "benchmark", str(path), "--out", str(tmp_path / "out"), *arguments]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            cli.main()
        output = capsys.readouterr()
        return end.value.code or 0, " ".join((output.out + output.err).split())

    return run


def test_the_command_prints_the_table_and_what_it_wrote(command, tmp_path):
    code, text = command("--rows", "PFN", "--seeds", "0")
    assert code == 0
    assert "PFN [1]" in text
    assert "ParT" not in text
    assert str(tmp_path / "out" / "table.json") in text


def test_a_job_of_an_array_is_one_row_and_seed(command, tmp_path):
    assert command("--job", "2", seeds=[0, 1])[0] == 0
    too_high = "error: --job 4: there are 4 combinations of row, labels and seed, 0 to 3"
    (run,) = (tmp_path / "out").glob("rows/*/*/config.yaml")
    assert run.parts[-3:-1] == ("ParT", "seed-0")
    code, text = command("--job", "4", seeds=[0, 1])
    assert (code, text) == (2, too_high)
    assert command("--job", "1", "--rows", "PFN")[0] == 2
    code, text = command("--table-only", seeds=[0, 1])
    assert code == 0
    assert "PFN, seeds 0, 1: not run yet" in text
    assert "ParT, seed 1: not run yet" in text


def test_a_row_that_fails_by_the_users_mistake_gives_exit_code_2(command):
    rows = {"PFN": {"recipe": "pfn.yaml", "overrides": {"features": "full"}}}
    code, text = command(rows=rows)
    assert code == 2
    assert "PFN, seed 0: failed: " in text


def test_wrong_seeds_are_refused(command):
    code, text = command("--seeds", "first")
    assert code == 2
    assert "--seeds: 'first' is no list of whole numbers, such as 0,1,2" in text


def test_an_option_given_twice_counts_twice(command):
    code, text = command("--rows", "PFN", "--rows", "no such row")
    assert code == 2
    assert "--rows: there is no no such row" in text
    code, text = command("--rows", "no such row", "--rows", "PFN")
    assert code == 2
