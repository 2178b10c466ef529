"""Whole simulations: in several processes, interrupted, continued, refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from parttag.errors import InputError
from parttag.samples.simulation import campaign
from parttag.samples.simulation.campaign import simulate
from parttag.samples.simulation.samples import make_sample
from parttag.samples.simulation.toptagging import TopTagging, TopTaggingOptions

OPTIONS = TopTaggingOptions(num_jets=40, seed=4, windows="demonstration")
SAMPLE = TopTagging(OPTIONS)
COMMAND = [
    *(sys.executable, "-m", "parttag.cli", "simulate", "toptagging", "--jets", "40"),
    *("--seed", "4", "--windows", "demonstration", "--processes", "1", "--out"),
]
FILES = [f"{split}/toptagging_000.root" for split in ("train", "val", "test")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the directory of the simulation, made in one go by one process."""
    out = tmp_path_factory.mktemp("one") / "jets"
    simulate(SAMPLE, out, processes=1)
    return out


@pytest.fixture(scope="module")
def uninterrupted(finished):
    """Return the provenance of that simulation."""
    return json.loads((finished / "provenance.json").read_text())


def command(out, **kwargs):
    """Start ``parttag simulate`` as a user would."""
    return subprocess.Popen(
        [*COMMAND, str(out)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **kwargs
    )


def files_in(out):
    return sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())


def wait_for(path, process):
    """Wait until a file is there, while the process that will write it runs."""
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_the_simulation_is_complete_and_described(uninterrupted):
    assert [file["path"] for file in uninterrupted["files"]] == FILES
    assert sum(sum(file["jets"].values()) for file in uninterrupted["files"]) == 40
    assert "not comparable with published tables" in uninterrupted["statement"]
    assert len({file["sha256"] for file in uninterrupted["files"]}) == 3


def test_two_processes_give_the_same_jets(tmp_path, uninterrupted):
    assert simulate(SAMPLE, tmp_path, processes=2) == uninterrupted
    assert files_in(tmp_path) == sorted([*FILES, "provenance.json"])


def test_killed_then_interrupted_then_continued_gives_the_same_jets(tmp_path, uninterrupted):
    out = tmp_path / "jets"
    killed = command(out)
    wait_for(out / FILES[0], killed)
    workers = children(killed.pid)
    killed.kill()
    killed.communicate()
    assert (out / FILES[0]).exists()
    assert not (out / FILES[2]).exists()
    wait_until_gone(workers)
    first = (out / FILES[0]).read_bytes()

    (out / FILES[1]).unlink(missing_ok=True)
    interrupted = command(out, start_new_session=True, preexec_fn=_hear_interrupts)
    while not workers_of(interrupted.pid):  # they take longer to start than the signal takes
        assert interrupted.poll() is None, interrupted.communicate()
        time.sleep(0.01)
    os.killpg(interrupted.pid, signal.SIGINT)  # as a terminal does
    _, message = interrupted.communicate(timeout=30)
    assert interrupted.returncode == 130
    assert message.strip() == "interrupted: give the same command again, and it continues"

    assert simulate(SAMPLE, out) == uninterrupted
    assert (out / FILES[0]).read_bytes() == first
    assert files_in(out) == sorted([*FILES, "provenance.json"])


def _hear_interrupts():
    # Tests that run in the background of a shell ignore SIGINT, and what they start inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_write_that_fails_leaves_no_file_and_can_be_continued(tmp_path, uninterrupted):
    resource = pytest.importorskip("resource")
    out = tmp_path / "jets"
    limit = (12_000, 12_000)  # bytes: enough for the provenance, too little for the jets

    process = command(out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    _, message = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "train/toptagging_000.root cannot be written (file too large)" in " ".join(
        message.split()
    )
    assert files_in(out) == ["provenance.json"]
    assert simulate(SAMPLE, out) == uninterrupted


def test_a_finished_simulation_is_not_made_again(finished, uninterrupted, monkeypatch):
    monkeypatch.setattr(campaign, "run_all", None)
    assert simulate(SAMPLE, finished) == uninterrupted


def test_a_dead_process_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "make_shard", die)
    with pytest.raises(InputError, match=r"was killed .* give the same command again"):
        simulate(SAMPLE, tmp_path / "jets")


def die(sample, out, shard):
    os.kill(os.getpid(), signal.SIGKILL)


def claimed(out: Path) -> Path:
    """Return a directory that says it holds the simulation, without any jets."""
    campaign._claim(out, campaign.describe(SAMPLE))
    return out


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 5}, "seed 4, not 5"),
        ({"num_jets": 60, "mpi": True}, "num_jets 40, not 60, mpi False, not True"),
    ],
)
def test_a_directory_with_another_simulation_is_refused(tmp_path, change, named):
    claimed(tmp_path)
    with pytest.raises(InputError, match=f"holds another simulation .*{named}"):
        simulate(TopTagging(OPTIONS.model_copy(update=change)), tmp_path)


def test_another_version_of_a_generator_is_another_simulation(tmp_path):
    written = claimed(tmp_path) / "provenance.json"
    written.write_text(written.read_text().replace("8.317.2", "8.316"))
    with pytest.raises(InputError, match=r"pythia8mc 8.316, not 8.317.2"):
        simulate(SAMPLE, tmp_path)


def test_files_with_other_branches_are_not_mixed(tmp_path):
    written = tmp_path / "provenance.json"
    jets = make_sample("jetclass", {"num_jets": 100})
    older = {name: value for name, value in campaign.describe(jets).items() if name != "format"}
    written.write_text(json.dumps(older))
    with pytest.raises(InputError, match=r"holds another simulation \(format 1, not 2\)"):
        simulate(jets, tmp_path)


def test_a_directory_that_says_no_format_is_continued_where_branches_are_the_same(finished):
    written = finished / "provenance.json"
    content = json.loads(written.read_text())
    written.write_text(json.dumps({n: v for n, v in content.items() if n != "format"}))
    assert simulate(SAMPLE, finished) == content


def test_a_directory_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="is not empty and holds no simulation"):
        simulate(SAMPLE, tmp_path)


@pytest.mark.parametrize("content", ["not JSON", "[]", "{}"])
def test_a_foreign_provenance_is_refused(tmp_path, content):
    (tmp_path / "provenance.json").write_text(content)
    with pytest.raises(InputError, match=r"provenance.json is no provenance of a simulation"):
        simulate(SAMPLE, tmp_path)


def children(pid):
    """Return the processes that a process has started, by Linux's book-keeping."""
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listing.read_text().split()] if listing.exists() else []


def workers_of(pid):
    """Return those that simulate: libraries start others while they are imported."""
    return [child for child in children(pid) if "spawn_main" in command_line(child)]


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except OSError:  # it has ended
        return ""


def wait_until_gone(pids):
    """Fail if one of the processes still runs after ten seconds; a zombie has ended."""
    deadline = time.monotonic() + 10
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
