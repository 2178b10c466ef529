"""The networks, one file each, and their register."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from parttag.jets.features import feature_names
from parttag.models.encoder_decoder import EncoderDecoder, EncoderDecoderOptions
from parttag.models.jedi_net import JEDINet, JEDINetOptions
from parttag.models.jetclr import JetCLR, JetCLROptions
from parttag.models.lgn import LGN, LGNOptions
from parttag.models.lorentz_net import LorentzNet, LorentzNetOptions
from parttag.models.mpm import MPM, MPMOptions
from parttag.models.omnijet import OmniJet, OmniJetOptions
from parttag.models.particle_net import ParticleNet, ParticleNetOptions
from parttag.models.particle_tokenizer import ParticleTokenizer, ParticleTokenizerOptions
from parttag.models.particle_transformer import ParticleTransformer, ParticleTransformerOptions
from parttag.models.pcnn import PCNN, PCNNOptions
from parttag.models.pct import PCT, PCTOptions
from parttag.models.pfn import PFN, PFNOptions
from parttag.models.pfn_original import PFNOriginal, PFNOriginalOptions
from parttag.models.rpcn import RPCN, RPCNOptions
from parttag.models.tagger import ParticleEncoder, Tagger

__all__ = ["MODELS", "ModelEntry", "ModelOptions", "ParticleEncoder", "Tagger", "build_model"]


@dataclass(frozen=True)
class ModelEntry:
    """A network as the register knows it: its class, the paper, the configuration as published."""

    network: type[Tagger]
    paper: str
    recipe: str


MODELS: dict[str, ModelEntry] = {
    "particle_net": ModelEntry(ParticleNet, "arXiv:1902.08570", "toptagging/particle_net.yaml"),
    "lgn": ModelEntry(LGN, "arXiv:2006.04780", "toptagging/lgn.yaml"),
    "lorentz_net": ModelEntry(LorentzNet, "arXiv:2201.08187", "toptagging/lorentz_net.yaml"),
    "mpm": ModelEntry(MPM, "arXiv:2401.13537", "pretraining/mpm.yaml"),
    "omnijet": ModelEntry(OmniJet, "arXiv:2403.05618", "pretraining/omnijet.yaml"),
    "particle_transformer": ModelEntry(
        ParticleTransformer, "arXiv:2202.03772", "toptagging/particle_transformer.yaml"
    ),
    "particle_tokenizer": ModelEntry(
        ParticleTokenizer, "arXiv:2403.05618", "pretraining/tokenizer.yaml"
    ),
    "pct": ModelEntry(PCT, "arXiv:2102.05073", "toptagging/pct.yaml"),
    "pfn": ModelEntry(PFN, "arXiv:1810.05165", "toptagging/pfn.yaml"),
    "pfn_original": ModelEntry(PFNOriginal, "arXiv:1810.05165", "toptagging/pfn_original.yaml"),
    "pcnn": ModelEntry(PCNN, "arXiv:1902.09914", "toptagging/pcnn.yaml"),
    "jedi_net": ModelEntry(JEDINet, "arXiv:1908.05318", "toptagging/jedi_net.yaml"),
    "encoder_decoder": ModelEntry(
        EncoderDecoder, "arXiv:1706.03762", "toptagging/encoder_decoder.yaml"
    ),
    "jetclr": ModelEntry(JetCLR, "arXiv:2108.04253", "pretraining/jetclr.yaml"),
    "rpcn": ModelEntry(RPCN, "arXiv:2107.02908", "toptagging/rpcn.yaml"),
}

ModelOptions = Annotated[
    ParticleTransformerOptions
    | ParticleNetOptions
    | ParticleTokenizerOptions
    | OmniJetOptions
    | PCTOptions
    | LGNOptions
    | LorentzNetOptions
    | MPMOptions
    | PFNOptions
    | PFNOriginalOptions
    | PCNNOptions
    | JEDINetOptions
    | JetCLROptions
    | RPCNOptions
    | EncoderDecoderOptions,
    Field(discriminator="name"),
]
"""The options of any network, told apart by ``name``."""


def build_model(options: ModelOptions, features: str | Sequence[str], num_classes: int) -> Tagger:
    """Return the network that ``options`` name, freshly initialized from torch's random state."""
    network = MODELS[options.name].network
    return network(options, feature_names(features), num_classes)
