"""The quark-gluon npz: what its four numbers mean, and what is said of archives that are none."""

import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from parttag.data.readers import count_jets, quarkgluon, read_branches, read_chunks
from parttag.errors import InputError
from parttag.jets.arrays import JetArrays
from parttag.jets.validity import valid_jets

KAON, PHOTON, MUON, NEUTRON = 321, 22, 13, -2112


def write(path, slots, is_quark, **more):
    np.savez_compressed(path, X=np.asarray(slots), y=np.asarray(is_quark), **more)
    return path


def random_slots(rng: np.random.Generator, num_jets: int, most: int = 9) -> np.ndarray:
    """Return X of jets of 1 to ``most`` particles each, of falling pT."""
    slots = np.stack(
        [
            -np.sort(-rng.uniform(1, 200, (num_jets, most)), axis=1),
            rng.uniform(-2, 2, (num_jets, most)),
            rng.uniform(0, 2 * np.pi, (num_jets, most)),
            rng.choice([22, 211, -211, 130, 2112, -11, 13], (num_jets, most)),
        ],
        axis=2,
    )
    slots[np.arange(most) >= rng.integers(1, most + 1, num_jets)[:, None]] = 0
    return slots


def read(path) -> JetArrays:
    (jets,) = read_chunks(path)
    return jets


