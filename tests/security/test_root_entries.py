"""ROOT files whose numbers of entries are not those of their baskets: refused in a moment."""

import struct
import time

import numpy as np
import pytest

from helpers.files import write_jetclass_root
from helpers.limits import memory_for
from parttag.data.readers import count_jets, read_branches, read_chunks
from parttag.errors import InputError
from parttag.testing import toy_jets

JETS = 1237
LIES = (0, 1, JETS - 1, JETS + 1, 10**6, 2**31, 2**40, 2**62, -1, -(2**62))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("root") / "whole.root"
    return write_jetclass_root(path, toy_jets(JETS, lengths=[2] * JETS)).read_bytes()


def places(content, number):
    """Return where a file has a number, as ROOT writes them: big end first."""
    wanted, found, start = struct.pack(">q", number), [], 0
    while (start := content.find(wanted, start)) >= 0:
        found.append(start)
        start += 1
    return found


def test_the_file_says_its_number_of_entries_in_many_places(whole):
    assert len(places(whole, JETS)) > 20


@pytest.mark.parametrize("lie", LIES)
def test_a_tree_of_another_number_of_entries_is_refused(whole, lie, tmp_path):
    path = tmp_path / "lie.root"
    content = bytearray(whole)
    for place in places(whole, JETS):
        content[place : place + 8] = struct.pack(">q", lie)
    path.write_bytes(content)
    began = time.process_time()
    for read in (
        lambda: list(read_chunks(path)),
        lambda: count_jets(path),
        lambda: read_branches(path, ["jet_pt"]),
    ):
        with memory_for(1 << 29), pytest.raises(InputError, match=r"lie\.root"):
            read()
    assert time.process_time() - began < 5


@pytest.mark.parametrize("lie", LIES)
def test_no_single_number_makes_the_reader_hang_or_take_memory(whole, lie, tmp_path):
    path = tmp_path / "lie.root"
    found = places(whole, JETS)
    for place in found[:: max(1, len(found) // 6)]:
        content = bytearray(whole)
        content[place : place + 8] = struct.pack(">q", lie)
        path.write_bytes(content)
        began = time.process_time()
        with memory_for(1 << 29):
            try:
                read = sum(map(len, read_chunks(path)))
            except InputError:
                read = JETS
        assert read == JETS
        assert time.process_time() - began < 5


def test_a_tree_without_jets_is_said_to_have_none(tmp_path):
    path = write_jetclass_root(tmp_path / "none.root", toy_jets(1, lengths=[1]).take(np.arange(0)))
    assert count_jets(path) == 0
    with pytest.raises(InputError, match="no jets"):
        list(read_chunks(path))
