"""Entries that hold several jets, written by hand: every way to say whose the particles are."""

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from parttag.data.readers import count_jets, read_branches, read_chunks
from parttag.data.readers.column_layout import ColumnLayout
from parttag.data.readers.columns import ColumnsOptions
from parttag.errors import InputError
from parttag.jets.arrays import MAX_JETS_OF_EVENT, concatenate, split_index, split_rows
from parttag.jets.validity import jet_name

# Three events: two jets of three and one particles, none, one of two; and particles of no jet.
PX = [[10.0, 1.0, 30.0, 20.0, 5.0], [7.0], [40.0, 50.0]]
JETS = [[[2, 0, 3], [4]], [], [[1, 0]]]
EXPECTED = [[30.0, 20.0, 10.0], [5.0], [50.0, 40.0]]
WHERE = [(0, 0), (0, 1), (2, 0)]


def layout(of_jet: str, more: str = "", particles: str = "") -> ColumnLayout:
    text = f"""
    jets: Jet
    jet: {{pt: Jet_pt, eta: Jet_eta, phi: Jet_phi, mass: 0}}
    particles: {{px: p_px, py: p_py, pz: p_pz, mass: 0, {particles} of_jet: {of_jet}}}
    {more}
    """
    return ColumnLayout(ColumnsOptions.model_validate(yaml.safe_load(text)))


def branches() -> dict[str, ak.Array]:
    px = ak.Array(PX)
    pairs = [[(j, p) for j, own in enumerate(event) for p in own] for event in JETS]
    ranges = [np.cumsum([0, *map(len, event)]) for event in JETS]
    number = ak.Array([len(event) for event in JETS])
    return {
        "p_px": px,
        "p_py": px * 0,
        "p_pz": px * 0,
        "Jet_pt": ak.Array([[60.0, 5.0], [], [90.0]]),
        "Jet_eta": ak.Array([[0.0, 0.0], [], [0.0]]),
        "Jet_phi": ak.Array([[0.0, 0.0], [], [0.0]]),
        "Jet_btag": ak.Array([[1, 0], [], [1]]),
        "weight": np.array([0.5, 1.0, 2.0]),
        "event": np.array([101, 102, 103]),
        "jet_index": ak.Array([[j for j, _ in event] for event in pairs]),
        "particle_index": ak.Array([[p for _, p in event] for event in pairs]),
        "begin": ak.Array([r[:-1].tolist() for r in ranges]),
        "end": ak.Array([r[1:].tolist() for r in ranges]),
        "length": ak.Array([np.diff(r).tolist() for r in ranges]),
        "lists": ak.Array(JETS),
        "number": number,
    }


def write(path, kind: str, content):
    if kind == "parquet":
        ak.to_parquet(ak.zip(dict(content), depth_limit=1), path)
        return path
    content = dict(content)
    if kind == "tree":
        content.pop("lists", None)
    with uproot.recreate(path) as file:
        make = file.mktree if kind == "tree" else file.mkrntuple
        # Unsigned: by default uproot makes counters of its own for lists.
        types = {
            n: c.dtype if isinstance(c, np.ndarray) else c.type.content for n, c in content.items()
        }
        make("tree", types).extend(content)
    return path


PAIRS = "{jet: jet_index, particle: particle_index}"
THROUGH = "{begin: begin, end: end, through: particle_index}"
COUNTED = "{begin: begin, count: length, through: particle_index}"
LISTS = "{particles: lists}"
FORMS = [
    *(
        (kind, form)
        for kind in ("tree", "rntuple", "parquet")
        for form in (PAIRS, THROUGH, COUNTED)
    ),
    ("rntuple", LISTS),
    ("parquet", LISTS),
]


@pytest.mark.parametrize("kind, form", FORMS)
@pytest.mark.parametrize("chunk_jets", [1, 2, 100])
def test_jets_have_the_particles_that_the_event_says(tmp_path, kind, form, chunk_jets):
    path = write(tmp_path / "events", kind, branches())
    more = "labels: {branches: {b: Jet_btag}}\n    jet_weight: weight"
    chunks = list(read_chunks(path, layout=layout(form, more), chunk_jets=chunk_jets))
    assert [len(chunk) for chunk in chunks] == {1: [1, 1, 1], 2: [2, 1], 100: [3]}[chunk_jets]
    jets = concatenate(chunks)
    assert count_jets(path, layout(form)) == 3
    assert [
        jets.p4[a:b, 0].tolist() for a, b in zip(jets.offsets[:-1], jets.offsets[1:], strict=True)
    ] == EXPECTED
    np.testing.assert_array_equal(jets.p4[:, 3], jets.p4[:, 0])
    np.testing.assert_allclose(jets.jet_p4[:, 0], [60, 5, 90], rtol=1e-7)
    assert jets["b"].tolist() == [1, 0, 1]
    assert jets.jet_weights.tolist() == [0.5, 0.5, 2.0]
    _, rows = split_index(jets.index)
    assert list(zip(*(part.tolist() for part in split_rows(rows)), strict=True)) == WHERE
    assert jet_name(jets, 1).endswith("events, jet 1 of event 0")


