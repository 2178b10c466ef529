"""Jets in NumPy and torch: taking, joining, padding, truncating."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import vector

from parttag.errors import InputError
from parttag.jets import packing
from parttag.jets.arrays import concatenate, make_index, split_index
from parttag.jets.batch import make_batch
from parttag.jets.summary import in_words
from parttag.testing import toy_batch, toy_jets


def particles_of(jets, number):
    return jets.p4[jets.offsets[number] : jets.offsets[number + 1]]


def test_an_index_names_file_and_row():
    rows = np.array([0, 5, 2**39], dtype=np.int64)
    files, back = split_index(make_index(7, rows))
    assert (files == 7).all()
    assert (back == rows).all()


def test_taking_jets_takes_their_particles_in_the_order_asked_for():
    jets = toy_jets(10)
    rows = np.array([7, 2, 2, 9])
    taken = jets.take(rows)
    assert len(taken) == 4
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(particles_of(taken, place), particles_of(jets, row))
        assert taken.index[place] == jets.index[row]
        np.testing.assert_array_equal(taken.labels[place], jets.labels[row])
    assert len(jets.take(np.array([], dtype=np.int64))) == 0


def test_a_span_of_jets_is_a_view():
    jets = toy_jets(10)
    span = jets.span(3, 6)
    assert len(span) == 3
    np.testing.assert_array_equal(particles_of(span, 0), particles_of(jets, 3))
    assert np.shares_memory(span.p4, jets.p4)


def test_spans_join_to_the_whole():
    jets = toy_jets(10)
    whole = concatenate([jets.span(0, 4), jets.span(4, 4), jets.span(4, 10)])
    np.testing.assert_array_equal(whole.p4, jets.p4)
    np.testing.assert_array_equal(whole.offsets, jets.offsets)
    np.testing.assert_array_equal(whole.index, jets.index)


def test_jets_of_different_columns_do_not_join():
    with pytest.raises(ValueError, match="extra_names"):
        concatenate([toy_jets(2), toy_jets(2, extra_names=("charge",))])
    with pytest.raises(ValueError, match="no jets"):
        concatenate([])


def test_the_padded_view_holds_each_particle_once():
    batch = toy_batch(lengths=[3, 0, 5])
    padded = batch.pad()
    assert padded.mask.tolist() == [[True] * 3 + [False] * 2, [False] * 5, [True] * 5]
    assert torch.equal(padded.p4[padded.mask], batch.p4)
    assert torch.equal(padded.extra[padded.mask], batch.extra)
    assert not padded.p4[~padded.mask].any()


def test_the_padded_view_can_be_longer_or_shorter_than_the_longest_jet():
    batch = toy_batch(lengths=[3, 5])
    assert batch.pad(7).p4.shape == (2, 7, 4)
    short = batch.pad(2)
    assert short.mask.all()
    assert torch.equal(short.p4[1], batch.p4[3:5])
    assert toy_batch(lengths=[0, 0]).pad(4).mask.shape == (2, 4)


def test_truncation_keeps_the_particles_of_highest_pt_and_the_jet():
    jets = toy_jets(lengths=[3, 10, 6])
    batch = make_batch(jets, max_particles=5)
    assert batch.lengths.tolist() == [3, 5, 5]
    assert batch.offsets.tolist() == [0, 3, 8, 13]
    np.testing.assert_array_equal(batch.p4[3:8], particles_of(jets, 1)[:5])
    np.testing.assert_array_equal(batch.jet_p4, jets.jet_p4)


def test_keeping_particles_keeps_their_jets_and_order():
    batch = toy_batch(lengths=[3, 2, 4])
    keep = np.array([1, 0, 1, 0, 0, 1, 1, 0, 0], dtype=bool)
    kept = batch.keep_particles(keep)
    assert kept.lengths.tolist() == [2, 0, 2]
    assert kept.offsets.tolist() == [0, 2, 2, 4]
    assert torch.equal(kept.p4, batch.p4[torch.from_numpy(keep)])


@pytest.mark.parametrize("jets", [[4, 0, 3, 1, 2], [2, 2], [1], []], ids=str)
def test_taking_jets_of_a_batch_takes_their_particles_in_the_order_asked_for(jets):
    batch = toy_batch(lengths=[3, 0, 5, 1, 4])
    taken = batch.take(np.array(jets, dtype=np.int64))
    assert taken.lengths.tolist() == [batch.lengths[jet] for jet in jets]
    assert taken.offsets.tolist() == [0, *np.cumsum(taken.lengths)]
    for place, jet in enumerate(jets):
        assert particles_of(taken, place).equal(particles_of(batch, jet))
        for name in ("labels", "jet_p4", "jet_axis", "jet_weights", "index"):
            assert getattr(taken, name)[place].equal(getattr(batch, name)[jet])


def test_the_leading_particles_are_those_of_highest_pt():
    batch = toy_batch(lengths=[3, 0, 10, 6])
    leading = batch.leading(5)
    assert leading.lengths.tolist() == [3, 0, 5, 5]
    assert torch.equal(leading.p4, torch.cat([batch.p4[:8], batch.p4[13:18]]))
    assert torch.equal(leading.extra, torch.cat([batch.extra[:8], batch.extra[13:18]]))
    assert torch.equal(leading.jet_p4, batch.jet_p4)
    assert batch.leading(10) is batch


def test_rows_know_their_jet_and_surplus_rows_have_none():
    batch = toy_batch(lengths=[2, 0, 1])
    longer = replace(
        batch,
        p4=torch.cat([batch.p4, torch.ones(2, 4)]),
        extra=torch.cat([batch.extra, batch.extra[:2]]),
    )
    assert longer.jet_of_particle.tolist() == [0, 0, 2, 3, 3]
    assert longer.num_particles == 3
    assert longer.max_length == 2


def test_a_change_of_dtype_leaves_integers_alone():
    batch = toy_batch(4).to("cpu", torch.float64)
    assert batch.p4.dtype == batch.jet_weights.dtype == torch.float64
    assert batch.labels.dtype == batch.index.dtype == batch.offsets.dtype == torch.int64


def test_unknown_classes_are_minus_one():
    assert make_batch(toy_jets(3)).labels.tolist() == [-1, -1, -1]


_COUNT_THREADS = """
import os
import sys
import torch
sys.path.append("tests")
from parttag.testing import toy_jets
from parttag.jets.batch import make_batch

