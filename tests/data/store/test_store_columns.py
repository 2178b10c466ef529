"""What a manifest says of columns of any type is checked against what there is."""

import json
from dataclasses import replace

import numpy as np
import pytest

from parttag.data.jet_files import JetFiles
from parttag.data.store.shard import Columns
from parttag.data.store.store import MANIFEST, SCHEMA_VERSION, JetStore, Manifest, Source
from parttag.data.store.writer import write_manifest, write_shard
from parttag.errors import InputError
from parttag.jets.columns import pack_columns
from parttag.testing import toy_jets


@pytest.fixture
def store(tmp_path):
    jets = toy_jets(9)
    jets = replace(jets, index=np.arange(9), sources=("a.root",))
    half = np.arange(len(jets.p4), dtype=np.float16)
    packed, types = pack_columns({"w": half}, len(jets.p4))
    of_jets, jet_types = pack_columns({"n": np.arange(9, dtype=np.int64)}, 9)
    jets = replace(
        jets, columns=packed, column_types=types, jet_columns=of_jets, jet_column_types=jet_types
    )
    shard = write_shard(tmp_path / "shard-00000.h5", jets)
    manifest = Manifest(
        **Columns.of(jets).own(),
        schema_version=SCHEMA_VERSION,
        parttag_version="0",
        num_jets=9,
        num_particles=len(jets.p4),
        shuffle_seed=None,
        dropped={},
        sources=(Source(path="a.root", bytes=1, sha256="0" * 64),),
        shards=(shard,),
        columns={},
        cuts={},
    )
    write_manifest(tmp_path, manifest)
    return tmp_path


def test_columns_are_read_whole_in_part_and_mapped(store):
    opened = JetStore(store)
    whole = JetFiles(store).read()
    assert whole["w"].dtype == np.float16
    assert np.array_equal(whole["w"], np.arange(len(whole.p4), dtype=np.float16))
    some = opened.read([(2, 4), (7, 9)])
    assert some["n"].tolist() == [2, 3, 7, 8]
    taken = opened.take(np.array([8, 2]))
    assert taken["n"].tolist() == [8, 2]
    assert np.array_equal(taken["w"][-taken.lengths[1] :], some["w"][: taken.lengths[1]])
    assert opened.take(np.array([1]), extras=False).particle_column_names == ()
    assert opened.read([(0, 9)], extras=False)["n"].tolist() == list(range(9))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"column_types": [["w", "|O"]]}, "is damaged"),
        ({"column_types": [["w", "<f8"]]}, "is not as its store describes it"),
        ({"column_types": []}, "its datasets are not those of a store"),
        ({"column_types": [["w", "|i1"], ["w", "|i1"]]}, "is damaged"),
        ({"jet_column_types": [["", "<i8"]]}, "is damaged"),
    ],
)
def test_a_manifest_that_says_otherwise_is_refused(store, changes, sentence):
    path = store / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError, match=sentence):
        JetStore(store)
