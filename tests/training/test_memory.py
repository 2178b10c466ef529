import sys

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
    monkeypatch.setattr(memory, "_HUGE_PAGES", path)
    monkeypatch.delenv("LD_PRELOAD", raising=False)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if tunables is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    hint = memory.allocator_hint()
    assert (hint is not None) == hinted
    if hint is not None:
        assert "GLIBC_TUNABLES=glibc.malloc.hugetlb=1" in hint
