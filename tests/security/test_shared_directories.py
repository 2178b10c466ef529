"""Directories that others write to: links that wait there are not followed, nothing is shared."""

import hashlib
import io
import os
import stat
import tarfile
from dataclasses import replace
from types import SimpleNamespace

import pytest

from helpers.http import Fake, serving
from parttag.errors import InputError
from parttag.samples.download import _read_done, download
from parttag.samples.download.archives import unpack
from parttag.samples.download.records import RECORDS, Source
from parttag.samples.download.transfer import fetch
from parttag.system.atomic_files import new_files, whole_directory, whole_files, write_file

CONTENT = b"jets" * 1000


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_bytes(b"a file of somebody")
    return path


@pytest.fixture
def source():
    with serving(Fake(1, {"a.h5": CONTENT})) as server:
        url = f"{server.url}/api/records/1/files/a.h5/content"
        entry = server.listing()["files"][0]
        url = entry.get("links", {}).get("self", url)
        yield Source("a.h5", url, len(CONTENT), hashlib.md5(CONTENT).hexdigest())


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_that_waits_as_the_unfinished_download_is_refused(link, source, victim, tmp_path):
    (tmp_path / "out").mkdir()
    link(victim, tmp_path / "out" / "a.h5.part")
    with pytest.raises(InputError, match=r"a\.h5\.part is a link"):
        fetch(source, tmp_path / "out")
    assert victim.read_bytes() == b"a file of somebody"


def test_a_link_to_nothing_makes_no_file(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.h5.part").symlink_to(tmp_path / "new")
    with pytest.raises(InputError, match=r"a\.h5\.part is a link"):
        fetch(source, tmp_path / "out")
    assert not (tmp_path / "new").exists()


def test_a_pipe_that_waits_as_the_unfinished_download_is_refused(source, tmp_path):
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "a.h5.part")
    with pytest.raises(InputError, match=r"a\.h5\.part is a link or no regular file"):
        fetch(source, tmp_path / "out")


def test_a_link_that_waits_for_the_list_of_downloads_is_not_followed(victim, tmp_path, monkeypatch):
    record = RECORDS["toptagging"]
    unknown = tuple(replace(file, md5=None) for file in record.files)
    monkeypatch.setitem(RECORDS, "toptagging", replace(record, files=unknown))
    out = tmp_path / "out"
    out.mkdir()
    (out / "download.json.part").symlink_to(victim)
    files = {f"{split}.h5": split.encode() for split in ("train", "val", "test")}
    with serving(Fake(RECORDS["toptagging"].number, files)) as server:
        download("toptagging", out, ["val"], base_url=server.url, wait=lambda _: None)
    assert victim.read_bytes() == b"a file of somebody"
    assert (out / "download.json").is_file()


@pytest.mark.parametrize("name", ["../victim", "/etc/passwd", "a/../../victim"])
def test_the_list_of_downloads_names_no_file_outside(name, victim, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "download.json").write_text(f'{{"a.tar": {{"md5": "0", "files": {{"{name}": 18}}}}}}')
    with pytest.raises(InputError, match=r"download\.json"):
        _read_done(out)


def _archive(folder, *names):
    path = folder / "jets.tar"
    with tarfile.open(path, "w") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"jets"))
    return path


def test_a_linked_folder_is_not_unpacked_through(tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "train").symlink_to(elsewhere)
    with pytest.raises(InputError, match=r"train is a link"):
        unpack(_archive(out, "a.root", "train/b.root"), out)
    assert not list(elsewhere.iterdir())
    assert sorted(p.name for p in out.iterdir()) == ["jets.tar", "train"]


def test_a_linked_folder_that_waits_for_the_unpacking_is_not_followed(tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (elsewhere / "precious").write_bytes(b"")
    (out / "jets.tar.unpacking").symlink_to(elsewhere)
    with pytest.raises(InputError, match=r"unpacking"):
        unpack(_archive(out, "a.root"), out)
    assert [p.name for p in elsewhere.iterdir()] == ["precious"]


# ------------------------------------------------------------------------- temporary names, umask


def test_temporary_names_cannot_be_foreseen_and_lie_beside_the_file(tmp_path):
    names = set()
    for _ in range(3):
        with whole_files([tmp_path / "a"]) as (partial,):
            assert partial.parent == tmp_path
            names.add(partial.name)
            partial.write_bytes(b"")
    assert len(names) == 3
    with whole_directory(tmp_path / "d") as partial:
        assert partial.parent == tmp_path


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_permissions_that_the_user_asks_for(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        write_file(tmp_path / "a", b"")
        with new_files([tmp_path / "b"], overwrite=False) as (file,):
            file.write(b"1")
        with whole_directory(tmp_path / "d") as directory:
            (directory / "c").write_bytes(b"")
    finally:
        os.umask(before)
    for name in ("a", "b", "d/c"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == mode | (mode & 0o444) >> 2


def test_what_waits_under_a_temporary_name_is_not_written_to(victim, tmp_path, monkeypatch):
    token = SimpleNamespace(token_hex=lambda _: "known")
    monkeypatch.setattr("parttag.system.atomic_files.secrets", token)
    (tmp_path / f".a.{os.getpid()}.known.partial").symlink_to(victim)
    monkeypatch.setattr("parttag.system.atomic_files._remove", lambda _: None)
    with pytest.raises(InputError, match="a cannot be written"):
        write_file(tmp_path / "a", b"mine")
    assert victim.read_bytes() == b"a file of somebody"


# -------------------------------------------------------------------------------------- checksums


def test_a_file_of_the_right_md5_and_another_sha256_is_not_used(source, tmp_path):
    with pytest.raises(InputError, match=r"a\.h5 arrived damaged \(SHA-256"):
        fetch(replace(source, sha256="0" * 64), tmp_path)
    assert not (tmp_path / "a.h5").exists()
    right = hashlib.sha256(CONTENT).hexdigest()
    assert fetch(replace(source, sha256=right), tmp_path).read_bytes() == CONTENT
    with pytest.raises(InputError, match="is there already"):
        fetch(replace(source, sha256="0" * 64), tmp_path)


@pytest.mark.parametrize("data_set", RECORDS)
def test_every_file_of_a_record_has_a_checksum_that_is_known_here(data_set):
    files = RECORDS[data_set].files
    assert all(len(file.md5) == 32 for file in files)
    assert len({file.md5 for file in files}) == len(files)
    if data_set == "quarkgluon":
        assert all(len(file.sha256) == 64 for file in files)
        assert len({file.sha256 for file in files}) == 20


def test_a_record_of_other_checksums_than_the_known_ones_is_refused(tmp_path):
    files = {f"{split}.h5": split.encode() for split in ("train", "val", "test")}
    with (
        serving(Fake(RECORDS["toptagging"].number, files)) as server,
        pytest.raises(InputError, match=r"val\.h5: .* which the set was published with"),
    ):
        download("toptagging", tmp_path, ["val"], base_url=server.url, wait=lambda _: None)