def test_kept_branches_are_of_jets_or_of_their_events(tmp_path):
    path = write(tmp_path / "events", "tree", branches())
    kept = read_branches(path, ["event", "Jet_btag", "p_px"], layout(PAIRS))
    assert kept["event"].tolist() == [101, 101, 103]
    assert kept["Jet_btag"].tolist() == [1, 0, 1]
    assert kept["p_px"].tolist() == [PX[0], PX[0], PX[2]]


def test_ranges_of_the_particles_themselves(tmp_path):
    content = branches() | {
        "first": ak.Array([[2, 0], [], [0]]),
        "last": ak.Array([[5, 1], [], [2]]),
    }
    path = write(tmp_path / "events", "tree", content)
    (jets,) = read_chunks(path, layout=layout("{begin: first, end: last}"))
    assert jets.p4[:, 0].tolist() == [30.0, 20.0, 5.0, 10.0, 50.0, 40.0]
    assert jets.lengths.tolist() == [3, 1, 2]


def test_weights_multiply_and_zero_leaves_out(tmp_path):
    content = branches() | {"puppi": ak.Array([[1.0, 1.0, 0.5, 0.0, 1.0], [0.0], [1.0, 0.25]])}
    path = write(tmp_path / "events", "tree", content)
    (jets,) = read_chunks(path, layout=layout(PAIRS, particles="weight: puppi,"))
    assert jets.p4[:, 0].tolist() == [15.0, 10.0, 5.0, 40.0, 12.5]
    assert jets.lengths.tolist() == [2, 1, 2]


def test_a_jet_without_particles_keeps_its_place(tmp_path):
    content = branches()
    content |= {"jet_index": ak.Array([[0, 0, 0], [], [0, 0]])}
    content |= {"particle_index": ak.Array([[2, 0, 3], [], [1, 0]])}
    path = write(tmp_path / "events", "tree", content)
    (jets,) = read_chunks(path, layout=layout(PAIRS))
    assert jets.lengths.tolist() == [3, 0, 2]


@pytest.mark.parametrize(
    "form, wrong, sentence",
    [
        (
            PAIRS,
            {"jet_index": [[0, 0, 0, 2], [], [0, 0]]},
            r"jet_index is 2 in event 0, which has 2",
        ),
        (PAIRS, {"particle_index": [[2, 0, 3, 5], [], [1, 0]]}, r"particle_index is 5 in event 0"),
        (
            PAIRS,
            {"particle_index": [[2, 0, 3, -1], [], [1, 0]]},
            r"particle_index is -1 in event 0",
        ),
        (
            PAIRS,
            {"particle_index": [[2, 0, 2, 4], [], [1, 0]]},
            "jet 0 of event 0 has the particle 2",
        ),
        (PAIRS, {"particle_index": [[2, 0, 3], [], [1, 0]]}, r"differ in length \(4 and 3 pairs"),
        (THROUGH, {"end": [[3, 2], [], [2]]}, "jet 1 of event 0 is 3 to 2, which runs backwards"),
        (THROUGH, {"end": [[3, 9], [], [2]]}, "is 3 to 9, which is not within particle_index, 4"),
        (THROUGH, {"begin": [[0, 2], [], [0]]}, "jet 0 of event 0 and jet 1 of event 0 overlap"),
        (THROUGH, {"begin": [[0], [], [0]]}, "begin has 1 values in event 0, where Jet_pt has 2"),
        (PAIRS, {"Jet_eta": [[0.0], [], [0.0]]}, "Jet_eta has 1 values in event 0, where Jet_pt"),
        (PAIRS, {"Jet_pt": [1.0, 2.0, 3.0]}, "Jet_pt must hold one value for each jet of an event"),
    ],
)
def test_what_points_nowhere_is_refused(tmp_path, form, wrong, sentence):
    path = write(
        tmp_path / "events", "tree", branches() | {n: ak.Array(w) for n, w in wrong.items()}
    )
    with pytest.raises(InputError, match=sentence):
        list(read_chunks(path, layout=layout(form)))


