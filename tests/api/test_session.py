"""A session in a notebook: what the README shows, from files to numbers and pictures."""

import json
import shutil

import numpy as np
import pytest
import uproot
import vector
from matplotlib.figure import Figure

import parttag as pt
from parttag.api.runs import configure
from parttag.errors import InputError


def same_scores(one: pt.Scores, other: pt.Scores) -> None:
    for name, values in one.columns().items():
        if name.startswith("logit_"):
            np.testing.assert_allclose(values, other.columns()[name], rtol=0, atol=1e-5)


def test_files_are_read_as_jets(files):
    jets = pt.read(files["test"])
    assert len(jets) == 80
    assert repr(jets).startswith("JetArrays: 80 jets")
    np.testing.assert_allclose(jets.pt, np.hypot(jets.jet_p4[:, 0], jets.jet_p4[:, 1]), rtol=1e-6)
    assert jets["charge"].shape == (int(jets.lengths.sum()),)


def test_cuts_leave_jets_out(files):
    jets = pt.read(files["test"])
    middle = float(np.median(jets.pt))
    assert 0 < len(pt.read(files["test"], cuts={"jet_pt": {"max": middle}})) < len(jets)
    assert len(pt.read([files["test"], files["val"]])) == 140


def test_a_run_says_what_it_is(run):
    assert f"Run {run.directory}: pfn (" in repr(run)
    assert "top, QCD | epoch " in repr(run)
    again = pt.load(run.directory)
    assert repr(again) == repr(run)
    assert again._repr_html_().startswith("<table>")


def test_files_arrays_and_awkward_records_have_the_same_scores(run, files):
    jets = pt.read(files["test"])
    of_files = run.predict(files["test"], keep=["jet_pt", "label_top"])
    assert len(of_files) == 80
    assert list(of_files.to_pandas()["label_top"]) == list(jets["label_top"])
    same_scores(run.predict(jets), of_files)
    records = jets.to_awkward()
    same_scores(run.predict(records), of_files)
    assert of_files.to_awkward().score_top.tolist() == of_files.columns()["score_top"].tolist()


def test_a_run_is_called_on_records_inside_an_analysis(run, files):
    """Jets of events, with the coordinates and names of coffea; an empty jet has no score."""
    vector.register_awkward()
    jets = pt.read(files["test"])
    expected = run.predict(jets).columns()["score_top"]
    particles = jets.to_awkward().particles
    polar = pt_eta_phi_mass(particles)
    flat = run(polar)
    np.testing.assert_allclose(flat.score_top, expected, atol=1e-5)
    counts = np.array([3, 0, 77])
    nested = run(unflatten(polar, counts))
    assert [len(event) for event in nested.score_top] == counts.tolist()
    np.testing.assert_allclose(flatten(nested.score_top), flat.score_top, atol=1e-6)


def pt_eta_phi_mass(particles):
    import awkward as ak

    return ak.zip(
        {name: getattr(particles, name) for name in ("pt", "eta", "phi", "mass")},
        with_name="PtEtaPhiMCandidate",
    )


def unflatten(values, counts):
    import awkward as ak

    return ak.unflatten(values, counts)


def flatten(values):
    import awkward as ak

    return ak.flatten(values)


def test_a_coffea_processor_scores_the_jets_of_its_events(run, files):
    processor = pytest.importorskip("coffea.processor")
    import awkward as ak

    class Tag(processor.ProcessorABC):
        def process(self, events):
            records = ak.zip(
                {
                    "px": events.part_px,
                    "py": events.part_py,
                    "pz": events.part_pz,
                    "energy": events.part_energy,
                }
            )
            return {"top": run(records).score_top.to_list(), "jets": len(events)}

        def postprocess(self, accumulator):
            return accumulator

    from coffea.nanoevents import BaseSchema

    runner = processor.Runner(
        executor=processor.IterativeExecutor(status=False), schema=BaseSchema, savemetrics=False
    )
    found = runner({"toys": {"files": {str(files["test"]): "tree"}}}, Tag())
    with uproot.open(files["test"]) as file:
        assert found["jets"] == file["tree"].num_entries
    np.testing.assert_allclose(
        found["top"], run.predict(files["test"]).columns()["score_top"], atol=1e-5
    )


