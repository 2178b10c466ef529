import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from parttag.data.readers import read_chunks, read_schema
from parttag.data.writers.jetclass import check_format, read_provenance, write_open_file
from parttag.errors import InputError
from parttag.evaluation.generation.sampling import bare_jets
from parttag.inspection.inspect import NO_LABEL, inspect_files
from parttag.system.atomic_files import new_files
from parttag.testing import toy_jets
from parttag.testing.tolerances import FLOAT32_FEATURE

PROVENANCE = {"seed": 3, "run": "runs/decoder"}


@pytest.fixture(params=["jets.root", "jets.parquet"])
def written(request, tmp_path):
    """Some jets, and the file that they are written to."""
    toys = toy_jets(12, seed=4)
    jets = bare_jets(torch.from_numpy(toys.p4), toys.lengths)
    path = tmp_path / request.param
    with new_files([path], overwrite=False) as (file,):
        write_open_file(file, path, jets, PROVENANCE)
    return jets, path


def test_jets_are_read_back_as_they_are(written):
    jets, path = written
    (read,) = read_chunks(path)
    np.testing.assert_array_equal(read.p4, jets.p4)
    np.testing.assert_array_equal(read.offsets, jets.offsets)
    np.testing.assert_allclose(read.jet_p4, jets.jet_p4, **FLOAT32_FEATURE)
    np.testing.assert_allclose(read.jet_axis, jets.jet_axis, **FLOAT32_FEATURE)
    assert read_schema(path).label_names == ()
    found = inspect_files([path])
    assert (found.labels, found.num_bad) == ({NO_LABEL: 12}, 0)


def test_files_say_where_their_jets_are_from(written):
    _, path = written
    if path.suffix == ".root":
        assert read_provenance(path) == PROVENANCE
    else:
        assert json.loads(pq.read_schema(path).metadata[b"provenance"]) == PROVENANCE


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"jets.h5: jets are written to .root, .parquet"):
        check_format(tmp_path / "jets.h5")
