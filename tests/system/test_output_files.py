import os

import pytest

from helpers.limits import largest_file
from parttag.errors import InputError
from parttag.system.atomic_files import new_files, refuse_existing


def test_files_take_their_names_when_the_block_ends(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    with new_files(paths, overwrite=False) as (first, second):
        first.write(b"one")
        second.write(b"two")
        assert not any(path.exists() for path in paths)
    assert [path.read_bytes() for path in paths] == [b"one", b"two"]
    assert sorted(tmp_path.iterdir()) == paths


def test_a_block_that_raises_leaves_nothing_and_what_was_there_stays(tmp_path):
    (tmp_path / "a").write_text("before")
    with (
        pytest.raises(ZeroDivisionError),
        new_files([tmp_path / "a", tmp_path / "b"], overwrite=True) as (first, _),
    ):
        first.write(b"half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]
    assert (tmp_path / "a").read_text() == "before"


def test_a_file_is_replaced_only_if_asked(tmp_path):
    (tmp_path / "a").write_text("before")
    with (
        pytest.raises(InputError, match=r"a exists already; add overwrite=True"),
        new_files([tmp_path / "a"], overwrite=False),
    ):
        pass
    assert (tmp_path / "a").read_text() == "before"
    with new_files([tmp_path / "a"], overwrite=True) as (file,):
        file.write(b"after")
    assert (tmp_path / "a").read_text() == "after"
    with pytest.raises(InputError, match="exists already"):
        refuse_existing([tmp_path / "b", tmp_path / "a"])


def test_a_write_that_fails_is_silent_until_it_is_asked_for(tmp_path):
    with (
        pytest.raises(InputError, match=r"cannot be written \(file too large\)"),
        new_files([tmp_path / "a", tmp_path / "b"], overwrite=False) as (first, second),
    ):
        second.write(b"fine")
        with largest_file(1000):
            assert first.write(bytes(5000)) == 5000
            assert first.write(bytes(5000)) == 5000
        with pytest.raises(OSError, match="File too large"):
            first.check()
        second.check()
    assert list(tmp_path.iterdir()) == []


def test_the_remains_of_a_killed_process_are_no_obstacle(tmp_path):
    (tmp_path / f".a.{os.getpid()}.partial").write_text("half")
    with new_files([tmp_path / "a"], overwrite=False) as (file,):
        file.write(b"whole")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with (
        pytest.raises(InputError, match=r"no directory .*/missing; make it first"),
        new_files([tmp_path / "missing" / "a"], overwrite=False),
    ):
        pass


def test_a_place_without_permission_is_named(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("parttag.system.atomic_files.OutputFile.__init__", refuse)
    with (
        pytest.raises(InputError, match=r"a cannot be written \(permission denied\)"),
        new_files([tmp_path / "a"], overwrite=False),
    ):
        pass
