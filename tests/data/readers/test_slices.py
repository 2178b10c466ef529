"""Parts of arrays by their last axes, in every format, and what lies beyond them."""

import zipfile

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from helpers.limits import memory_for
from helpers.mapped import layout, read
from parttag.data.readers import count_jets, read_branches, read_chunks
from parttag.data.readers.slices import find
from parttag.errors import InputError

RNG = np.random.default_rng(0)
JETS, SLOTS = 9, 4
P = RNG.normal(0, 40, (JETS, SLOTS, 3))
FOUR = np.concatenate([P, np.sqrt((P**2).sum(axis=2, keepdims=True)) + 1], axis=2)
FOUR[:, 3] = 0  # the last slot is padding
COLUMNS = "particles: {px: 'p[:, :, 0]', py: 'p[:, :, 1]', pz: 'p[:, :, 2]', energy: 'p[:, :, 3]'}"
SUMS = FOUR.sum(axis=1)


def hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def npz(path, arrays):
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def root(path, arrays):
    with uproot.recreate(path) as file:
        file["tree"] = arrays
    return path


def parquet(path, arrays):
    ak.to_parquet(
        ak.Array({k: ak.from_numpy(v, regulararray=True) for k, v in arrays.items()}), path
    )
    return path


def nested(path, arrays):
    lists = {k: ak.from_regular(ak.Array(v), axis=None) for k, v in arrays.items()}
    ak.to_parquet(ak.Array(lists), path)
    return path


WRITERS = {"hdf5": hdf5, "npz": npz, "root": root, "parquet": parquet, "lists": nested}


@pytest.mark.parametrize("chunk_jets", [4, 100])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_quantity_may_be_a_part_of_an_array(tmp_path, kind, chunk_jets):
    path = WRITERS[kind](tmp_path / "a", {"p": FOUR})
    jets = read(path, COLUMNS, chunk_jets)
    assert jets.lengths.tolist() == [3] * JETS
    np.testing.assert_allclose(jets.jet_p4, SUMS, rtol=1e-6, atol=1e-5)
    assert count_jets(path, layout(COLUMNS)) == JETS
    kept = read_branches(path, ["p[:, 0, 3]"], layout(COLUMNS))["p[:, 0, 3]"]
    np.testing.assert_allclose(ak.to_numpy(kept), FOUR[:, 0, 3])


@pytest.mark.parametrize("kind", ["hdf5", "npz"])
def test_rows_may_be_interleaved(tmp_path, kind):
    rows = np.concatenate([FOUR.reshape(JETS, -1), np.arange(JETS)[:, None] % 2], axis=1)
    path = WRITERS[kind](tmp_path / "a", {"values": rows})
    steps = ", ".join(
        f"{n}: 'values[:,{i}:16:4]'" for i, n in enumerate(("px", "py", "pz", "energy"))
    )
    text = f"particles: {{{steps}}}\nlabels: {{branch: 'values[:, -1]', values: {{a: 0, b: 1}}}}"
    jets = read(path, text, 5)
    np.testing.assert_allclose(jets.jet_p4, SUMS, rtol=1e-6, atol=1e-5)
    assert jets.labels.argmax(axis=1).tolist() == [i % 2 for i in range(JETS)]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("part", ["p[:, :, 4]", "p[:, :, 1:9]", "p[:, :, 0, 0]"])
def test_a_part_beyond_its_axis_is_refused_with_the_shape(tmp_path, kind, part):
    path = WRITERS[kind](tmp_path / "a", {"p": FOUR})
    text = COLUMNS.replace("p[:, :, 2]", part)
    if kind in ("root", "parquet", "lists") and ":9" in part:
        match = "axes|list of numbers|beyond"  # a list of lists, whatever its end is
    else:
        match = r"reaches beyond|takes 4 axes of p|takes 3 axes"
    with pytest.raises(InputError, match=match):
        read(path, text)


@pytest.mark.parametrize(
    "part", ["p[0]", "p[0, :, 1]", "p[:, :, x]", "p[:, ::0]", "p[:]", "p[:, 1e3]"]
)
def test_what_is_no_slice_of_the_last_axes_is_refused(tmp_path, part):
    path = hdf5(tmp_path / "a.h5", {"p": FOUR})
    with pytest.raises(InputError, match="after the whole first axis, write numbers or ranges"):
        read(path, COLUMNS.replace("p[:, :, 2]", part))


@pytest.mark.parametrize("kind", ["hdf5", "npz", "root"])
def test_an_array_of_three_axes_gives_its_shape_or_a_way_out(tmp_path, kind):
    path = WRITERS[kind](tmp_path / "a", {"p": FOUR})
    shape = r"of shape \(9, 4, 4\).*" if kind != "root" else ""
    with pytest.raises(InputError, match=shape + r"as in p\[:, :, 0\]"):
        read(path, "particles: {pt: p, eta: p, phi: p, mass: 0}")


def test_a_branch_that_has_brackets_in_its_name_is_that_branch():
    there = ["Jet/Jet.Tau[5]", "p", "Jet"]
    assert find("Jet.Tau[5]", there).branch == "Jet/Jet.Tau[5]"
    assert find("Jet.Tau[5][:, :, 1]", there).index == (slice(None), 1)
    assert find("p[:, 2]", there).index == (2,)
    assert find("q[:, 2]", there) is None


