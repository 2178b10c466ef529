"""HDF5 files whose Blosc filter has lost its options: the library would crash in C."""

import subprocess
import sys

import h5py
import hdf5plugin
import numpy as np
import pytest

from parttag.data.readers.hdf5 import refuse_unstored

_FILTER = (32001).to_bytes(2, "little")


def damaged(path, changes):
    """Write jets as Blosc chunks; change 16-bit numbers of the filter's entry by their place."""
    with h5py.File(path, "w") as file:
        rows = np.zeros((40, 800), dtype=np.float32)
        file.create_dataset("table", data=rows, chunks=(20, 800), **hdf5plugin.Blosc())
    content = bytearray(path.read_bytes())
    entry = content.index(_FILTER + b"\x08\x00")  # its number, then the length of its name
    assert int.from_bytes(content[entry + 6 : entry + 8], "little") == 7  # its options
    for place, value in changes.items():
        content[entry + place : entry + place + 2] = value.to_bytes(2, "little")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "changes", [{6: 0}, {6: 3}, {16 + 8: 0}, {16 + 12: 1}], ids=["none", "few", "no size", "chunk"]
)
def test_options_that_the_library_would_read_past_are_refused(tmp_path, changes):
    path = damaged(tmp_path / "jets.h5", changes)
    code = (
        "import sys, h5py; from pathlib import Path; "
        "from parttag.data.readers.hdf5 import refuse_unstored; path = Path(sys.argv[1]); "
        "refuse_unstored(h5py.File(path)['table'], 'table', path)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1  # not a signal
    assert "InputError" in result.stderr
    assert "table is compressed by Blosc" in result.stderr


def test_files_as_they_are_written_are_read(tmp_path):
    path = damaged(tmp_path / "jets.h5", {})
    with h5py.File(path) as file:
        refuse_unstored(file["table"], "table", path)
        assert not file["table"][:].any()
