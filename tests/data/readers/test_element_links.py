"""Which container links are to; keys as Athena's own tests of them have been read from a file."""

from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from parttag.data.readers.element_links import container_of, key_of, persistent_keys
from parttag.data.readers.event_tables import JetsOfEvents, ParticlesOfEvents, Tally
from parttag.data.readers.of_jet import OfJet
from parttag.data.readers.relations import related
from parttag.errors import InputError

TRACKS, CLUSTERS = 0x1D3890DB, 0x15788D1F
KNOWN = {
    "AnalysisMuons": 0x3A6B126F,
    "AnalysisElectrons": 0x3902FEC0,
    "AnalysisPhotons": 0x35D1472F,
    "AnalysisJets": 0x1AFD1919,
    "egammaClusters": CLUSTERS,
    "InDetTrackParticles": TRACKS,
    "HardScatterParticles": 220218330,  # the links of HardScatterVertices in a PHYSLITE file
}


@pytest.mark.parametrize(("name", "key"), KNOWN.items())
def test_key_of_a_known_container(name, key):
    assert key in persistent_keys(name)
    assert key_of(name, [1, key]) == key
    assert all(key_of(name, [other]) is None for other in KNOWN.values() if other != key)


def test_container_of_a_branch():
    assert container_of("InDetTrackParticlesAuxDyn.phi") == "InDetTrackParticles"
    assert container_of("TauTracksAux.pt") == "TauTracks"
    assert container_of("PFCands_pt") is None


def linked(keys, leading="InDetTrackParticlesAuxDyn.phi", **of_jet):
    """Return the rows of the particles of one jet, linked to the first particles of its event."""
    links = ak.Array([[[{"m_persKey": k, "m_persIndex": n} for n, k in enumerate(keys)]]])
    branches = {"Jets.links": links, leading: ak.Array([np.zeros(9)])}
    jets = JetsOfEvents(branches, Path("f.root"), 0, "Jets.links", 9, np.array([1]))
    particles = ParticlesOfEvents(branches, Path("f.root"), 0, leading, 9)
    tally = Tally()
    (chosen,) = related(OfJet(links="Jets.links", **of_jet), jets, [particles], [""], tally)
    return chosen.rows.tolist(), tally.missing


def test_links_to_the_container_of_the_particles():
    assert linked([TRACKS, TRACKS]) == ([0, 1], 0)


def test_links_to_another_container_are_refused():
    with pytest.raises(InputError, match=r"other containers than InDetTrackParticles \(persKey 36"):
        linked([CLUSTERS, CLUSTERS])
    assert linked([CLUSTERS, CLUSTERS], missing="drop") == ([], 2)
    assert linked([CLUSTERS, CLUSTERS], key=CLUSTERS) == ([0, 1], 0)


def test_links_to_several_containers():
    with pytest.raises(InputError, match="refers to a particle that is not among those"):
        linked([TRACKS, CLUSTERS, TRACKS])
    assert linked([TRACKS, CLUSTERS, TRACKS], missing="drop") == ([0, 2], 1)


def test_branches_without_a_container_need_one_key_for_all_links():
    assert linked([7, 7], leading="track_phi") == ([0, 1], 0)
    with pytest.raises(InputError, match=r"several containers \(persKey 7, 8\)"):
        linked([7, 8], leading="track_phi")
    assert linked([7, 8, 0], leading="track_phi", key=8, missing="drop") == ([1], 2)
