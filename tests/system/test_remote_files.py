"""Files of other machines: read through their URL as if they lay here."""

import pickle

import numpy as np
import pytest

from helpers.files import write_jetclass_parquet, write_jetclass_root, write_toptagging_h5
from helpers.range_server import serve
from parttag.data import JetStore, prepare
from parttag.data.readers import count_jets, find_files, read_branches, read_chunks
from parttag.errors import InputError
from parttag.system.files import sha256
from parttag.system.remote_files import RemotePath
from parttag.testing import toy_jets


@pytest.fixture
def url(tmp_path):
    (tmp_path / "served").mkdir()
    with serve(tmp_path / "served") as url:
        yield url


def write_npz(path, toys):
    slots = np.zeros((len(toys), 1, 4))
    slots[:] = [1, 2, 3, 22]
    np.savez_compressed(path, X=slots, y=toys.labels[:, 0])
    return path


WRITERS = {
    "root": write_jetclass_root,
    "rntuple": lambda path, toys: write_jetclass_root(path, toys, rntuple=True),
    "parquet": write_jetclass_parquet,
    "h5": write_toptagging_h5,
    "npz": write_npz,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_behind_a_url_gives_the_jets_that_it_gives_here(tmp_path, url, kind):
    path = WRITERS[kind](tmp_path / "served" / f"a.{kind}", toy_jets(9))
    (remote,) = find_files([f"{url}/a.{kind}"])
    here, there = (list(read_chunks(p, chunk_jets=4)) for p in (path, remote))
    assert count_jets(remote) == 9
    for ours, theirs in zip(here, there, strict=True):
        np.testing.assert_array_equal(ours.p4, theirs.p4)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        assert theirs.sources == (f"{url}/a.{kind}",)


def test_a_store_is_made_of_it_with_its_size_and_hash(tmp_path, url):
    path = write_jetclass_root(tmp_path / "served" / "a.root", toy_jets(5))
    report = prepare([f"{url}/a.root"], tmp_path / "store")
    (source,) = JetStore(report.store).manifest.sources
    assert source.path == f"{url}/a.root"
    assert (source.bytes, source.sha256) == (path.stat().st_size, sha256(path))


def test_branches_to_keep_are_read_too(tmp_path, url):
    write_jetclass_root(tmp_path / "served" / "a.root", toy_jets(5))
    (remote,) = find_files([f"{url}/a.root"])
    assert read_branches(remote, ["label_top"])["label_top"].to_list() == [1, 0, 1, 0, 1]


def test_a_file_that_the_server_does_not_have_is_named(url):
    (remote,) = find_files([f"{url}/gone.root"])
    with pytest.raises(InputError, match=f"{url}/gone.root"):
        list(read_chunks(remote))


def test_urls_stay_as_they_are_given(tmp_path):
    text = "http://host//store/user/a.root"
    (path,) = find_files([text])
    assert str(path) == text
    assert path == pickle.loads(pickle.dumps(path))
    assert str(pickle.loads(pickle.dumps(path))) == text
    assert not path.is_dir()
    assert path.name == "a.root"


def test_a_glob_of_urls_is_refused():
    with pytest.raises(InputError, match=r"https://host/\*\.root: files of another machine cannot"):
        find_files(["https://host/*.root"])


@pytest.mark.parametrize("kind", ["root", "https"])
def test_a_kind_of_url_that_nothing_reads_is_one_sentence(monkeypatch, kind):
    import fsspec

    def refuse(protocol):  # as without fsspec-xrootd and aiohttp, which need not be installed
        raise ImportError(f"Install what reads {protocol}.")

    monkeypatch.setattr(fsspec, "get_filesystem_class", refuse)
    message = rf"{kind}://host/a\.root cannot be read here \(.*\): install parttag\[remote\], or"
    with pytest.raises(InputError, match=message):
        find_files([f"{kind}://host/a.root"])


def test_what_is_asked_of_a_path_is_answered_for_a_url():
    path = RemotePath("http://a/b.root")
    assert not path.is_file()
    assert path.resolve() is path
    assert str(path / "manifest.json") == "http://a/b.root/manifest.json"