def test_an_evaluation_is_numbers_pictures_and_files(run, files, tmp_path):
    report = run.evaluate(files["test"], working_points=[0.3, 0.5, 0.7], background="QCD")
    assert set(report.rejection["top"]) == {0.3, 0.5, 0.7}
    assert report.num_jets == {"top": 40, "QCD": 40}
    assert "1/ε_B at ε_S = 0.7" in repr(report)
    axes = Figure().subplots()
    assert report.plot.roc(ax=axes) is axes
    assert axes.lines
    report.save(tmp_path / "out", formats=["pdf", "png"])
    assert (tmp_path / "out" / "roc.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "out" / "scores.png").read_bytes().startswith(b"\x89PNG")
    again = pt.Report.from_json(tmp_path / "out" / "metrics.json")
    assert again.auc == report.auc
    with pytest.raises(InputError, match="add overwrite=True"):
        report.save(tmp_path / "out")


def test_jets_in_memory_are_measured_like_their_file(run, files):
    assert run.evaluate(pt.read(files["test"])).auc == run.evaluate(files["test"]).auc


def test_nothing_is_written_that_was_not_asked_for(run, files):
    before = sorted(run.directory.rglob("*"))
    run.evaluate(files["test"])
    run.predict(files["test"])
    assert sorted(run.directory.rglob("*")) == before


def test_runs_stand_side_by_side(run, files, tmp_path):
    found = pt.compare({"one": run, "other": run}, files["test"])
    lines = found.table().splitlines()
    assert lines[0].split()[:4] == ["run", "parameters", "accuracy", "AUC"]
    assert lines[1].replace("one  ", "other") == lines[2]
    assert found._repr_html_().split("</table>")[0].count("<tr>") == 3
    bare = tmp_path / "bare"  # other tests may have evaluated the shared one
    shutil.copytree(run.directory, bare, ignore=shutil.ignore_patterns("evaluation"))
    with pytest.raises(InputError, match="was not evaluated yet: give data"):
        pt.compare([pt.load(bare)])


def test_a_network_takes_a_batch(run, files):
    jets = pt.read(files["test"])
    logits = run.model(pt.batch(jets)).detach().numpy()
    np.testing.assert_allclose(
        logits[:, 0], run.predict(jets).columns()["logit_top"], rtol=1e-4, atol=1e-5
    )


def test_a_store_is_made_opened_and_scored(run, files, tmp_path):
    made = pt.prepare(files["test"], tmp_path / "store", shuffle=False, processes=1)
    store = pt.open_store(made.store)
    assert len(store) == 80
    same_scores(run.predict(tmp_path / "store"), run.predict(files["test"]))


def test_samples_are_inspected_and_compared(files):
    found = pt.inspect(files["test"])
    assert found.num_jets == 80
    both = pt.compare_samples(files["test"], files["val"])
    assert {one.label for one in both.by_label} >= {"label_top", "label_QCD"}
    assert both.num_common == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda run: pt.load("nowhere"), "nowhere is not a run"),
        (lambda run: pt.read("missing.root"), "missing.root: there is no such file"),
        (lambda run: pt.train({"data": {}}), "model: a value is missing"),
        (lambda run: pt.train("toptagging/pfm"), "toptagging/pfn"),
        (lambda run: run.evaluate("missing.h5"), "missing.h5: there is no such file"),
    ],
)
def test_a_mistake_is_one_sentence(run, call, message):
    with pytest.raises(InputError, match=message) as caught:
        call(run)
    assert "--" not in str(caught.value)


def test_the_benchmark_is_a_function_whatever_was_imported_before(run):
    import parttag.benchmarks.run

    assert parttag.benchmarks.run
    assert callable(pt.benchmark)
    with pytest.raises(InputError, match="no shipped recipe of this name"):
        pt.benchmark("benchmarks/smoky")


def test_options_may_be_nested_and_lose_nothing(files):
    config = configure("toptagging/pfn", {"training": {"batch_size": 32}, "training.epochs": 2})
    assert (config.training.batch_size, config.training.epochs) == (32, 2)
    assert config.training.drop_last == configure("toptagging/pfn", {}).training.drop_last


def test_a_run_says_which_epoch_its_weights_are_of(run):
    lines = (run.directory / "metrics.jsonl").read_text().splitlines()
    epochs = [json.loads(line) for line in lines]
    best = max(epochs, key=lambda epoch: epoch["val_accuracy"])
    assert f"epoch {best['epoch']}/2, val accuracy {best['val_accuracy']:.3f}" in repr(run)
    last = pt.load(run.directory, "last")
    assert f"epoch 2/2, val accuracy {epochs[-1]['val_accuracy']:.3f}" in repr(last)


def test_jets_are_chosen_by_masks_slices_and_rows(files):
    jets = pt.read(files["test"])
    hard = jets[jets.pt > np.median(jets.pt)]
    assert len(hard) == 40
    assert hard.pt.min() > np.median(jets.pt)
    assert jets[:3].pt.tolist() == jets[np.arange(3)].pt.tolist() == jets.pt[:3].tolist()


def test_awkward_jets_have_the_behavior_of_vector(files):
    jets = pt.read(files["test"])
    np.testing.assert_allclose(jets.to_awkward().jet.pt, jets.pt, rtol=1e-5)


def test_scores_are_written_with_branches_of_their_files(run, files, tmp_path):
    scores = run.predict(files["test"])
    scores.write(tmp_path / "scores.root", keep=["label_top", "jet_nparticles"])
    with uproot.open(tmp_path / "scores.root") as file, uproot.open(files["test"]) as source:
        ours, theirs = file["scores"], source["tree"]
        for name in ("label_top", "jet_nparticles"):
            assert ours[name].array().to_list() == theirs[name].array().to_list()
    with pytest.raises(InputError, match="not read from any"):
        run.predict(pt.read(files["test"])).write(tmp_path / "b.root", keep="label_top")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pt.read(()), "no file is named"),
        (lambda: pt.compare({"a": "nowhere"}), "nowhere is not a run"),
        (lambda: pt.compare(["nowhere"]), "nowhere is not a run"),
    ],
)
def test_what_is_no_jets_or_run_is_one_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()