torch.set_num_threads(4)
jets = toy_jets(lengths=[100] * 2000)
before = len(os.listdir("/proc/self/task"))
make_batch(jets)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_making_a_batch_starts_no_threads_of_torch():
    # In the loader's thread they would slow down those that train: see batch._owned.
    command = [sys.executable, "-c", _COUNT_THREADS]
    root = Path(__file__).parents[2]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert int(result.stdout) == 0


@pytest.mark.parametrize("max_particles", [None, 1, 7, 100])
def test_many_jets_and_few_are_taken_alike(max_particles):
    toys = toy_jets(lengths=[3, 0, 40, 8, 7, 1, 12])
    rows = np.array([6, 2, 2, 0, 1, 5, 4, 3])
    together = toys.take(rows, max_particles)
    alone = concatenate(
        [toys.span(row, row + 1).take(np.zeros(1, int), max_particles) for row in rows.tolist()]
    )
    for name in ("p4", "extra", "offsets", "jet_p4", "labels", "index"):
        np.testing.assert_array_equal(getattr(together, name), getattr(alone, name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_MANY", 100)
        few = toys.take(rows, max_particles)
    for name in ("p4", "extra", "offsets"):
        np.testing.assert_array_equal(getattr(together, name), getattr(few, name))
    assert together.p4.flags.writeable


def test_quantities_of_the_jets_are_those_of_the_vector_package():
    jets = toy_jets(20)
    columns = dict(zip(("px", "py", "pz", "E"), jets.jet_p4.astype(np.float64).T, strict=True))
    expected = vector.arr(columns)
    for name in ("pt", "eta", "phi"):
        np.testing.assert_allclose(getattr(jets, name), getattr(expected, name), rtol=1e-12)
    heavy = jets.mass > 1  # those of one particle are rounding
    np.testing.assert_allclose(jets.mass[heavy], expected.mass[heavy], rtol=1e-9)
    assert {values.dtype for values in (jets.pt, jets.eta, jets.phi, jets.mass)} == {
        np.dtype(np.float64)
    }


def test_quantities_of_a_bad_jet_are_no_error():
    jets = replace(toy_jets(3), jet_p4=np.float32([[0, 0, 0, 0], [np.nan] * 4, [np.inf] * 4]))
    assert (jets.pt[0], jets.eta[0], jets.mass[0]) == (0, 0, 0)
    assert all(len(values) == 3 for values in (jets.pt, jets.eta, jets.phi, jets.mass))


def test_columns_are_found_by_name():
    jets = toy_jets(6, extra_names=("charge", "d0"))
    np.testing.assert_array_equal(jets["d0"], jets.extra[:, 1])
    np.testing.assert_array_equal(jets["label_QCD"], [0, 1, 0, 1, 0, 1])
    assert np.shares_memory(jets["d0"], jets.extra)
    with pytest.raises(InputError, match=r"no column 'dz'; there are charge, d0, label_top, label"):
        jets["dz"]
    with pytest.raises(TypeError):
        iter(jets)


def test_jets_say_in_a_line_what_they_are():
    jets = toy_jets(lengths=[3, 4, 1005], extra_names=("charge", "d0"))
    assert repr(jets) == (
        "JetArrays: 3 jets, 1,012 particles | extra: charge, d0 | labels: label_top 2, label_QCD 1"
    )
    assert repr(jets.span(1, 2).without_extras()) == (
        "JetArrays: 1 jets, 4 particles | extra: none | labels: label_top 0, label_QCD 1"
    )
    assert in_words(2_940_000) == "2.9M"
    batch = make_batch(jets, np.array([1, 0, -1]))
    assert repr(batch) == (
        "JetBatch: 3 jets, 1,012 particles on cpu | extra: charge, d0 | classes: -1 1, 0 1, 1 1"
    )


def test_many_columns_are_cut_short():
    names = tuple(f"column_{number}" for number in range(20))
    assert "column_11, … (20 in all)" in repr(toy_jets(2, extra_names=names))


def test_notebooks_show_names_as_text_not_as_markup():
    hostile = "<script>alert(1)</script>"
    jets = replace(toy_jets(2, extra_names=(hostile,)), label_names=(hostile, "label_QCD"))
    for html in (jets._repr_html_(), make_batch(jets)._repr_html_()):
        assert "2 jets" in html
        assert "<script>" not in html
        assert "&lt;script&gt;" in html
