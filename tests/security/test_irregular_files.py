"""Pipes, devices, endless archives: regular files only, of limited depth and size."""

import gzip
import io
import os
import tarfile
import threading
import zipfile

import numpy as np
import pytest

from helpers.limits import memory_for
from helpers.runs import toy_config
from parttag.data import prepare
from parttag.data.readers import count_jets, find_files, read_branches, read_chunks, read_schema
from parttag.errors import InputError
from parttag.runs.config import load_config
from parttag.runs.import_weights import import_run
from parttag.runs.run import load_run
from parttag.runs.sections import load_columns
from parttag.runs.train import train_run
from parttag.samples.download.archives import unpack

READERS = {
    "jets": lambda path: list(read_chunks(path)),
    "number": count_jets,
    "schema": read_schema,
    "branches": lambda path: read_branches(path, ["x"]),
    "prepare": lambda path: prepare([path], path.parent / "store"),
    "configuration": load_config,
    "columns": load_columns,
    "weights": lambda path: import_run(path, "kin", path.parent / "run"),
}


def in_a_moment(call):
    """Return what a call raises within ten seconds, in a thread, as it may never return."""
    found = []

    def run():
        try:
            call()
        except Exception as error:  # noqa: BLE001 (to be looked at by the test)
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits for ever"
    return found[0]


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_is_refused_by_all_that_read_files(reader, tmp_path):
    path = tmp_path / "pipe.root"
    os.mkfifo(path)
    refusal = in_a_moment(lambda: READERS[reader](path))
    assert isinstance(refusal, InputError)
    assert "pipe.root" in str(refusal)


@pytest.mark.parametrize("name", ["config.yaml", "checkpoints/best.pt"])
def test_a_pipe_in_a_run_is_refused(name, tmp_path):
    config = toy_config(tmp_path, "training.epochs=1")
    run = train_run(config, tmp_path / "run")
    (run / name).unlink()
    os.mkfifo(run / name)
    refusal = in_a_moment(lambda: load_run(run))
    assert isinstance(refusal, InputError)


def test_a_pipe_in_a_folder_of_files_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.root")
    assert isinstance(
        in_a_moment(lambda: [list(read_chunks(p)) for p in find_files([tmp_path])]), InputError
    )


# --------------------------------------------------------------------------------------- archives


def _tar(path, *members, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def left_in(folder, archive):
    return [p for p in folder.rglob("*") if p != archive]


@pytest.mark.parametrize("depth", [3000, 200])
def test_a_deep_archive_is_refused(depth, tmp_path):
    path = _tar(tmp_path / "jets.tar", ("a/" * depth + "b.root", b"jets"))
    with pytest.raises(InputError, match=r"jets\.tar.*levels deep"):
        unpack(path, tmp_path)
    assert left_in(tmp_path, path) == []


def test_a_compressed_archive_is_refused(tmp_path):
    # The record's are not; 300 MB of zeros are 300 kB.
    path = _tar(tmp_path / "jets.tar", ("a.root", bytes(3 << 20)), mode="w:gz")
    with pytest.raises(InputError, match=r"jets\.tar"):
        unpack(path, tmp_path)
    assert left_in(tmp_path, path) == []


def test_a_sparse_member_is_refused(tmp_path):
    path = tmp_path / "jets.tar"
    info = tarfile.TarInfo("a.root")
    info.size = 512
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.name": "a.root",
        "GNU.sparse.realsize": str(1 << 40),
        "GNU.sparse.map": "0,512",
        "GNU.sparse.numblocks": "1",
    }
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(bytes(512)))
    with pytest.raises(InputError, match=r"jets\.tar.*sparse"):
        unpack(path, tmp_path)
    assert left_in(tmp_path, path) == []


def test_more_files_than_any_set_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("parttag.samples.download.archives._MOST_FILES", 3)
    path = _tar(tmp_path / "jets.tar", *((f"{n}.root", b"") for n in range(4)))
    with pytest.raises(InputError, match=r"jets\.tar has more than 3"):
        unpack(path, tmp_path)
    assert left_in(tmp_path, path) == []


def test_an_archive_within_the_limits_is_unpacked(tmp_path):
    path = _tar(tmp_path / "jets.tar", ("a/b/c.root", b"jets"), ("d.root", b"more"))
    assert [p.name for p in unpack(path, tmp_path)] == ["c.root", "d.root"]


def test_an_array_of_a_gigabyte_in_a_megabyte_is_read_a_piece_at_a_time(tmp_path):
    path = tmp_path / "bomb.npz"
    header = io.BytesIO()
    shape = (80_000, 100, 4)  # 256 MB
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("X.npy", "w") as member:
            member.write(header.getvalue())
            for _ in range(16):
                member.write(bytes(shape[0] * shape[1] * 32 // 16))
        with archive.open("y.npy", "w") as member:
            np.lib.format.write_array(member, np.zeros(shape[0]))
    with memory_for(200 << 20):
        assert next(iter(read_chunks(path, chunk_jets=100))).lengths.max() == 0


def test_a_compressed_root_file_is_no_root_file(tmp_path):
    path = tmp_path / "a.root"
    path.write_bytes(gzip.compress(bytes(1 << 20)))
    with pytest.raises(InputError, match=r"a\.root"):
        list(read_chunks(path))
