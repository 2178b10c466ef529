"""ROOT files: which tree is read, in chunks, and what is said of those that cannot be."""

import awkward as ak
import numpy as np
import pytest
import uproot

from helpers.files import jetclass_branches, write_jetclass_root, write_root
from parttag.data.readers import count_jets, read_branches, read_chunks
from parttag.errors import InputError
from parttag.testing import toy_jets


def test_chunks_hold_all_jets_in_order(tmp_path):
    toys = toy_jets(11)
    path = write_jetclass_root(tmp_path / "a.root", toys)
    chunks = list(read_chunks(path, chunk_jets=4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate([c.index for c in chunks]), np.arange(11))
    np.testing.assert_array_equal(np.concatenate([c.p4 for c in chunks]), toys.p4)
    assert count_jets(path) == 11


def test_an_rntuple_gives_the_same_jets(tmp_path):
    toys = toy_jets(5)
    path = write_jetclass_root(tmp_path / "a.root", toys, rntuple=True)
    (jets,) = read_chunks(path)
    np.testing.assert_array_equal(jets.p4, toys.p4)
    assert set(jets.label_names) == set(toys.label_names)


def test_a_change_of_where_an_rntuples_pages_are_is_found(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(5), rntuple=True)
    with uproot.open(path) as file:
        (record,) = file["tree"].footer.cluster_group_records
        locator = record.page_list_link.locator
    content = bytearray(path.read_bytes())
    content[locator.offset + locator.num_bytes // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.root is damaged or cut short"):
        list(read_chunks(path))


def test_memory_that_no_machine_has_is_not_a_fault_of_ours(tmp_path, monkeypatch):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(2))

    def allocate(*args, **kwargs):
        raise MemoryError("Unable to allocate 4.00 EiB")

    monkeypatch.setattr(uproot, "open", allocate)
    with pytest.raises(InputError, match=r"a\.root asks for more memory .*4\.00 EiB.*damaged, or"):
        count_jets(path)


def test_the_only_tree_is_read_whatever_its_name(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(3), tree="Events")
    assert count_jets(path) == 3


def test_the_tree_of_the_name_is_read_among_several(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        for name, num_jets in (("other", 2), ("tree", 3)):
            branches = jetclass_branches(toy_jets(num_jets))
            types = {key: ak.type(ak.Array(branch)).content for key, branch in branches.items()}
            file.mktree(name, types)
            file[name].extend(branches)
    assert count_jets(path) == 3


def test_several_trees_of_other_names_are_refused_by_name(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        for name in ("first", "second"):
            file.mktree(name, {"x": "float32"})
    with pytest.raises(InputError, match=r"no TTree named tree but first, second"):
        count_jets(path)


def test_a_file_without_tree_is_refused(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        file["text"] = "no tree"
    with pytest.raises(InputError, match=r"a\.root has no TTree"):
        count_jets(path)


def test_a_tree_without_jets_is_refused(tmp_path):
    path = write_root(tmp_path / "a.root", jetclass_branches(toy_jets(2).take(np.arange(0))))
    with pytest.raises(InputError, match=r"a\.root holds no jets"):
        list(read_chunks(path))


def test_branches_to_keep_are_read_whole(tmp_path):
    toys = toy_jets(4)
    event = np.arange(4) * 10**12
    path = write_jetclass_root(tmp_path / "a.root", toys, replaced={"event": event})
    kept = read_branches(path, ["event", "part_px"])
    np.testing.assert_array_equal(kept["event"], event)
    np.testing.assert_array_equal(kept["part_px"][2], toys.span(2, 3).p4[:, 0])


def test_a_missing_branch_to_keep_is_named_with_what_is_there(tmp_path):
    path = write_jetclass_root(tmp_path / "a.root", toy_jets(2))
    with pytest.raises(InputError, match=r"has no branch run_number; it has .*label_top"):
        read_branches(path, ["run_number"])
