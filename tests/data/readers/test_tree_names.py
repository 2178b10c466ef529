"""Which files, trees and leaves a configuration names, and trees of friends."""

import logging

import h5py
import numpy as np
import pytest
import uproot

from helpers.files import write_jetclass_root
from helpers.mapped import columns, layout, read
from parttag.data.jet_files import JetFiles
from parttag.data.readers import count_jets, find_files, list_branches, read_branches
from parttag.data.readers.patterns import alternatives
from parttag.errors import InputError
from parttag.testing import toy_jets

MOMENTUM = "particles: {pt: x, eta: zero, phi: zero, mass: 0}\n"


def branches(number, first=0.0):
    pt = np.arange(number * 2.0).reshape(number, 2) + first + 1
    return {"x": pt, "zero": pt * 0, "w": np.arange(number) + first}


def written(path, trees):
    with uproot.recreate(path) as file:
        for name, content in trees:
            file[name] = content
    return path


def test_braces_stand_for_alternatives(tmp_path):
    for name in ("tt_1", "tt_2", "qcd_1", "w_1"):
        (tmp_path / f"{name}.root").touch()
    found = find_files([tmp_path / "{tt,qcd}_*.root"])
    assert [path.name for path in found] == ["tt_1.root", "tt_2.root", "qcd_1.root"]
    assert alternatives("a{b,c{d,e}}f") == ["abf", "acdf", "acef"]
    assert alternatives("{x}") == ["{x}"]
    (tmp_path / "{a,b}.root").touch()
    assert [p.name for p in find_files([tmp_path / "{a,b}.root"])] == ["{a,b}.root"]
    with pytest.raises(InputError, match="there is no such file"):
        find_files([tmp_path / "{c,d}.root"])


def test_cycles_of_a_tree_are_read(tmp_path):
    path = written(tmp_path / "a.root", [("d/T", branches(3)), ("d/T", branches(5))])
    for name, number in (("d/T", 5), ("'d/T;2'", 5), ("'d/T;1'", 3)):
        assert count_jets(path, layout(MOMENTUM + f"tree: {name}")) == number
    with pytest.raises(InputError, match="no TTree named d/T;3 but d/T"):
        count_jets(path, layout(MOMENTUM + "tree: 'd/T;3'"))


def test_files_may_differ_in_the_names_of_their_trees(tmp_path):
    first = written(tmp_path / "ttbar_1.root", [("Events", branches(3)), ("Runs", branches(1))])
    second = written(tmp_path / "qcd_1.root", [("nominal", branches(4)), ("Runs", branches(1))])
    for tree in ('{"*ttbar*.root": Events, "*": nominal}', "[Events, nominal]"):
        assert [count_jets(p, layout(MOMENTUM + f"tree: {tree}")) for p in (first, second)] == [
            3,
            4,
        ]
    with pytest.raises(InputError, match=r"qcd_1\.root matches none of the patterns in data\.col"):
        count_jets(second, layout(MOMENTUM + 'tree: {"*ttbar*.root": Events}'))
    with pytest.raises(InputError, match="named Events or other but nominal, Runs"):
        count_jets(second, layout(MOMENTUM + "tree: [Events, other]"))


def test_empty_files_among_full_ones_are_left_out_with_one_line(tmp_path, caplog):
    toys = toy_jets(4)
    full = [write_jetclass_root(tmp_path / f"{n}.root", toys) for n in "ab"]
    empty = [write_jetclass_root(tmp_path / f"{n}.root", toys.span(0, 0)) for n in "cd"]
    files = JetFiles([full[0], *empty, full[1]])
    with caplog.at_level(logging.WARNING):
        jets = files.read()
        assert files.count() == len(jets) == 8
    (line,) = caplog.messages
    assert line.startswith("2 of 4 files hold no jets: ")
    assert str(empty[0]) in line
    assert set(jets.sources) == {str(path) for path in full}
    for alone in ([empty[0]], empty):
        with pytest.raises(InputError, match=r"c\.root holds no jets; leave it out"):
            JetFiles(alone).read()


def leaves(path):
    """Write a file that lists its branches as Delphes files do."""
    names = ("PT", "Eta", "Phi")
    with h5py.File(path, "w") as file:
        for name in names:
            file[f"EFlowTrack/EFlowTrack.{name}"] = np.ones((2, 2))
            file[f"Jet/Jet.{name}"] = np.ones((2, 2))
    return path


DELPHES = "particles: {pt: EFlowTrack.PT, eta: EFlowTrack.Eta, phi: EFlowTrack.Phi, mass: 0}"


def test_a_leaf_is_found_in_its_group(tmp_path):
    path = leaves(tmp_path / "a.h5")
    assert read(path, DELPHES).lengths.tolist() == [2, 2]
    kept = read_branches(path, ["Jet.PT"], layout(DELPHES))
    assert list(kept) == ["Jet.PT"]
    with pytest.raises(InputError, match=r"nearest is EFlowTrack/EFlowTrack\.Eta: correct"):
        read(path, DELPHES.replace("EFlowTrack.Eta", "EFlowTrack.Etaa"))


