import json
import re
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers.limits import largest_file
from helpers.runs import toy_config
from parttag.cli import main
from parttag.data.readers import read_chunks
from parttag.errors import InputError
from parttag.evaluation.generation import Sampling, generate
from parttag.evaluation.generation import command as module
from parttag.jets.arrays import concatenate
from parttag.runs.run import load_run
from parttag.runs.train import train_run


@pytest.fixture
def command(monkeypatch, capsys):
    """Run parttag generate with some arguments; give the exit code and what was printed."""
    monkeypatch.setattr(Figure, "savefig", lambda _, target, **_kwargs: target.write(b"PNG"))

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["parttag", "generate", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_code:
            main()
        output = capsys.readouterr()
        return int(exit_code.value.code or 0), " ".join((output.out + output.err).split())

    return run


def test_jets_are_written_with_what_is_known_of_them(command, decoder_directory, tmp_path):
    out = tmp_path / "jets.root"
    code, text = command(decoder_directory, "--jets", 30, "--out", out, "--seed", 5)
    assert code == 0
    assert text.startswith("30 jets in ")
    assert text.endswith(f"written: {out} written: {tmp_path / 'jets.json'}")
    assert len(concatenate(list(read_chunks(out)))) == 30
    known = json.loads((tmp_path / "jets.json").read_text())
    assert (known["num_jets"], known["seed"], known["comparison"]) == (30, 5, None)
    assert known["run"] == str(decoder_directory)
    assert "not simulated; at η = φ = 0 lies the hardest particle's axis" in known["statement"]
    assert known["jets_per_second"] == pytest.approx(30 / known["seconds"])


def test_generated_jets_are_compared_in_numbers_and_pictures(
    command, decoder_directory, reference, tmp_path
):
    out, pictures = tmp_path / "jets.parquet", tmp_path / "deep" / "pictures"
    arguments = [decoder_directory, "--jets", 20, "--out", out, "--against", reference]
    arguments += ["--plots", pictures]
    code, text = command(*arguments)
    assert code == 0
    assert "20 generated jets, 60 of the reference" in text
    assert "the reference's tokens: perplexity" in text
    assert sorted(p.name for p in pictures.iterdir()) == ["mass.png", "num_particles.png", "pt.png"]
    known = json.loads((tmp_path / "jets.json").read_text())["comparison"]
    assert known["num_reference"] == 60
    assert known["variables"]["mass"]["unit"] == "GeV"
    (jets,) = read_chunks(out)
    assert known["variables"]["num_particles"]["generated"]["value"] == jets.lengths.mean()
    code, text = command(*arguments)
    assert code == 2
    assert "jets.parquet exists already; add --overwrite" in text
    assert command(*arguments, "--overwrite")[0] == 0


def test_pictures_are_real(decoder_run, reference, tmp_path):
    generate(
        decoder_run,
        12,
        tmp_path / "jets.root",
        Sampling(),
        against=[str(reference)],
        plots=tmp_path,
    )
    for name in ("mass", "num_particles", "pt"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_jets(decoder_directory, tmp_path):
    p4 = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(load_run(decoder_directory), 20, tmp_path / f"{name}.root", Sampling(seed=seed))
        p4.append(next(read_chunks(tmp_path / f"{name}.root")).p4)
    np.testing.assert_array_equal(p4[0], p4[1])
    assert p4[2].shape != p4[0].shape or (p4[2] != p4[0]).any()


def test_runs_of_other_objectives_are_refused(command, tmp_path):
    run = train_run(toy_config(tmp_path, "training.epochs=1"), tmp_path / "tagger")
    code, text = command(run, "--jets", 5, "--out", tmp_path / "jets.root")
    assert code == 2
    assert text == (
        f"error: {run} was trained for objective classify, from which no jets can be generated: "
        "give a run of objective next_particle"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out", "jets.h5"], "jets.h5: jets are written to .root, .parquet"),
        (["--out", "jets.root", "--plots", "pictures"], "--plots draws a comparison: give --agai"),
        (["--out", "jets.root", "--against", "nowhere.h5"], "nowhere.h5: there is no such file"),
        (["--out", "deep/jets.root"], "there is no directory deep; make it first"),
        (["--out", "jets.root", "--temperature", "0"], "--temperature 0: it must be a number"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(
    command, decoder_directory, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    code, text = command(decoder_directory, "--jets", 5, *arguments)
    assert code == 2
    assert text.startswith("error: ")
    assert sentence in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["jets.root", "jets.parquet"])
def test_a_full_disk_leaves_nothing(decoder_run, tmp_path, name):
    with largest_file(2000), pytest.raises(InputError, match=r"cannot be written \(file too large"):
        generate(decoder_run, 20, tmp_path / name, Sampling())
    assert list(tmp_path.iterdir()) == []


def test_a_fault_while_generating_leaves_nothing(decoder_run, reference, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "compare", fail)
    with pytest.raises(KeyboardInterrupt):
        generate(
            decoder_run,
            5,
            tmp_path / "jets.root",
            Sampling(),
            against=[str(reference)],
            plots=tmp_path / "pictures",
        )
    assert list(tmp_path.iterdir()) == []


def test_the_example_of_the_help_runs(command, decoder_directory, reference, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "omnijet").symlink_to(decoder_directory)
    (tmp_path / "test.h5").symlink_to(reference)
    monkeypatch.chdir(tmp_path)
    _, text = command("--help")
    (words,) = re.findall(r"Example: parttag generate (.*?--plots \w+)", text)
    code, text = command(*words.split())
    assert code == 0
    assert "1,000 generated jets, 60 of the reference" in text
