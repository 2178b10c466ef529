import numpy as np
import pytest
import uproot
from pydantic import ValidationError

from parttag.data.writers.jetclass import read_provenance
from parttag.samples.simulation.shards import Shard, make_shard, plan_shards
from parttag.samples.simulation.toptagging import TopTagging, TopTaggingOptions

SAMPLE = TopTagging(TopTaggingOptions(num_jets=20, windows="demonstration", batch_size=50))


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """Return the path of a shard of 120 jets."""
    out = tmp_path_factory.mktemp("simulation")
    make_shard(SAMPLE, out, Shard(7, "train/seven.root", {"label_top": 60, "label_QCD": 60}))
    return out / "train/seven.root"


@pytest.fixture(scope="module")
def tree(shard):
    with uproot.open(shard) as file:
        return file["tree"].arrays()


@pytest.mark.parametrize("num_jets", [20, 999, 20_001, 50_000])
def test_a_tenth_is_held_out_for_validation_and_for_test(num_jets):
    shards = plan_shards(TopTagging(TopTaggingOptions(num_jets=num_jets)))
    sizes = {
        split: sum(
            sum(shard.jets.values()) for shard in shards if shard.path.startswith(f"{split}/")
        )
        for split in ("train", "val", "test")
    }
    assert sum(sizes.values()) == num_jets
    assert sizes["val"] == sizes["test"] == num_jets // 10


def test_shards_have_numbers_paths_and_seeds_of_their_own():
    shards = plan_shards(TopTagging(TopTaggingOptions(num_jets=50_001)))
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert len({shard.path for shard in shards}) == len(shards)
    sizes = [sum(shard.jets.values()) for shard in shards if shard.path.startswith("train")]
    assert max(sizes) <= 2000
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "wrong", [{"num_jets": 19}, {"seed": -1}, {"seed": 9000}, {"windows": "wide"}, {"jets": 3}]
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        TopTaggingOptions(**{"num_jets": 100, **wrong})


def test_half_of_the_jets_are_tops_in_shuffled_order(tree):
    top = tree.label_top.to_numpy()
    assert top.sum() == 60
    assert np.array_equal(top, ~tree.label_QCD.to_numpy())
    assert np.diff(top.astype(int)).any()
    assert 10 < top[:60].sum() < 50


def test_jets_pass_the_reference_selection(tree):
    assert (tree.jet_pt > 550).to_numpy().all()
    assert (tree.jet_pt < 650).to_numpy().all()
    assert (abs(tree.jet_eta) < 2).to_numpy().all()
    assert tree.jet_nparticles.to_numpy().max() <= 200


def test_particles_are_massless_in_order_of_pt_and_add_up_to_the_jet(tree):
    for jet in tree:
        px, py, pz, energy = (
            jet[f"part_{axis}"].to_numpy() for axis in ("px", "py", "pz", "energy")
        )
        assert energy == pytest.approx(np.sqrt(px**2 + py**2 + pz**2), rel=1e-6)
        assert (np.diff(np.hypot(px, py)) <= 1e-3).all()
        assert np.hypot(px.sum(), py.sum()) == pytest.approx(jet.jet_pt, rel=1e-5)


def test_top_jets_have_the_mass_of_the_top_and_more_particles(tree):
    momentum2 = (tree.jet_pt * np.cosh(tree.jet_eta)) ** 2
    mass = np.sqrt(np.maximum(tree.jet_energy.to_numpy() ** 2 - momentum2.to_numpy(), 0))
    top = tree.label_top.to_numpy()
    assert 165 < np.median(mass[top]) < 182
    assert np.median(mass[~top]) < 120
    lengths = tree.jet_nparticles.to_numpy()
    assert lengths[top].mean() > lengths[~top].mean() + 5


def test_a_shard_tells_how_it_was_made(shard):
    provenance = read_provenance(shard)
    assert "not comparable with published tables" in provenance["statement"]
    assert provenance["detector"] == "ATLAS, Delphes 3.3.2"
    assert provenance["options"]["batch_size"] == 50
    assert "PartonLevel:MPI=off" in provenance["pythia"]["label_QCD"]
    assert "Top:gg2ttbar=on" in provenance["pythia"]["label_top"]
    assert provenance["shard"]["jets"] == {"label_top": 60, "label_QCD": 60}
    assert provenance["shard"]["seeds"] == {"label_top": 15, "label_QCD": 16}
    assert provenance["shard"]["events"]["label_QCD"] % 50 == 0


def test_the_same_shard_comes_out_again_and_another_number_gives_other_jets(tmp_path):
    hashes = []
    for name, number in (("a", 0), ("b", 0), ("c", 1)):
        make_shard(
            SAMPLE, tmp_path, Shard(number, f"{name}.root", {"label_top": 2, "label_QCD": 2})
        )
        hashes.append(read_provenance(tmp_path / f"{name}.root")["shard"]["sha256"])
    assert hashes[0] == hashes[1] != hashes[2]
