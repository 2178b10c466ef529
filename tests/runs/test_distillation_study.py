"""scripts/distillation_study.py on toy jets: a student, taught by a run and by labels."""

import importlib.util
from pathlib import Path

import pytest

from helpers.files import write_toptagging_h5
from helpers.runs import same_weights, toy_config
from parttag.runs.train import train_run
from parttag.testing import toy_jets

SCRIPT = Path(__file__).parents[2] / "scripts" / "distillation_study.py"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_study_compares_a_student_with_and_without_the_teacher(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("distillation_study", SCRIPT)
    study = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(study)
    teacher = train_run(toy_config(tmp_path, "training.epochs=1"), tmp_path / "teacher")
    write_toptagging_h5(tmp_path / "test.h5", toy_jets(40, seed=7))
    files = [f"--{name}={tmp_path / name}.h5" for name in ("train", "val", "test")]
    options = [*files, f"--out={tmp_path / 'out'}", f"--teacher={teacher}", "--jets=40"]
    study.main([*options, "--seeds=1", "--toy", "--student=PFN"])
    lines = capsys.readouterr().out.splitlines()[2:]
    titles = [line.split(" | ")[0] for line in lines]
    assert titles == ["| teacher", "| PFN", "| PFN, taught"]
    runs = [tmp_path / "out" / f"PFN-{by}-0" for by in ("labels", "taught")]
    assert not same_weights(*runs)
    assert set(study.TINY) == set(study.STUDENTS)
