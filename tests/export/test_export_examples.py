"""The examples of docs/how_to/export.md, run as they stand."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from helpers.files import write_jetclass_root
from helpers.untrained import small_run
from parttag import cli
from parttag.testing import toy_jets

DOC = (Path(__file__).parents[2] / "docs" / "how_to" / "export.md").read_text(encoding="utf-8")
ALONE, COFFEA_RUN, COFFEA_MODEL = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
(PREDICT,) = re.findall(r"```\n(parttag predict .*?)\n```", DOC)
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["parttag"] = None
{code}
np.save("scores.npy", scores)
"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    run = small_run("particle_transformer", folder / "runs" / "first", features="kin")
    run.export(folder / "exported" / "raw" / "model.onnx", inputs="raw")
    write_jetclass_root(folder / "jets.root", toy_jets(40, seed=2))
    return folder, run.predict(folder / "jets.root").columns()["score_top"]


def test_onnxruntime_alone(workplace):
    folder, expected = workplace
    code = WITHOUT_TORCH.format(code=ALONE)
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    scores = np.load(folder / "scores.npy")
    np.testing.assert_allclose(scores[:, 0], expected, rtol=0, atol=1e-5)


def test_coffea_with_the_run_and_with_the_model(workplace, monkeypatch):
    pytest.importorskip("coffea.processor")
    folder, expected = workplace
    monkeypatch.chdir(folder)
    variables = {}
    exec(COFFEA_RUN + COFFEA_MODEL, variables)
    for name in ("with_the_run", "with_the_model"):
        np.testing.assert_allclose(variables[name]["top"], expected, rtol=0, atol=1e-5)


def write_nano(path):
    """Write two jets in each of three events, as NanoAOD has them."""
    jets = toy_jets(6, seed=9)
    flat = jets.to_awkward()
    particles = flat.particles
    counts = ak.num(particles)
    per_event = [int(counts[2 * n] + counts[2 * n + 1]) for n in range(3)]

    def by_event(values, lengths):
        return ak.unflatten(np.asarray(values), lengths)

    def of_particles(name):
        return by_event(ak.to_numpy(ak.flatten(getattr(particles, name))).astype("f4"), per_event)

    jet_index = np.concatenate([np.full(n, number % 2) for number, n in enumerate(counts)])
    candidate = np.concatenate([np.arange(n) for n in per_event])
    with uproot.recreate(path) as file:
        tables = {
            "FatJet": ak.zip(
                {
                    name: by_event(ak.to_numpy(getattr(flat.jet, name)).astype("f4"), [2] * 3)
                    for name in ("pt", "eta", "phi", "mass")
                }
            ),
            "PFCand": ak.zip(
                {
                    **{name: of_particles(name) for name in ("pt", "eta", "phi", "mass")},
                    "pdgId": by_event(np.full(len(jet_index), 211, np.int32), per_event),
                }
            ),
            "FatJetPFCand": ak.zip(
                {
                    "jetIdx": by_event(jet_index.astype(np.int32), per_event),
                    "pfCandIdx": by_event(candidate.astype(np.int32), per_event),
                }
            ),
        }
        file.mktree("Events", {name: table.type for name, table in tables.items()})
        file["Events"].extend(tables)
    return jets


def test_predict_scores_the_jets_of_nanoaod_files(workplace, monkeypatch):
    import parttag as pt

    folder, _ = workplace
    monkeypatch.chdir(folder)
    jets = write_nano(Path("nano.root"))
    Path("nano.yaml").write_text("columns: {layout: nanoaod_v15_fatjet}\n")
    cli.app(shlex.split(PREDICT)[1:], standalone_mode=False)
    scores = uproot.open("scores.root")["scores"].arrays(library="np")
    assert list(zip(scores["event"], scores["jet"], strict=True)) == [
        (event, jet) for event in range(3) for jet in range(2)
    ]
    expected = pt.load("runs/first").predict(jets).columns()["score_top"]
    # The file has pT, η, φ and mass in float32: pairs of massless particles have another rounding.
    np.testing.assert_allclose(scores["score_top"], expected, rtol=0, atol=1e-2)