def test_a_leaf_of_two_groups_is_not_guessed(tmp_path):
    with h5py.File(leaves(tmp_path / "a.h5"), "a") as file:
        file["Other/EFlowTrack.PT"] = np.ones((2, 2))
    with pytest.raises(InputError, match=r"EFlowTrack\.PT may be .* or .*: name one of them"):
        read(tmp_path / "a.h5", DELPHES)


# --------------------------------------------------------------------------------------- friends

RUN, EVENT = np.array([1, 1, 1, 2, 2]), np.array([3, 2, 9, 2, 3])
KEYED = MOMENTUM + "jet_weight: score\ntree: T\n"


def main_tree(path):
    return written(path, [("T", {**branches(5), "run": RUN, "event": EVENT})])


def friend_rows(order):
    scores = (np.arange(5) / 10)[order]
    return {"run": RUN[order], "event": EVENT[order], "score": scores, "x": np.full(5, -1.0)}


def test_a_friend_of_the_same_entries_adds_branches(tmp_path):
    path = written(
        tmp_path / "a.root",
        [("T", branches(5)), ("F", {"score": np.arange(5) / 10, "x": np.full((5, 2), -1.0)})],
    )
    text = KEYED + "friends: [{tree: F}]"
    for chunk_jets in (2, 10):
        jets = read(path, text, chunk_jets)
        np.testing.assert_allclose(jets.jet_weights, np.arange(5) / 10, rtol=1e-6)
        assert (jets.p4[:, 0] > 0).all()  # x of the tree itself
    assert "score" in list_branches(path, layout(text))
    kept = read_branches(path, ["score", "w"], layout(text))
    assert kept["score"].tolist() == [0, 0.1, 0.2, 0.3, 0.4]
    assert kept["w"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 0, 3, 1]])
@pytest.mark.parametrize("split", [False, True])
def test_a_friend_in_any_order_is_matched_by_run_and_event(tmp_path, order, split):
    path = main_tree(tmp_path / "a.root")
    rows = friend_rows(np.array(order))
    if split:
        written(tmp_path / "f1.root", [("F", {n: v[:2] for n, v in rows.items()})])
        written(tmp_path / "f2.root", [("F", {n: v[2:] for n, v in rows.items()})])
    else:
        written(tmp_path / "f1.root", [("F", rows)])
    text = KEYED + f"friends: [{{files: {tmp_path}/f*.root, tree: F, on: [run, event]}}]"
    for chunk_jets in (1, 2, 10):
        weights = read(path, text, chunk_jets).jet_weights
        np.testing.assert_allclose(weights, np.arange(5) / 10, rtol=1e-6)


def test_a_long_friend_is_not_read_whole_for_a_few_entries(tmp_path):
    number = 5000
    events = np.random.default_rng(0).permutation(number)
    path = written(
        tmp_path / "a.root", [("T", {**branches(5), "event": events[[7, 4000, 3, 99, 2500]]})]
    )
    written(tmp_path / "f.root", [("F", {"event": events, "score": events / number})])
    text = KEYED + f"friends: [{{files: {tmp_path}/f.root, on: event}}]"
    weights = read(path, text, 3).jet_weights
    np.testing.assert_allclose(weights, events[[7, 4000, 3, 99, 2500]] / number, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"event": np.array([3, 2, 8, 2, 3])},
            r"entry 2 \(run 1, event 9\) the friend .* has no entry",
        ),
        ({"run": np.array([1, 1, 1, 2, 1])}, "has 2 entries, but must have one"),
        (
            {"run": RUN.astype("f8")},
            r"run in data\.columns\.friends \(on\) must hold one whole number",
        ),
        ({"run": None}, "a friend tree, has no branch run"),
    ],
)
def test_friends_that_do_not_fit_are_refused(tmp_path, change, message):
    path = main_tree(tmp_path / "a.root")
    rows = {n: v for n, v in {**friend_rows(np.arange(5)), **change}.items() if v is not None}
    written(tmp_path / "f.root", [("F", rows)])
    with pytest.raises(InputError, match=message):
        read(path, KEYED + f"friends: [{{files: {tmp_path}/f.root, on: [run, event]}}]")


def test_a_friend_of_other_length_or_no_file_is_refused(tmp_path):
    path = written(tmp_path / "a.root", [("T", branches(5)), ("F", {"score": np.arange(4)})])
    with pytest.raises(InputError, match=r"has 5 entries and its friend .* 4: name branches"):
        read(path, KEYED + "friends: [{tree: F}]")
    with pytest.raises(InputError, match=r"none\.root: there is no such file; correct data\.col"):
        read(path, KEYED + f"friends: [{{files: {tmp_path}/none.root}}]")
    with pytest.raises(InputError, match="name the files of the friend, or its tree"):
        columns(KEYED + "friends: [{on: [run]}]")
