import errno
import os
import subprocess
import sys

import pytest

from helpers.limits import largest_file
from parttag.errors import InputError
from parttag.system import atomic_files as writing
from parttag.system.atomic_files import (
    is_partial,
    made_directory,
    remove_partial_files,
    whole_directory,
    whole_file,
    whole_files,
    write_file,
)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_file_gets_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "a"
    with whole_file(path) as partial:
        partial.write_text("new")
        assert not path.exists()
        assert is_partial(partial)
    assert path.read_text() == "new"
    assert names(tmp_path) == ["deep", "deep/a"]


def test_a_file_that_was_there_stays_under_another_name_if_asked(tmp_path):
    for content in (b"one", b"two", b"three"):
        write_file(tmp_path / "a", content, keep_old_as=tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == b"three"
    assert (tmp_path / "b").read_bytes() == b"two"
    write_file(tmp_path / "a", b"four")
    assert (tmp_path / "a").read_bytes() == b"four"
    assert names(tmp_path) == ["a", "b"]


def test_a_block_that_raises_leaves_what_was_there(tmp_path):
    write_file(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "a", tmp_path / "b") as partial:
        partial.write_text("new")
        raise ZeroDivisionError
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(tmp_path):
    write_file(tmp_path / "a", b"old")
    with (
        largest_file(1000),
        pytest.raises(InputError, match=r"a cannot be written \(file too large\)"),
    ):
        write_file(tmp_path / "a", bytes(5000), keep_old_as=tmp_path / "b")
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_disk_that_fails_while_it_is_synced_is_one_sentence(tmp_path, monkeypatch, failing):
    write_file(tmp_path / "a", b"old")
    write_file(tmp_path / "b", b"old")
    calls = []

    def fail(descriptor):
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with (
        pytest.raises(InputError, match=r"\(no space left on device\): free some space"),
        whole_files([tmp_path / "a", tmp_path / "b"]) as partial,
    ):
        for path in partial:
            path.write_text("new")
    # Both are synced before either gets its name.
    assert [(tmp_path / name).read_text() for name in "ab"] == ["old", "old"]
    assert names(tmp_path) == ["a", "b"]


def test_files_and_their_directory_are_synced_before_and_after_they_get_their_names(
    tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        writing, "sync", lambda path: seen.append((path.name, (tmp_path / "a").exists()))
    )
    with whole_files([tmp_path / "a"]) as (partial,):
        partial.write_text("new")
    assert seen == [(partial.name, False), (tmp_path.name, True)]


def test_a_directory_gets_its_name_when_all_in_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "run"
    with whole_directory(path) as partial:
        (partial / "checkpoints").mkdir()
        (partial / "checkpoints" / "best").write_text("weights")
        assert not path.exists()
    assert names(tmp_path) == [
        "deep",
        "deep/run",
        "deep/run/checkpoints",
        "deep/run/checkpoints/best",
    ]


def test_a_directory_that_fails_leaves_nothing(tmp_path):
    with (
        largest_file(1000),
        pytest.raises(InputError, match=r"run cannot be written \(file too large\)"),
        whole_directory(tmp_path / "run") as partial,
    ):
        (partial / "inside").mkdir()
        (partial / "inside" / "a").write_bytes(bytes(5000))
    assert names(tmp_path) == []


def test_a_directory_made_for_nothing_is_removed_and_one_with_files_stays(tmp_path):
    with pytest.raises(ZeroDivisionError), made_directory(tmp_path / "a" / "b"):
        raise ZeroDivisionError
    assert names(tmp_path) == []
    with pytest.raises(ZeroDivisionError), made_directory(tmp_path / "a" / "b"):
        (tmp_path / "a" / "other").touch()
        raise ZeroDivisionError
    assert names(tmp_path) == ["a", "a/other"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    code = (
        "import os, sys; from pathlib import Path\n"
        "from parttag.system.atomic_files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False)
    assert killed.returncode == -9
    (left,) = tmp_path.iterdir()
    assert is_partial(left)
    (tmp_path / "whole").touch()
    (tmp_path / ".dir.1.partial").mkdir()
    remove_partial_files(tmp_path)
    assert names(tmp_path) == ["whole"]
    remove_partial_files(tmp_path / "missing")