def test_an_event_of_more_jets_than_an_index_can_name(tmp_path):
    number = MAX_JETS_OF_EVENT + 1
    jets = {name: ak.Array([np.zeros(number)]) for name in ("Jet_pt", "Jet_eta", "Jet_phi")}
    content = {n: ak.Array([[0.0]]) for n in ("p_px", "p_py", "p_pz")} | jets
    content |= {"jet_index": ak.Array([[0]]), "particle_index": ak.Array([[0]])}
    path = write(tmp_path / "events", "tree", content)
    with pytest.raises(InputError, match="event 0 has 1,024 jets, more than 1,023"):
        list(read_chunks(path, layout=layout(PAIRS)))


@pytest.mark.parametrize(
    "of_jet, sentence",
    [
        ("{jet: a}", "jet and particle belong together"),
        ("{begin: a}", "give one of end and count with begin"),
        ("{jet: a, particle: b, within: 1}", "there are jet and within"),
        ("{cluster: {radius: 1, min_pt: 5}}", "leave out jet"),
    ],
)
def test_forms_that_are_none(of_jet, sentence):
    with pytest.raises(ValueError, match=sentence):
        layout(of_jet)


@pytest.mark.parametrize("radius", [0.4, 0.8])
def test_nearness_takes_what_is_around_the_axis(tmp_path, radius, caplog):
    angles = np.array([0.0, 0.3, 0.6, 1.1, 3.0])
    content = {
        "p_px": ak.Array([np.cos(angles), [1.0]]),
        "p_py": ak.Array([np.sin(angles), [0.0]]),
        "p_pz": ak.Array([angles * 0, [0.0]]),
        "Jet_pt": ak.Array([[1.0, 1.0], []]),
        "Jet_eta": ak.Array([[0.0, 0.0], []]),
        "Jet_phi": ak.Array([[0.2, -3.2], []]),
    }
    path = write(tmp_path / "events", "tree", content)
    with caplog.at_level("INFO"):
        (jets,) = read_chunks(path, layout=layout(f"{{within: {radius}}}"))
    near = (
        np.abs(angles - 0.2) < radius
    )  # and 3.0 is 0.083 away from the other axis, round the back
    assert jets.lengths.tolist() == [near.sum(), 1]
    assert "which is an approximation" in caplog.text


def test_clusters_of_two_jets_and_soft_particles(tmp_path):
    pytest.importorskip("fastjet")
    rng = np.random.default_rng(5)
    events, expected = [], []
    for pt in (600.0, 800.0, 300.0):
        hard = np.array([[pt, 0.1, 0.2], [pt / 2, 0.3, 0.4], [pt, -0.5, 0.2 + np.pi - 0.1]])
        soft = np.stack(
            [rng.uniform(0.1, 0.2, 40), rng.uniform(3, 5, 40), rng.uniform(-3, 3, 40)], 1
        )
        events.append(np.concatenate([soft[:20], hard, soft[20:]]))
        expected += [] if pt < 500 else [[pt, pt / 2], [pt]]
    text = """
    particles: {pt: pt, eta: eta, phi: phi, mass: 0,
                of_jet: {cluster: {algorithm: antikt, radius: 0.8, min_pt: 500, max_abs_eta: 2}}}
    """
    meaning = ColumnLayout(ColumnsOptions.model_validate(yaml.safe_load(text)))
    names = ("pt", "eta", "phi")
    content = {n: ak.Array([event[:, i] for event in events]) for i, n in enumerate(names)}
    path = write(tmp_path / "events", "tree", content | {"event": np.array([7, 8, 9])})
    (jets,) = read_chunks(path, layout=meaning)
    found = [
        np.hypot(*jets.p4[a:b, :2].T)
        for a, b in zip(jets.offsets[:-1], jets.offsets[1:], strict=True)
    ]
    assert [len(own) for own in found] == [len(own) for own in expected]
    for own, pt in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, pt, rtol=1e-6)
    sums = np.add.reduceat(jets.p4.astype(np.float64), jets.offsets[:-1])
    np.testing.assert_allclose(jets.jet_p4, sums, rtol=1e-6, atol=1e-3)
    assert count_jets(path, meaning) == 4
    assert read_branches(path, ["event"], meaning)["event"].tolist() == [7, 7, 8, 8]
