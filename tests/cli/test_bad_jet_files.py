"""Files that are not as ``columns`` says: one sentence, exit code 2, and nothing is written."""

import sys

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from parttag import cli

# Two events: two jets of two and one particles, and one of two.
JETS = {
    "Jet_pt": [[9.0, 5.0], [9.0]],
    "Jet_eta": [[0.0, 1.0], [0.0]],
    "Jet_phi": [[0.0] * 2, [0.0]],
}
PARTICLES = {
    "p_pt": [[5.0, 4.0, 5.0], [5.0, 4.0]],
    "p_eta": [[0.0, 0.0, 1.0], [0.0, 0.0]],
    "p_phi": [[0.0] * 3, [0.0] * 2],
}
RELATIONS = {
    "of_jet": [[0, 0, 1], [0, 0]],
    "which": [[0, 1, 2], [0, 1]],
    "begin": [[0, 2], [0]],
    "end": [[2, 3], [2]],
}
REFERENCES = {
    "refs": [[{"refs": [7, 8]}, {"refs": [9]}], [{"refs": [7, 8]}]],
    "Track.pt": [[5.0, 4.0, 5.0], [5.0, 4.0]],
    "Track.eta": [[0.0, 0.0, 1.0], [0.0, 0.0]],
    "Track.phi": [[0.0] * 3, [0.0] * 2],
    "Track.fUniqueID": [[7, 8, 9], [7, 8]],
}
EVENTS = """
tree: Events
jets: Jet
jet: {pt: Jet_pt, eta: Jet_eta, phi: Jet_phi, mass: 0}
particles: {pt: p_pt, eta: p_eta, phi: p_phi, mass: 0, of_jet: OF_JET}
"""
PAIRS = EVENTS.replace("OF_JET", "{jet: of_jet, particle: which}")
RANGES = EVENTS.replace("OF_JET", "{begin: begin, end: end}")
REFERRED = EVENTS.replace("OF_JET", "{references: refs}").replace("p_", "Track.")
SLOTS = "particles: {pt: 'p[:, :, 0]', eta: 'p[:, :, 1]', phi: 'p[:, :, AXIS]', mass: 0}\n"


def events(path, **wrong):
    content = {**JETS, **PARTICLES, **RELATIONS, **wrong}
    branches = {name: ak.Array(values) for name, values in content.items()}
    with uproot.recreate(path) as file:
        tree = {name: ak.type(branch).content for name, branch in branches.items()}
        file.mktree("Events", tree).extend(branches)
    return path


def referring(path, **wrong):
    content = {**JETS, **REFERENCES, **wrong}
    with uproot.recreate(path) as file:
        branches = {name: ak.Array(values) for name, values in content.items()}
        tree = {name: ak.type(branch).content for name, branch in branches.items()}
        file.mkrntuple("Events", tree).extend(branches)
    return path


def slots(path, **wrong):
    content = {"p": np.ones((4, 3, 4)), "truth": np.ones(4), **wrong}
    with h5py.File(path, "w") as file:
        for name, values in content.items():
            file[name] = values
    return path


def run(monkeypatch, *words):
    """Run the command as the shell does; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["parttag", *map(str, words)])
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


@pytest.mark.parametrize(
    "write, text, lengths",
    [
        (events, PAIRS, "3 jets"),
        (events, RANGES, "3 jets"),
        (referring, REFERRED, "3 jets"),
        (slots, SLOTS.replace("AXIS", "2"), "4 jets"),
    ],
)
def test_what_is_right_is_prepared(tmp_path, monkeypatch, capsys, write, text, lengths):
    (tmp_path / "columns.yaml").write_text("columns:\n" + indented(text))
    file, store = write(tmp_path / "file"), tmp_path / "store"
    words = ("prepare", file, "--out", store, "--columns", tmp_path / "columns.yaml")
    assert run(monkeypatch, *words, "--processes", 1) == 0
    assert lengths in capsys.readouterr().out
    assert store.is_dir()


def indented(text):
    return "".join(f"  {line}\n" for line in text.strip().splitlines())


@pytest.mark.parametrize(
    "write, wrong, text, sentence",
    [
        pytest.param(
            events,
            {"which": [[0, 1, 3], [0, 1]]},
            PAIRS,
            "which is 3 in event 0, which has 3 particles",
            id="a particle out of range",
        ),
        pytest.param(
            events,
            {"of_jet": [[0, 0, 1], [0, 1]]},
            PAIRS,
            "of_jet is 1 in event 1, which has 1 jets",
            id="a jet out of range",
        ),
        pytest.param(
            referring,
            {"refs": [[{"refs": [7, 8]}, {"refs": [9]}], [{"refs": [7, 9]}]]},
            REFERRED,
            "refs of jet 0 of event 1 refers to a particle that is not among those",
            id="a reference to nothing",
        ),
        pytest.param(
            events,
            {"begin": [[0, 1], [0]]},
            RANGES,
            "the ranges of jet 0 of event 0 and jet 1 of event 0 overlap",
            id="ranges that overlap",
        ),
        pytest.param(
            events,
            {"begin": [[2, 2], [0]], "end": [[0, 3], [2]]},
            RANGES,
            "the range of jet 0 of event 0 is 2 to 0, which runs backwards",
            id="a range that runs backwards",
        ),
        pytest.param(
            slots,
            {},
            SLOTS.replace("AXIS", "4"),
            "p[:, :, 4] reaches beyond axis 2 of p, which is of size 4",
            id="a slice beyond the axis",
        ),
        pytest.param(
            slots,
            {"truth": np.ones(3)},
            SLOTS.replace("AXIS", "2") + "labels: {branch: truth, values: {a: 1, b: 0}}",
            "p[:, :, 0] has 4 rows and truth 3, but both must have one a jet",
            id="datasets that disagree in length",
        ),
        pytest.param(
            slots,
            {},
            "layout: pelican",
            "has no branch Pmu[:, :, 1]; the nearest is p",
            id="a layout that does not fit",
        ),
        pytest.param(
            slots, {}, "layout: pelicn", "there is no layout pelicn; known", id="no layout"
        ),
    ],
)
@pytest.mark.parametrize("command", ["prepare", "inspect"])
def test_what_is_wrong_is_one_sentence(
    tmp_path, monkeypatch, capsys, command, write, wrong, text, sentence
):
    (tmp_path / "columns.yaml").write_text("columns:\n" + indented(text))
    file, out = write(tmp_path / "file", **wrong), tmp_path / "out"
    places = {"prepare": ["--out", out, "--processes", 1], "inspect": []}
    words = (command, file, "--columns", tmp_path / "columns.yaml", *places[command])
    before = sorted(tmp_path.iterdir())
    assert run(monkeypatch, *words) == 2
    printed = capsys.readouterr()
    (line,) = [line for line in printed.err.splitlines() if line.startswith("error:")]
    assert sentence in line
    assert str(file) in line or "no layout" in line
    assert "Traceback" not in printed.err
    assert sorted(tmp_path.iterdir()) == before
