"""HDF5 files that say their data lie in another file: those bytes are never taken for jets."""

from dataclasses import dataclass

import h5py
import numpy as np
import pytest
import yaml

from helpers.files import write_toptagging_h5
from parttag.data import prepare
from parttag.data.readers import count_jets, read_branches, read_chunks, read_schema
from parttag.data.readers.column_layout import ColumnLayout
from parttag.errors import InputError
from parttag.evaluation.scored_jets import read_scored_jets
from parttag.runs.sections import load_columns
from parttag.testing import toy_jets

JETS, SLOTS = 6, 4
COLUMNS = {
    "particles": {"px": "px", "py": "py", "pz": "pz", "energy": "energy", "d0": "d0"},
    "labels": {"branches": {"label_top": "top", "label_QCD": "qcd"}},
}
SECRET = np.full((JETS, SLOTS), 7.25, dtype="<f4")


@dataclass
class _Places:
    """Files of another user that hold what must not come out."""

    raw: str
    hdf5: str


@pytest.fixture
def secret(tmp_path):
    (tmp_path / "secret.bin").write_bytes(SECRET.tobytes())
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["values"] = SECRET
        file["group/values"] = SECRET
    return _Places(str(tmp_path / "secret.bin"), str(tmp_path / "secret.h5"))


def _external_storage(file, name, secret):
    file.create_dataset(name, SECRET.shape, SECRET.dtype, external=[(secret.raw, 0, SECRET.nbytes)])


def _virtual(file, name, secret):
    layout = h5py.VirtualLayout(SECRET.shape, SECRET.dtype)
    layout[:] = h5py.VirtualSource(secret.hdf5, "values", SECRET.shape, SECRET.dtype)
    file.create_virtual_dataset(name, layout)


def _external_link(file, name, secret):
    file[name] = h5py.ExternalLink(secret.hdf5, "values")


def _soft_link_to_an_external_one(file, name, secret):
    file["door"] = h5py.ExternalLink(secret.hdf5, "group")
    file[name] = h5py.SoftLink("/door/values")


ATTACKS = (_external_storage, _virtual, _external_link, _soft_link_to_an_external_one)
BY_STORAGE = ATTACKS[:2]


@pytest.fixture
def layout(tmp_path):
    (tmp_path / "columns.yaml").write_text(yaml.safe_dump({"columns": COLUMNS}))
    return ColumnLayout(load_columns(tmp_path / "columns.yaml"))


def write_columns(path, attack=None, secret=None):
    """Write jets of any names, one column of them by an attack."""
    numbers = np.random.default_rng(0).uniform(10, 20, (4, JETS, SLOTS)).astype("<f4")
    with h5py.File(path, "w") as file:
        for name, values in zip(("px", "py", "pz"), numbers[:3], strict=True):
            file[name] = values
        file["energy"] = np.sqrt((numbers[:3] ** 2).sum(axis=0)) + numbers[3]
        file["top"] = np.arange(JETS) % 2
        file["qcd"] = 1 - np.arange(JETS) % 2
        if attack is None:
            file["d0"] = SECRET
        else:
            attack(file, "d0", secret)
    return path


def test_the_same_columns_in_the_file_itself_are_read(tmp_path, layout):
    path = write_columns(tmp_path / "a.h5")
    (jets,) = read_chunks(path, layout=layout)
    assert (jets.extra == 7.25).all()
    assert len(jets) == JETS


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_column_that_lies_elsewhere_is_refused_by_all_that_reads(
    tmp_path, layout, secret, attack
):
    path = write_columns(tmp_path / "a.h5", attack, secret)
    for read in (
        lambda: list(read_chunks(path, layout=layout)),
        lambda: read_branches(path, ["d0"], layout),
        lambda: read_schema(path, layout),
    ):
        with pytest.raises(InputError, match=r"a\.h5.*d0"):
            read()
    columns = load_columns(tmp_path / "columns.yaml")
    with pytest.raises(InputError, match=r"a\.h5.*d0"):
        prepare([path], tmp_path / "store", columns=columns)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("attack", BY_STORAGE)
def test_the_sentence_says_what_to_do(tmp_path, layout, secret, attack):
    path = write_columns(tmp_path / "a.h5", attack, secret)
    with pytest.raises(InputError, match=r"outside of its own file.*h5repack") as caught:
        list(read_chunks(path, layout=layout))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("attack", ATTACKS)
def test_columns_that_nobody_asked_for_may_lie_anywhere(tmp_path, layout, secret, attack):
    path = write_columns(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        attack(file, "other", secret)
    assert count_jets(path, layout) == JETS
    (jets,) = read_chunks(path, layout=layout)
    assert len(jets) == JETS


def _table(tmp_path):
    """Return a file of the top-tagging set, whose table another one shall show as its own."""
    return write_toptagging_h5(tmp_path / "theirs.h5", toy_jets(JETS))


def _table_by_external_storage(path, theirs):
    with h5py.File(theirs, "r") as source:
        rows = source["table/table"]
        content, dtype = rows[:], rows.dtype
    raw = theirs.with_suffix(".bin")
    raw.write_bytes(content.tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "table/table", content.shape, dtype, external=[(str(raw), 0, content.nbytes)]
        )


def _table_by_virtual_dataset(path, theirs):
    with h5py.File(theirs, "r") as source:
        rows = source["table/table"]
        virtual = h5py.VirtualLayout(rows.shape, rows.dtype)
        virtual[:] = h5py.VirtualSource(str(theirs), "table/table", rows.shape, rows.dtype)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("table/table", virtual)


def _table_by_external_link(path, theirs):
    with h5py.File(path, "w") as file:
        file["table/table"] = h5py.ExternalLink(str(theirs), "table/table")


def _table_in_a_group_elsewhere(path, theirs):
    with h5py.File(path, "w") as file:
        file["table"] = h5py.ExternalLink(str(theirs), "table")


def _table_by_links_in_a_row(path, theirs):
    with h5py.File(path, "w") as file:
        file["door"] = h5py.ExternalLink(str(theirs), "/")
        file["table"] = h5py.SoftLink("/door/table")


TABLES = (
    _table_by_external_storage,
    _table_by_virtual_dataset,
    _table_by_external_link,
    _table_in_a_group_elsewhere,
    _table_by_links_in_a_row,
)


@pytest.mark.parametrize("attack", TABLES)
def test_a_top_tagging_table_that_lies_elsewhere_is_refused(tmp_path, layout, attack):
    theirs = _table(tmp_path)
    assert count_jets(theirs) == JETS
    path = tmp_path / "a.h5"
    attack(path, theirs)
    for read in (
        lambda: count_jets(path),
        lambda: read_schema(path),
        lambda: list(read_chunks(path)),
        lambda: read_branches(path, ["ttv"]),
        lambda: list(read_chunks(path, layout=layout)),
    ):
        with pytest.raises(InputError, match=r"a\.h5: table/table .*outside of its own file"):
            read()


@pytest.mark.parametrize("attack", ATTACKS)
def test_scores_of_a_foreign_run_come_from_its_own_file(tmp_path, secret, attack):
    path = tmp_path / "scores.h5"
    with h5py.File(path, "w") as file:
        file["label"] = np.zeros(JETS)
        file["valid"] = np.ones(JETS)
        file["logit_QCD"] = np.zeros(JETS)
        attack(file, "logit_top", secret)
    with pytest.raises(InputError, match=r"scores\.h5: logit_top .*outside of its own file"):
        read_scored_jets(path, ("QCD", "top"))