def test_a_kaon_of_known_rapidity_has_its_four_momentum(tmp_path):
    slots = [[[3.0, 0.5, np.pi / 2, KAON], [1.0, -0.25, 0.0, PHOTON], [0, 0, 0, 0]]]
    jets = read(write(tmp_path / "a.npz", slots, [1]))
    transverse = np.sqrt(9 + 0.493677**2)
    kaon = [0, 3, transverse * np.sinh(0.5), transverse * np.cosh(0.5)]
    photon = [1, 0, np.sinh(-0.25), np.cosh(0.25)]
    np.testing.assert_allclose(jets.p4, [kaon, photon], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(jets.jet_p4[0], np.add(kaon, photon), rtol=1e-6)


def test_hadrons_are_told_apart_by_their_pdg_numbers(tmp_path):
    numbers = [22, 211, -211, 321, -321, 130, 310, 2112, -2112, 2212, -2212, 3122]
    slots = [[[20.0 - i, 0, 0, number] for i, number in enumerate(numbers)]]
    jets = read(write(tmp_path / "a.npz", slots, [0]))
    expected = {
        "is_long_kaon": {130},
        "is_pion": {211},
        "is_kaon": {321},
        "is_neutron": {2112},
        "is_proton": {2212},
    }
    assert jets.particle_column_names == tuple(expected)
    assert quarkgluon.read_schema(tmp_path / "a.npz", None).columns == tuple(expected)
    for name, meant in expected.items():
        assert jets[name].tolist() == [abs(number) in meant for number in numbers]


def test_charge_and_flags_follow_from_the_pdg_number(tmp_path):
    numbers = [22, 11, -11, 13, -13, 211, -211, 321, -2212, 130, 2112, -2112]
    slots = [[[20.0 - i, 0, 0, number] for i, number in enumerate(numbers)]]
    jets = read(write(tmp_path / "a.npz", slots, [0]))
    names = ("charge", "charged_hadron", "neutral_hadron", "photon", "electron", "muon")
    assert jets.extra_names == (names[0], *(f"is_{name}" for name in names[1:]))
    expected = {
        "charge": [0, -1, 1, -1, 1, 1, -1, 1, -1, 0, 0, 0],
        "charged_hadron": [0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0],
        "neutral_hadron": [0] * 9 + [1, 1, 1],
        "photon": [1] + [0] * 11,
        "electron": [0, 1, 1] + [0] * 9,
        "muon": [0, 0, 0, 1, 1] + [0] * 7,
    }
    for column, name in enumerate(names):
        assert jets.extra[:, column].tolist() == expected[name], name


def test_labels_are_quark_and_gluon(tmp_path):
    jets = read(write(tmp_path / "a.npz", np.ones((3, 1, 4)) * PHOTON, [1, 0, 1]))
    assert jets.label_names == ("label_quark", "label_gluon")
    assert jets.labels.tolist() == [[1, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_chunks_hold_all_jets_in_order(tmp_path, save, dtype):
    slots = random_slots(np.random.default_rng(0), 11).astype(dtype)
    save(tmp_path / "a.npz", X=slots, y=np.arange(11) % 2)
    chunks = list(read_chunks(tmp_path / "a.npz", chunk_jets=4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 3]
    assert all(valid_jets(chunk).all() for chunk in chunks)
    lengths = np.concatenate([chunk.lengths for chunk in chunks])
    np.testing.assert_array_equal(lengths, (slots[..., 0] > 0).sum(axis=1))
    pt = np.concatenate([np.hypot(*chunk.p4[:, :2].T) for chunk in chunks])
    np.testing.assert_allclose(pt, slots[slots[..., 0] > 0][:, 0], rtol=1e-6)
    assert count_jets(tmp_path / "a.npz") == 11


def test_a_chunk_of_many_slots_holds_fewer_jets(tmp_path):
    path = write(tmp_path / "a.npz", random_slots(np.random.default_rng(0), 6), np.ones(6))
    chunks = quarkgluon.read_chunks(path, 100, None, chunk_bytes=2 * 9 * 4 * 8)
    assert [len(chunk) for chunk in chunks] == [2, 2, 2]
    with pytest.raises(InputError, match="X has 9 slots a jet, more than can be meant"):
        list(quarkgluon.read_chunks(path, 100, None, chunk_bytes=100))


def test_a_particle_of_no_known_number_is_one_sentence(tmp_path):
    slots = np.full((3, 2, 4), 22.0)
    slots[2, 1, 3] = 1000022
    path = write(tmp_path / "a.npz", slots, [0, 0, 0])
    message = r"a\.npz: a particle of jet 2 has the PDG number 1\.00002e\+06, which is none"
    with pytest.raises(InputError, match=message):
        list(read_chunks(path, chunk_jets=2))


def test_the_array_y_can_be_kept(tmp_path):
    path = write(tmp_path / "a.npz", np.full((3, 2, 4), 22.0), [0, 1, 1])
    assert read_branches(path, ["y"])["y"].to_list() == [0, 1, 1]
    with pytest.raises(InputError, match="has no branch jet_pt; it has y"):
        read_branches(path, ["jet_pt"])


GOOD = np.full((4, 2, 4), 22.0)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": GOOD}, "has no array y; it has X"),
        ({"y": np.ones(4)}, "has no array X; it has y"),
        ({"X": GOOD[..., :3], "y": np.ones(4)}, r"X is of shape \(4, 2, 3\)"),
        ({"X": GOOD, "y": np.ones(3)}, r"y is of shape \(3,\), but must have one .* the 4 jets"),
        ({"X": GOOD, "y": np.full(4, 2)}, "y must be 0 or 1, but is 2 for jet 0"),
        ({"X": np.asfortranarray(GOOD), "y": np.ones(4)}, "stored column by column"),
        ({"X": GOOD.astype("S4"), "y": np.ones(4)}, "X must hold numbers"),
        ({"X": GOOD[:0], "y": np.ones(0)}, "holds no jets"),
    ],
)
def test_what_is_no_quark_gluon_file_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        list(read_chunks(tmp_path / "a.npz"))


class Bomb:
    """What would make a file, if it were ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_no_pickle_is_opened(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.array([Bomb(tmp_path / "made")], dtype=object), y=np.ones(1))
    with pytest.raises(InputError, match="X must hold numbers, not object"):
        list(read_chunks(tmp_path / "a.npz"))
    assert not (tmp_path / "made").exists()


def zip_with(path, shape, content: bytes):
    """Write an archive whose X has a header of this shape before the content."""
    np.savez(path, y=np.ones(shape[0] if shape[0] < 100 else 4))
    header = {"shape": shape, "fortran_order": False, "descr": "<f8"}
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("X.npy", "w") as stream,
    ):
        npy.write_array_header_1_0(stream, header)
        stream.write(content)
    return path


def test_a_header_that_claims_more_than_there_is_takes_no_memory(tmp_path):
    path = zip_with(tmp_path / "a.npz", (4, 10**13, 4), b"\0" * 100)
    with pytest.raises(InputError, match="X is not of the size that its header says"):
        list(read_chunks(path))


def test_a_wrong_checksum_is_noticed_at_the_end_at_the_latest(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X=random_slots(np.random.default_rng(0), 50), y=np.ones(50))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz is damaged or cut short .*CRC"):
        list(read_chunks(path, chunk_jets=10))


def test_a_bomb_is_unpacked_a_chunk_at_a_time(tmp_path):
    """32 MB of zeros in 30 kB: one jet of 640 kB at a time, each without particles."""
    path = zip_with(tmp_path / "a.npz", (50, 20_000, 4), bytes(50 * 20_000 * 32))
    assert path.stat().st_size < 100_000
    chunks = list(quarkgluon.read_chunks(path, 100, None, chunk_bytes=1_000_000))
    assert [len(chunk) for chunk in chunks] == [1] * 50
    assert not any(chunk.lengths.any() for chunk in chunks)
