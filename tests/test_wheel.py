"""What is released: an archive of the source, and a wheel from it that needs no checkout."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import parttag
from helpers.files import write_toptagging_h5
from parttag.testing import toy_jets

REPOSITORY = Path(__file__).parents[1]
# From a recipe by its name, with nothing of the checkout.
TRAINING = """
import sys
from pathlib import Path
import parttag
from parttag.runs.config import load_config
from parttag.runs.recipes import find_recipe
from parttag.runs.train import train_run

recipe = find_recipe("toptagging/pfn")
data = [f"data.{part}={part}.h5" for part in ("train", "val", "test")]
steps = ["training.steps=2", "training.steps_per_epoch=2", "training.batch_size=20"]
run = train_run(load_config(recipe, [*steps, *data, "training.device=cpu"]), Path("run"))
print(parttag.__file__, recipe, parttag.__version__, run, sep="\\n")
"""


def call(*command: str | Path, **options) -> str:
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> Path:
    """Return the folder of a source archive and of a wheel that was built from it."""
    folder = tmp_path_factory.mktemp("released")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPOSITORY)
    return folder


def test_archive_and_wheel_are_of_one_version_and_hold_the_recipes(released):
    (archive,), (wheel,) = released.glob("*.tar.gz"), released.glob("*.whl")
    assert archive.name.removesuffix(".tar.gz") == wheel.name.removesuffix("-py3-none-any.whl")
    recipes = {
        p.relative_to(REPOSITORY / "configs") for p in (REPOSITORY / "configs").rglob("*.yaml")
    }
    names = [Path(name) for name in zipfile.ZipFile(wheel).namelist()]
    shipped = [p for p in names if p.is_relative_to("parttag/recipes") and p.suffix == ".yaml"]
    assert {p.relative_to("parttag/recipes") for p in shipped} == recipes
    layouts = {p.name for p in (REPOSITORY / "src/parttag/data/layouts").glob("*.yaml")}
    assert {p.name for p in names if p.match("parttag/data/layouts/*.yaml")} == layouts
    of_reports = {p.suffix for p in names if p.match("parttag/evaluation/report/report.*")}
    assert of_reports == {".j2", ".css", ".js"}
    tops = {path.parts[0] for path in names}
    assert tops == {"parttag", wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info"}
    with tarfile.open(archive) as content:
        held = {"/".join(Path(name).parts[1:]) for name in content.getnames()}
    assert {"LICENSE", "README.md", "src/parttag/__init__.py", "tests/test_wheel.py"} <= held


@pytest.mark.slow
def test_an_installed_wheel_trains_from_a_recipe_by_its_name(released, tmp_path):
    (wheel,) = released.glob("*.whl")
    site = tmp_path / "site"
    call(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--no-index", "--target", site, wheel),
    )
    for seed, part in enumerate(("train", "val", "test")):
        write_toptagging_h5(tmp_path / f"{part}.h5", toy_jets(60, seed))
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    told = call(sys.executable, "-c", TRAINING, cwd=tmp_path, env=environment).splitlines()
    package, recipe, version, run = told[-4:]
    assert Path(package).is_relative_to(site)
    assert Path(recipe).is_relative_to(site)
    assert version == wheel.name.split("-")[1]
    assert (tmp_path / run / "checkpoints" / "best.pt").is_file()


def test_a_source_that_git_knows_nothing_of_is_built_too(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    for folder in ("src", "configs"):
        (tmp_path / folder).symlink_to(REPOSITORY / folder)
    command = "from hatchling.build import build_wheel; print(build_wheel('dist'))"
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    (tmp_path / "dist").mkdir()
    built = call(sys.executable, "-c", command, cwd=tmp_path, env=environment)
    assert built.split("-")[1] == "0.1.dev0"


def test_the_version_is_that_of_the_installation():
    from importlib.metadata import version

    assert parttag.__version__ == version("parttag")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = parttag.nonsense
