"""Whole data sets from a record, in parts, interrupted, refused."""

import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import replace
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from helpers.http import Fake, serving
from parttag import cli
from parttag.errors import InputError
from parttag.samples import download as package
from parttag.samples.download import download
from parttag.samples.download.records import RECORDS, Record, RecordFile


def tar_of(files):
    """Return the bytes of an archive."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, inside in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(inside)
            tar.addfile(info, io.BytesIO(inside))
    return content.getvalue()


TOP = {f"{split}.h5": f"jets of {split}".encode() for split in ("train", "val", "test")}
JETCLASS = {
    "a.tar": tar_of({"train/HToBB_000.root": b"bb"}),
    "b.tar": tar_of({"train/HToBB_010.root": b"more bb"}),
    "v.tar": tar_of({"val/HToBB_120.root": b"val bb"}),
}


@pytest.fixture
def toptagging(monkeypatch):
    """Serve other files under the names of the set, whose checksums are not known."""
    record = RECORDS["toptagging"]
    files = tuple(replace(file, md5=None) for file in record.files)
    monkeypatch.setitem(RECORDS, "toptagging", replace(record, files=files))
    with serving(Fake(RECORDS["toptagging"].number, dict(TOP))) as fake:
        yield fake


@pytest.fixture
def jetclass(monkeypatch):
    """Serve a small JetClass: two parts of training, one of validation."""
    digests = {name: hashlib.md5(content).hexdigest() for name, content in JETCLASS.items()}
    aliases = {"a.tar": ("train", "part0"), "b.tar": ("train", "part1"), "v.tar": ("val",)}
    files = tuple(RecordFile(name, aliases[name], digests[name]) for name in JETCLASS)
    monkeypatch.setitem(RECORDS, "jetclass", Record(8, files))
    with serving(Fake(8, dict(JETCLASS))) as fake:
        yield fake


def come(server, data_set, out, *files, **kwargs):
    return download(data_set, out, files, base_url=server.url, wait=lambda _: None, **kwargs)


def files_in(out):
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def test_a_set_comes_with_the_checksums_of_its_record(toptagging, tmp_path):
    downloads = come(toptagging, "toptagging", tmp_path)
    assert files_in(tmp_path) == ["download.json", "test.h5", "train.h5", "val.h5"]
    assert [one.source.md5 for one in downloads] == [
        hashlib.md5(c).hexdigest() for c in TOP.values()
    ]
    assert [one.files for one in downloads] == [(tmp_path / name,) for name in TOP]


def test_a_part_of_a_set_can_be_taken_by_alias_and_by_name(toptagging, tmp_path):
    come(toptagging, "toptagging", tmp_path, "val", "test.h5")
    assert files_in(tmp_path) == ["download.json", "test.h5", "val.h5"]


def test_archives_are_unpacked_together_and_deleted(jetclass, tmp_path):
    come(jetclass, "jetclass", tmp_path, "train")
    assert files_in(tmp_path) == ["download.json", "train/HToBB_000.root", "train/HToBB_010.root"]
    assert (tmp_path / "train/HToBB_010.root").read_bytes() == b"more bb"


def test_what_was_unpacked_is_not_downloaded_again(jetclass, tmp_path):
    first = come(jetclass, "jetclass", tmp_path, "val")
    jetclass.requests.clear()
    assert come(jetclass, "jetclass", tmp_path, "val") == first
    assert [path for path, _ in jetclass.requests] == ["/api/records/8"]


def test_a_file_that_was_lost_is_downloaded_again(jetclass, tmp_path):
    come(jetclass, "jetclass", tmp_path, "train")
    (tmp_path / "train/HToBB_000.root").unlink()
    jetclass.requests.clear()
    come(jetclass, "jetclass", tmp_path, "train")
    assert (tmp_path / "train/HToBB_000.root").read_bytes() == b"bb"
    assert jetclass.ranges("b.tar") == []


def test_killed_between_download_and_unpacking_it_unpacks_without_downloading(jetclass, tmp_path):
    (tmp_path / "v.tar").write_bytes(JETCLASS["v.tar"])
    come(jetclass, "jetclass", tmp_path, "val")
    assert jetclass.ranges("v.tar") == []
    assert files_in(tmp_path) == ["download.json", "val/HToBB_120.root"]


def test_killed_before_the_archive_was_deleted_it_is_deleted_by_the_next_run(jetclass, tmp_path):
    come(jetclass, "jetclass", tmp_path, "val")
    (tmp_path / "v.tar").write_bytes(JETCLASS["v.tar"])
    come(jetclass, "jetclass", tmp_path, "val")
    assert files_in(tmp_path) == ["download.json", "val/HToBB_120.root"]


def test_a_damaged_archive_is_never_unpacked(jetclass, tmp_path):
    jetclass.files["v.tar"] = tar_of({"val/HToBB_120.root": b"tampered"})
    jetclass.md5["v.tar"] = hashlib.md5(JETCLASS["v.tar"]).hexdigest()
    with pytest.raises(InputError, match=r"v\.tar arrived damaged"):
        come(jetclass, "jetclass", tmp_path, "val")
    assert files_in(tmp_path) == ["v.tar.wrong"]


def test_a_record_that_says_another_checksum_than_the_known_one_is_not_believed(jetclass, tmp_path):
    jetclass.files["v.tar"] = tar_of({"val/HToBB_120.root": b"tampered"})
    with pytest.raises(InputError, match=r"v\.tar: the record .* has the MD5 .*, not"):
        come(jetclass, "jetclass", tmp_path, "val")
    assert files_in(tmp_path) == []


def test_too_little_space_is_said_before_anything_comes(jetclass, tmp_path, monkeypatch):
    # An archive is there twice while it is unpacked.
    needed = 2 * len(JETCLASS["v.tar"])
    for free, enough in ((needed - 1, False), (needed, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        if enough:
            come(jetclass, "jetclass", tmp_path / "new", "val")
        else:
            with pytest.raises(InputError, match=r"0.0 GB free, but .* are needed"):
                come(jetclass, "jetclass", tmp_path / "new", "val")
            assert not (tmp_path / "new").exists()


def test_an_unknown_part_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match=r'files="vall": .* has no such file; it has train, val'):
        download("toptagging", tmp_path, ["vall"], base_url="http://127.0.0.1:9")


def test_a_record_out_of_reach_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"records/2603256 cannot be reached"):
        download("toptagging", tmp_path, base_url="http://127.0.0.1:9")


@pytest.mark.parametrize("listing", [{}, {"files": []}, {"files": [{"key": "val.h5"}]}, []])
def test_a_record_that_says_something_else_is_one_sentence(toptagging, tmp_path, listing):
    toptagging.listing = lambda: listing
    with pytest.raises(InputError, match=r"records/2603256 does not say where its files are"):
        come(toptagging, "toptagging", tmp_path)


def test_an_address_that_is_not_of_the_web_is_not_followed(toptagging, tmp_path):
    listing = toptagging.listing()
    listing["files"][1]["links"]["self"] = "file:///etc/passwd"
    toptagging.listing = lambda: listing
    with pytest.raises(InputError, match=r"file:///etc/passwd is no address of the web"):
        come(toptagging, "toptagging", tmp_path, "val")


def test_an_archive_that_reaches_out_is_refused_though_its_checksum_is_right(
    jetclass, tmp_path, monkeypatch
):
    evil = tar_of({"val/HToBB_120.root": b"val bb", "../evil.root": b"evil"})
    jetclass.files["v.tar"] = evil
    file = RecordFile("v.tar", ("val",), hashlib.md5(evil).hexdigest())
    monkeypatch.setitem(RECORDS, "jetclass", Record(8, (file,)))
    with pytest.raises(InputError, match=r"'../evil.root' would lie outside of the folder"):
        come(jetclass, "jetclass", tmp_path / "out", "val")
    assert files_in(tmp_path) == ["out/v.tar"]


@pytest.mark.parametrize("content", ["{", "[]", '{"val.h5": 3}'])
def test_a_damaged_note_of_earlier_downloads_is_named(toptagging, tmp_path, content):
    (tmp_path / "download.json").write_text(content)
    with pytest.raises(InputError, match=r"download\.json"):
        come(toptagging, "toptagging", tmp_path)


def test_the_records_are_those_of_the_papers():
    assert {name: record.doi for name, record in RECORDS.items()} == {
        "toptagging": "10.5281/zenodo.2603256",
        "jetclass": "10.5281/zenodo.6619768",
        "quarkgluon": "10.5281/zenodo.3164691",
    }
    assert [len(record.choose([])) for record in RECORDS.values()] == [3, 12, 20]
    assert len(RECORDS["jetclass"].choose(["train"])) == 10
    assert [f.name for f in RECORDS["quarkgluon"].choose(["0", "19"])] == [
        "QG_jets.npz",
        "QG_jets_19.npz",
    ]
    assert all(len(file.md5) == 32 for file in RECORDS["jetclass"].files)


def test_the_command_says_what_came(toptagging, tmp_path, monkeypatch):
    monkeypatch.setattr(package, "look_up", lambda r, f, _: real(r, f, toptagging.url))
    result = CliRunner().invoke(
        cli.app, ["download", "toptagging", "--files", "val", "--out", str(tmp_path)]
    )
    assert result.exit_code == 0
    assert f"val.h5, MD5 {hashlib.md5(TOP['val.h5']).hexdigest()}: {tmp_path / 'val.h5'}" in (
        result.stdout
    )
    assert json.loads((tmp_path / "download.json").read_text())["val.h5"]["files"] == {
        "val.h5": len(TOP["val.h5"])
    }


real = package.look_up