@pytest.mark.parametrize("cut", ["count", "offsets", "offsets without an end"])
@pytest.mark.parametrize("kind", ["hdf5", "npz"])
def test_rows_of_all_particles_are_cut_into_jets(tmp_path, kind, cut):
    lengths = np.array([3, 0, 5, 1])
    flat = FOUR[:, :3].reshape(-1, 4)[: lengths.sum()]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    how = {"count": lengths, "offsets": starts, "offsets without an end": starts[:-1]}[cut]
    path = WRITERS[kind](tmp_path / "a", {"p": flat, "n": how.astype("u4"), "w": np.ones(4)})
    text = COLUMNS.replace("[:, :, ", "[:, ").replace("}", f", {cut.split()[0]}: n}}")
    for chunk_jets in (3, 10):
        jets = read(path, text + "\njet_weight: w", chunk_jets)
        assert jets.lengths.tolist() == lengths.tolist()
        sums = [part.sum(axis=0) for part in np.split(flat, starts[1:-1])]
        np.testing.assert_allclose(jets.jet_p4, sums, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ([0, 5, 3], "must begin at 0 and never fall"),
        ([1, 3, 5], "must begin at 0 and never fall"),
        ([0, 3, 99], "goes up to row 99, but there are 6 particles"),
        ([0.0, 3.0, 6.0], "one whole number"),
    ],
)
def test_starts_that_run_backwards_or_too_far_are_refused(tmp_path, starts, message):
    path = hdf5(tmp_path / "a.h5", {"p": FOUR[0, :3].repeat(2, axis=0), "n": np.array(starts)})
    text = COLUMNS.replace("[:, :, ", "[:, ").replace("}", ", offsets: n}")
    with pytest.raises(InputError, match=message):
        read(path, text)


def test_offsets_of_arrays_of_slots_are_refused(tmp_path):
    path = hdf5(tmp_path / "a.h5", {"p": FOUR, "n": np.arange(JETS)})
    with pytest.raises(InputError, match="offsets is for arrays of one axis"):
        read(path, COLUMNS.replace("}", ", offsets: n}"))


@pytest.mark.parametrize("kind", ["hdf5", "npz"])
def test_arrays_that_disagree_in_length_are_refused_by_name(tmp_path, kind):
    arrays = {n: FOUR[:, :, i] for i, n in enumerate(("x", "y", "z", "e"))}
    text = "particles: {px: x, py: y, pz: z, energy: e}\njet_weight: w\n"
    text += "labels: {branch: t, values: {a: 0}}"
    whole = {**arrays, "w": np.ones(JETS), "t": np.zeros(JETS, int)}
    assert len(read(WRITERS[kind](tmp_path / "whole", whole), text)) == JETS
    for name in whole:
        for other in (whole[name][:-2], np.concatenate([whole[name], whole[name][:1]])):
            path = WRITERS[kind](tmp_path / "other", {**whole, name: other})
            with pytest.raises(
                InputError, match=rf"x has \d+ rows and {name if name != 'x' else 'y'} "
            ):
                read(path, text)
            with pytest.raises(InputError, match="must have one a jet"):
                count_jets(path, layout(text))


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f2", ">f2", "i1", "u2", ">i4", "i8", ">u8"])
@pytest.mark.parametrize("kind", ["hdf5", "npz"])
def test_numbers_of_every_order_and_type_are_read(tmp_path, kind, dtype):
    numbers = np.abs(FOUR).round().clip(0, 100)
    numbers[:, :, 3] = 120
    labels = (np.arange(JETS) % 2).astype(dtype if np.dtype(dtype).kind != "f" else ">i2")
    arrays = {"p": numbers.astype(dtype), "t": labels, "n": np.full(JETS, 4, ">i2")}
    text = COLUMNS.replace("}", ", count: n}") + "\nlabels: {branch: t, values: {a: 0, b: 1}}"
    path = WRITERS[kind](tmp_path / "a", {**arrays, "w": np.linspace(0, 1, JETS).astype(">f8")})
    jets = read(path, text + "\njet_weight: w")
    np.testing.assert_allclose(jets.jet_p4, numbers.sum(axis=1), rtol=1e-6)
    assert jets.labels.argmax(axis=1).tolist() == [i % 2 for i in range(JETS)]
    np.testing.assert_allclose(jets.jet_weights, np.linspace(0, 1, JETS), rtol=1e-6)


def test_lists_of_big_endian_numbers_are_read(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i, name in enumerate(("x", "y", "z", "e")):
            data = file.create_dataset(name, (JETS,), h5py.vlen_dtype(np.dtype(">f4")))
            for jet in range(JETS):
                data[jet] = FOUR[jet, : 1 + jet % 3, i]
    jets = read(tmp_path / "a.h5", "particles: {px: x, py: y, pz: z, energy: e}")
    assert jets.lengths.tolist() == [1 + jet % 3 for jet in range(JETS)]


def test_rows_that_do_not_fit_into_memory_are_refused(tmp_path):
    text = "particles: {pt: 'p[:, :, 0]', eta: 'p[:, :, 1]', phi: 'p[:, :, 2]', mass: 0}"
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 100000, 400), }"
    size = 8 * 100_000 * 400
    header = header.ljust(117) + "\n"
    magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    with (
        zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("p.npy", "w", force_zip64=True) as member,
    ):
        member.write(magic + header.encode())
        for start in range(0, size, 1 << 24):
            member.write(bytes(min(1 << 24, size - start)))
    with memory_for(1 << 29), pytest.raises(InputError, match=r"a row of p takes 0\.3 GB"):
        list(read_chunks(tmp_path / "b.npz", layout=layout(text)))
