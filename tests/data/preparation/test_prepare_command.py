"""``parttag prepare`` as it is typed."""

import sys

import pytest

from helpers.files import write_jetclass_root
from parttag.cli import main
from parttag.data import JetStore
from parttag.testing import toy_jets


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["parttag", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_code:
        main()
    return int(exit_code.value.code or 0)


def test_a_glob_becomes_a_store(tmp_path, monkeypatch, capsys):
    for number in range(2):
        write_jetclass_root(tmp_path / f"train_{number}.root", toy_jets(5, seed=number))
    command = ("prepare", tmp_path / "train_*.root", "--out", tmp_path / "stores" / "train")
    assert run(monkeypatch, *command) == 0
    output = capsys.readouterr().out
    assert "10 jets read, 10 kept, 0 dropped" in output
    assert "shards: 1" in output
    assert len(JetStore(tmp_path / "stores" / "train")) == 10
    assert run(monkeypatch, *command) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_users_error_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.root").touch()
    command = ("prepare", tmp_path / "a.root", "--out", tmp_path / "store", "--strict")
    assert run(monkeypatch, *command) == 2
    assert "a.root is empty" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_help_has_an_example(monkeypatch, capsys):
    assert run(monkeypatch, "prepare", "--help") == 0
    assert "parttag prepare data/" in capsys.readouterr().out
