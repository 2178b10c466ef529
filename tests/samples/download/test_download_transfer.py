"""One file from a server that cuts, forgets, lies and damages."""

import errno
import hashlib
import os

import numpy as np
import pytest

from helpers.http import Fake, serving
from parttag.errors import InputError
from parttag.samples.download import transfer
from parttag.samples.download.records import Source
from parttag.samples.download.transfer import CHUNK, fetch, missing_bytes

CONTENT = np.random.default_rng(3).bytes(3 * CHUNK + 1000)


@pytest.fixture
def server():
    with serving(Fake(7, {"a.h5": CONTENT})) as fake:
        yield fake


def source_of(server, **changes):
    """Return the file as its record gives it."""
    described = {
        "name": "a.h5",
        "url": f"{server.url}/api/records/7/files/a.h5/content",
        "size": len(CONTENT),
        "md5": hashlib.md5(CONTENT).hexdigest(),
    }
    return Source(**{**described, **changes})


def come(server, directory, **kwargs):
    """Download without waiting between attempts."""
    return fetch(source_of(server), directory, wait=lambda _: None, **kwargs)


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_file_comes_whole_and_alone(server, tmp_path):
    path = come(server, tmp_path / "new")
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["a.h5"]
    assert server.ranges("a.h5") == [None]


def test_every_mebibyte_is_reported(server, tmp_path):
    seen = []

    def progress(items, *, total, description):
        for item in items:
            seen.append((total, description))
            yield item

    come(server, tmp_path, progress=progress)
    assert seen == [(4, "a.h5, MiB")] * 4


def test_a_connection_that_is_cut_is_taken_up_where_it_ended(server, tmp_path):
    server.cut_after = CHUNK + 7
    assert come(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges("a.h5") == [None, *(f"bytes={n * (CHUNK + 7)}-" for n in (1, 2, 3))]


def test_a_second_call_continues_the_first(server, tmp_path):
    (tmp_path / "a.h5.part").write_bytes(CONTENT[:12345])
    assert missing_bytes(source_of(server), tmp_path) == len(CONTENT) - 12345
    assert come(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges("a.h5") == ["bytes=12345-"]
    assert missing_bytes(source_of(server), tmp_path) == 0


def test_a_complete_part_needs_no_request(server, tmp_path):
    (tmp_path / "a.h5.part").write_bytes(CONTENT)
    assert come(server, tmp_path).read_bytes() == CONTENT
    assert server.requests == []


def test_a_part_that_is_too_long_is_dropped(server, tmp_path):
    (tmp_path / "a.h5.part").write_bytes(CONTENT + b"more")
    assert come(server, tmp_path).read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_starts_anew(server, tmp_path):
    server.ignores_ranges = True
    (tmp_path / "a.h5.part").write_bytes(b"not the beginning of it")
    assert come(server, tmp_path).read_bytes() == CONTENT


def test_another_part_than_the_one_asked_for_is_not_taken(server, tmp_path):
    server.wrong_range = True
    (tmp_path / "a.h5.part").write_bytes(CONTENT[:99])
    assert come(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges("a.h5") == ["bytes=99-", None]


def test_more_promised_than_there_is_does_no_harm(server, tmp_path):
    server.lie = 1000
    assert come(server, tmp_path).read_bytes() == CONTENT


def test_less_promised_than_there_is_leaves_a_part_to_continue(server, tmp_path):
    server.lie = -1000
    with pytest.raises(InputError, match=r"3,145,728 of 3,146,728 bytes came"):
        come(server, tmp_path)
    server.lie = 0
    assert come(server, tmp_path).read_bytes() == CONTENT
    assert server.ranges("a.h5")[-1] == f"bytes={len(CONTENT) - 1000}-"


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.busy = 3
    waited = []
    fetch(source_of(server), tmp_path, wait=waited.append)
    assert waited == [2, 4, 8]


def test_a_server_that_stops_sending_is_given_up_and_the_part_kept(server, tmp_path):
    server.cut_after = 500
    server.ignores_ranges = True
    with pytest.raises(InputError, match=r"a.h5: 500 of 3,146,728 bytes .* it continues"):
        come(server, tmp_path)
    assert (tmp_path / "a.h5.part").read_bytes() == CONTENT[:500]
    server.cut_after, server.ignores_ranges = None, False
    assert come(server, tmp_path).read_bytes() == CONTENT


def test_a_server_that_is_gone_is_one_sentence(server, tmp_path):
    gone = source_of(server, url="http://127.0.0.1:9/a.h5")
    with pytest.raises(InputError, match=r"0 of 3,146,728 bytes .*refused"):
        fetch(gone, tmp_path, wait=lambda _: None)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_not_given_out_is_not_asked_for_again(server, tmp_path, status):
    server.status = status
    with pytest.raises(InputError, match=f"not given out .HTTP {status}"):
        come(server, tmp_path)
    assert len(server.requests) == 1


def test_a_damaged_file_is_kept_aside_named_and_never_used(server, tmp_path):
    server.files["a.h5"] = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(InputError, match=r"arrived damaged .* kept as .*a.h5.wrong and not used"):
        come(server, tmp_path)
    assert names(tmp_path) == ["a.h5.wrong"]
    server.files["a.h5"] = CONTENT
    assert come(server, tmp_path).read_bytes() == CONTENT


def test_a_longer_file_than_the_record_says_is_refused_by_its_checksum(server, tmp_path):
    server.files["a.h5"] = CONTENT + b"!"
    short = source_of(server, md5=hashlib.md5(CONTENT + b"!").hexdigest())
    with pytest.raises(InputError, match="arrived damaged"):
        fetch(short, tmp_path, wait=lambda _: None)


def test_a_file_that_is_there_is_left_alone(server, tmp_path):
    come(server, tmp_path)
    requests = len(server.requests)
    come(server, tmp_path)
    assert len(server.requests) == requests


def test_a_foreign_file_of_that_name_is_not_replaced(server, tmp_path):
    (tmp_path / "a.h5").write_text("my own")
    with pytest.raises(InputError, match=r"is there already, but .* move it away"):
        come(server, tmp_path)
    assert (tmp_path / "a.h5").read_text() == "my own"


def test_a_full_disk_is_one_sentence_and_the_part_is_kept(server, tmp_path, monkeypatch):
    real = os.fdopen

    class Full:
        def __init__(self, path, mode):
            self.file = real(path, mode)

        def __enter__(self):
            return self

        def __exit__(self, *details):
            self.file.close()

        def write(self, chunk):
            if self.file.tell() >= CHUNK:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(chunk)

        def flush(self):
            self.file.flush()

    monkeypatch.setattr(transfer.os, "fdopen", Full)
    with pytest.raises(InputError, match=r"a.h5.part cannot be written .*free some space"):
        come(server, tmp_path)
    assert (tmp_path / "a.h5.part").read_bytes() == CONTENT[:CHUNK]
