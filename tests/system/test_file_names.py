"""File names that come from outside: only https, http and root are other machines, no chains."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from typer.testing import CliRunner

from helpers.files import write_jetclass_parquet, write_jetclass_root, write_toptagging_h5
from helpers.particles import jets, p4
from helpers.runs import toy_config
from parttag.cli import app
from parttag.data import prepare
from parttag.data.readers import count_jets, find_files, read_branches, read_chunks
from parttag.data.writers.jetclass import JetClassTable, is_simulated, read_provenance, write_jets
from parttag.errors import InputError
from parttag.runs.config import load_config
from parttag.runs.run import load_run
from parttag.runs.train import train_run
from parttag.samples.download.records import Source
from parttag.samples.download.transfer import fetch
from parttag.system.remote_files import RemotePath
from parttag.testing import toy_jets

FOREIGN = (
    "reference://x::file:///home/me/references.json",
    "file:///etc/passwd",
    "local:///etc/passwd",
    "memory://a/b.root",
    "simplecache::https://host/a.root",
    "https://host/a.zip::file:///etc/passwd",
    "zip://a.root::https://host/a.zip",
    "root://host//a.root::file:///etc/passwd",
    "ftp://host/a.root",
    "s3://bucket/a.root",
    "HTTPS+unix://host/a.root",
    "dir://a.root::https://host/",
)
OUTSIDE = "s3://bucket/place"
ODD = ("reference::x", "file::a", "simplecache::b", "a:b", "http:", "root:x", "zip::c [d] %20?#~")


@pytest.fixture
def no_fsspec(monkeypatch):
    """Return what makes fsspec fail the test when it is asked for anything at all."""
    import fsspec

    def refuse(*arguments, **_options):
        raise AssertionError(f"fsspec was asked for {arguments}")

    def forbid():
        for name in ("open", "open_files", "filesystem", "url_to_fs", "get_filesystem_class"):
            monkeypatch.setattr(fsspec, name, refuse, raising=False)
            monkeypatch.setattr(fsspec.core, name, refuse, raising=False)

    return forbid


@pytest.mark.parametrize("name", FOREIGN)
def test_a_name_of_another_protocol_or_a_chain_is_refused_before_anything_opens_it(no_fsspec, name):
    no_fsspec()
    with pytest.raises(InputError) as caught:
        find_files([name])
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FOREIGN)
def test_it_is_not_opened_either_by_who_made_it_a_path(no_fsspec, name):
    no_fsspec()
    path = RemotePath(name)
    for ask in (path.open, path.stat, lambda: count_jets(path), lambda: list(read_chunks(path))):
        with pytest.raises(InputError, match="https"):
            ask()


WRITERS = {
    ".root": write_jetclass_root,
    ".parquet": write_jetclass_parquet,
    ".h5": write_toptagging_h5,
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("odd", ODD)
def test_a_local_name_of_odd_characters_is_a_local_file(
    tmp_path, monkeypatch, no_fsspec, odd, suffix
):
    monkeypatch.chdir(tmp_path)
    Path(odd).mkdir()
    WRITERS[suffix](tmp_path / "plain", toy_jets(4))
    name = f"{odd}/{odd}{suffix}"
    Path("plain").rename(name)
    no_fsspec()
    (path,) = find_files([name])
    assert count_jets(path) == 4
    (chunk,) = read_chunks(path)
    np.testing.assert_array_equal(chunk.labels.sum(axis=1), 1)
    branch = "ttv" if suffix == ".h5" else "label_top"
    assert len(read_branches(path, [branch])[branch]) == 4
    assert not is_simulated(path)


def test_simulated_files_of_odd_names_are_local_too(tmp_path, monkeypatch, no_fsspec):
    no_fsspec()
    monkeypatch.chdir(tmp_path)
    path = Path("reference::x.root")
    made = jets(p4([400.0, 200.0], [1.2, 0.8], [3.1, -3.1]))
    write_jets(path, JetClassTable.of_clustered(made, {"label_top": np.array([True])}), {"seed": 3})
    assert read_provenance(path) == {"seed": 3}
    assert is_simulated(path)
    assert list(Path().iterdir()) == [path]


@pytest.mark.parametrize("name", FOREIGN[:5])
def test_a_configuration_cannot_name_one(tmp_path, no_fsspec, name):
    no_fsspec()
    config = toy_config(tmp_path, f"data.train=[{name!r}]")
    with pytest.raises(InputError) as caught:
        train_run(config, tmp_path / "run")
    assert name in str(caught.value)


def test_where_weights_and_tokens_come_from_is_local(tmp_path):
    for key in ("init_from.path", "tokenizer_from"):
        with pytest.raises(InputError, match=rf"{key}.*{OUTSIDE}"):
            toy_config(tmp_path, f"{key}={OUTSIDE}")
    with pytest.raises(InputError, match=OUTSIDE):
        load_config(OUTSIDE)


def test_nothing_is_written_to_a_url_nor_read_from_one_as_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = toy_config(tmp_path)
    before = sorted(Path().iterdir())
    for attempt in (
        lambda: train_run(config, OUTSIDE),
        lambda: prepare(config.data.train, OUTSIDE),
        lambda: load_run(OUTSIDE),
    ):
        with pytest.raises(InputError, match=OUTSIDE):
            attempt()
    assert sorted(Path().iterdir()) == before


COMMANDS = (
    ["train", "config.yaml", "--out", OUTSIDE],
    ["train", OUTSIDE],
    ["prepare", "jets.root", "--out", OUTSIDE],
    ["prepare", "jets.root", "--out", "store", "--columns", OUTSIDE],
    ["download", "toptagging", "--out", OUTSIDE],
    ["simulate", "toptagging", "--jets", "20", "--out", OUTSIDE],
    ["inspect", "jets.root", "--plots", OUTSIDE],
    ["evaluate", OUTSIDE],
    ["evaluate", "run", "--out", OUTSIDE],
    ["predict", OUTSIDE, "jets.root", "--out", "scores.h5"],
    ["predict", "run", "jets.root", "--out", OUTSIDE],
    ["import", OUTSIDE, "--features", "kin", "--out", "run"],
    ["import", "weights.pt", "--features", "kin", "--out", OUTSIDE],
    ["generate", OUTSIDE, "--jets", "1", "--out", "a.root"],
    ["generate", "run", "--jets", "1", "--out", OUTSIDE],
    ["generate", "run", "--jets", "1", "--out", "a.root", "--plots", OUTSIDE],
    ["benchmark", OUTSIDE],
    ["benchmark", "table.yaml", "--out", OUTSIDE],
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_refuses_a_url_where_it_wants_a_place_of_this_machine(
    tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, InputError), result.output
    assert str(result.exception).startswith(f"{OUTSIDE}: ")
    assert not list(Path().iterdir())


class _Elsewhere(BaseHTTPRequestHandler):
    """Sends everyone to one address."""

    target: str

    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", self.target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


@pytest.mark.parametrize("target", ["ftp://127.0.0.1:9/a.root", "file:///etc/passwd"])
def test_a_server_that_sends_a_download_elsewhere_is_not_followed_off_the_web(tmp_path, target):
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (_Elsewhere,), {"target": target}))
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/a.root"
    try:
        with pytest.raises(InputError) as caught:
            fetch(Source("a.root", url, 10, "0" * 32), tmp_path, wait=lambda _seconds: None)
    finally:
        server.shutdown()
        server.server_close()
    assert target in str(caught.value)
    assert (tmp_path / "a.root.part").stat().st_size == 0


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1:9/a", "data:,aaaaaaaaaa"])
def test_an_address_of_a_record_is_one_of_the_web(tmp_path, url):
    with pytest.raises(InputError, match="no address of the web"):
        fetch(Source("a.root", url, 10, "0" * 32), tmp_path, wait=lambda _seconds: None)
