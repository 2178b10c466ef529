import errno
import io
import tarfile

import pytest

from parttag.errors import InputError
from parttag.samples.download.archives import unpack

FILES = {"val_5M/HToBB_120.root": b"bb", "val_5M/TTBar_120.root": b"tt", "README": b"read"}


def member(name, content=b"", **kinds):
    """Return a member of an archive, a file unless told otherwise."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for kind, value in kinds.items():
        setattr(info, kind, value)
    return info, io.BytesIO(content)


@pytest.fixture
def make(tmp_path):
    """Return what writes an archive of members in a folder of its own."""

    def write(*members):
        (tmp_path / "out").mkdir()
        path = tmp_path / "out" / "jets.tar"
        with tarfile.open(path, "w") as tar:
            for info, content in members:
                tar.addfile(info, content)
        return path

    return write


def content_of(directory):
    """Return all files under a folder but the archive."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != "jets.tar"
    }


def test_files_and_folders_come_out_as_they_went_in(make):
    archive = make(*(member(name, content) for name, content in FILES.items()))
    files = unpack(archive, archive.parent)
    assert content_of(archive.parent) == FILES
    assert sorted(str(path.relative_to(archive.parent)) for path in files) == sorted(FILES)


def test_a_python_that_cannot_unpack_safely_is_one_sentence(make, monkeypatch):
    archive = make(member("README", b"read"))
    monkeypatch.delattr(tarfile, "data_filter")
    with pytest.raises(InputError, match=r"jets\.tar: .* Python 3\.11\.4 or newer"):
        unpack(archive, archive.parent)
    assert content_of(archive.parent) == {}


EVIL = {
    "upwards": member("../evil.root", b"evil"),
    "deeply upwards": member("val_5M/../../evil.root", b"evil"),
    "symbolic link": member("link", type=tarfile.SYMTYPE, linkname="../.."),
    "hard link": member("link", type=tarfile.LNKTYPE, linkname="../../evil.root"),
    "device": member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "pipe": member("pipe", type=tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("kind", EVIL)
def test_nothing_leaves_the_folder_and_nothing_of_the_archive_stays(make, tmp_path, kind):
    info, content = EVIL[kind]
    archive = make(member("good.root", b"good"), (info, content))
    content.seek(0)
    with pytest.raises(InputError, match=f"its member '{info.name}' .*do not use this archive"):
        unpack(archive, archive.parent)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "jets.tar"]


def test_an_absolute_name_stays_within_the_folder(make, tmp_path):
    archive = make(member("/absolute/evil.root", b"evil"))
    unpack(archive, archive.parent)
    assert content_of(tmp_path) == {"out/absolute/evil.root": b"evil"}


def test_a_file_is_not_made_executable_for_others_or_owned_by_strangers(make):
    archive = make(member("jets.root", b"jets", mode=0o4777, uid=0))
    (path,) = unpack(archive, archive.parent)
    assert path.stat().st_mode & 0o7022 == 0


@pytest.mark.parametrize("damage", ["text", "cut"])
def test_a_damaged_archive_is_named(make, damage):
    archive = make(member("jets.root", b"jets" * 10_000))
    whole = archive.read_bytes()
    archive.write_bytes(b"no archive" if damage == "text" else whole[:20_000])
    with pytest.raises(InputError, match=r"jets\.tar"):
        unpack(archive, archive.parent)
    assert content_of(archive.parent) == {}


def test_what_a_killed_run_left_is_replaced(make):
    archive = make(member("jets.root", b"jets"))
    left = archive.with_name("jets.tar.unpacking")
    left.mkdir()
    (left / "half.root").write_bytes(b"half")
    unpack(archive, archive.parent)
    assert content_of(archive.parent) == {"jets.root": b"jets"}


def test_a_full_disk_is_one_sentence_and_leaves_nothing(make, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = make(member("jets.root", b"jets"))
    monkeypatch.setattr(tarfile.TarFile, "makefile", full)
    with pytest.raises(InputError, match=r"cannot be written .*free some space"):
        unpack(archive, archive.parent)
    assert content_of(archive.parent) == {}
