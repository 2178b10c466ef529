import mmap
import sys

import numpy as np
import pytest

from parttag.training import memory


@pytest.mark.skipif(sys.platform != "linux", reason="the hint is for glibc on Linux")
@pytest.mark.parametrize(
    ("pages", "tunables", "hinted"),
    [
        ("always [madvise] never", None, True),
        ("always [madvise] never", "glibc.malloc.arena_max=1", True),
        ("always [madvise] never", "glibc.malloc.hugetlb=1", False),
        ("[always] madvise never", None, False),
        ("always madvise [never]", None, False),
        (None, None, False),
    ],
)
def test_the_allocator_is_hinted_at_where_it_can_help(
    pages, tunables, hinted, tmp_path, monkeypatch
):
    path = tmp_path / "enabled"
    if pages is not None:
        path.write_text(pages)
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if tunables is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    hint = memory.allocator_hint(path)
    assert (hint is not None) == hinted
    if hint is not None:
        assert "GLIBC_TUNABLES=glibc.malloc.hugetlb=1" in hint


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is glibc's")
def test_free_pages_are_given_back_when_the_process_has_grown():
    sizes = iter([100, 120, 130, 150, 180, 190])
    watch = memory.HeapWatch(seconds=0.0, size=lambda: next(sizes))
    calls = []
    watch._trim = calls.append
    counts = []
    for _ in range(6):
        watch()
        counts.append(len(calls))
    assert counts == [0, 0, 1, 1, 1, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_size_of_the_process_is_in_bytes():
    before = memory.own_bytes()
    # New pages, whatever the heap has free.
    block = mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    np.frombuffer(block, np.uint8).fill(1)
    assert 40e6 < memory.own_bytes() - before < 60e6


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_pages_of_a_mapped_file_are_not_the_heaps(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(bytes(50_000_000))
    before = memory.own_bytes()
    mapped = np.memmap(path, mode="r", dtype=np.uint8)
    assert mapped.max() == 0  # all of it is read
    assert abs(memory.own_bytes() - before) < 10e6
