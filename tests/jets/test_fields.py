"""A field is said once: arrays, batches, stores and resident jets then have it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import parttag
from parttag.jets.arrays import PER_JET, PER_PARTICLE

NEW = """    time: Float[Array, " rows"] = field(metadata=rows_per("particle", "<f4"))
    jet_age: Float[Array, "jets 2"] = field(metadata=rows_per("jet", "<f4", ("mean", "width")))
"""
USE = """
import sys
import h5py
import numpy as np
import torch
from parttag.data.loading.resident import ResidentJets
from parttag.data.store.shard import Columns, ShardFile, read_spans
from parttag.data.store.writer import write_shard
from parttag.jets.arrays import JetArrays, concatenate
from parttag.jets.batch import join_batches, make_batch

from pathlib import Path

lengths = np.array([2, 0, 3])
p4 = np.arange(20, dtype=np.float32).reshape(5, 4)
jets = JetArrays(
    p4=p4, extra=p4[:, :1], extra_names=("charge",), offsets=np.array([0, 2, 2, 5]),
    time=p4[:, 1] + 0.5, jet_p4=p4[:3], jet_axis=p4[:3, :2], jet_age=p4[:3, 2:],
    labels=np.ones((3, 1), np.uint8), label_names=("label_top",), jet_weights=p4[:3, 0],
    index=np.arange(3), sources=("a",),
)
rows = np.array([2, 0])

def check(taken, what):
    assert np.asarray(taken.time).tolist() == [p4[i, 1] + 0.5 for i in (2, 3, 4, 0, 1)], what
    assert np.asarray(taken.jet_age).tolist() == [p4[2, 2:].tolist(), p4[0, 2:].tolist()], what

check(jets.take(rows), "taken")
check(concatenate([jets.span(2, 3), jets.span(0, 1)]), "joined")
path = Path(sys.argv[1]) / "shard-00000.h5"
shard = write_shard(path, jets)
with h5py.File(path) as file:
    assert list(file["jet_age"].attrs["columns"]) == ["mean", "width"]
columns = Columns(extra_names=("charge",), label_names=("label_top",))
file = ShardFile(path, shard, columns)
check(file.mapped(columns, ("a",)).take(rows), "mapped")
check(read_spans([(file, 2, 3), (file, 0, 1)], columns, ("a",)), "read")
batch = make_batch(jets)
check(batch.take(rows), "batch taken")
check(join_batches([batch.span(2, 3), batch.span(0, 1)]), "batches joined")
assert batch.keep_particles(np.arange(5) > 2).time.tolist() == [p4[3, 1] + 0.5, p4[4, 1] + 0.5]
assert batch.to("cpu", torch.float64).jet_age.dtype == torch.float64

class InMemory:
    extra_names, classes = ("charge",), np.zeros(3, np.int64)
    __len__ = lambda self: 3
    read = lambda self, ranges: jets

resident = ResidentJets(InMemory(), torch.device("cpu"))
check(resident.batch(resident.plan(rows)), "resident")
print("everywhere")
"""


def test_adding_a_field_is_one_edit(tmp_path):
    package = tmp_path / "parttag"
    shutil.copytree(Path(parttag.__file__).parent, package)
    file = package / "jets" / "fields.py"
    before, line, after = file.read_text().partition("    extra_names: tuple[str, ...]\n")
    file.write_text(before + line + NEW + after)
    result = subprocess.run(
        [sys.executable, "-c", USE, tmp_path],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.strip() == "everywhere", result.stderr


@pytest.mark.parametrize("wrong", ["time", "jet_age"])
def test_the_fields_of_that_test_are_new(wrong):
    assert wrong not in (*PER_PARTICLE, *PER_JET)
