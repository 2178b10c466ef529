"""The networks, one file each, and their register."""

from parttag.models.encoder_decoder import EncoderDecoder
from parttag.models.jedi_net import JEDINet
from parttag.models.jetclr import JetCLR
from parttag.models.lgatr import LGATr
from parttag.models.lgatr_slim import LGATrSlim
from parttag.models.lgn import LGN
from parttag.models.lloca_particle_transformer import LLoCaParticleTransformer
from parttag.models.lloca_transformer import LLoCaTransformer
from parttag.models.lorentz_net import LorentzNet
from parttag.models.mpm import MPM
from parttag.models.omnijet import OmniJet
from parttag.models.particle_net import ParticleNet
from parttag.models.particle_tokenizer import ParticleTokenizer
from parttag.models.particle_transformer import ParticleTransformer
from parttag.models.pcnn import PCNN
from parttag.models.pct import PCT
from parttag.models.pfn import PFN
from parttag.models.pfn_original import PFNOriginal
from parttag.models.registry import MODELS, ModelEntry, build_model, register_model
from parttag.models.rpcn import RPCN
from parttag.models.tagger import ModelOptions, ParticleEncoder, Tagger

__all__ = [
    "LGN",
    "MODELS",
    "MPM",
    "PCNN",
    "PCT",
    "PFN",
    "RPCN",
    "EncoderDecoder",
    "JEDINet",
    "JetCLR",
    "LGATr",
    "LGATrSlim",
    "LLoCaParticleTransformer",
    "LLoCaTransformer",
    "LorentzNet",
    "ModelEntry",
    "ModelOptions",
    "OmniJet",
    "PFNOriginal",
    "ParticleEncoder",
    "ParticleNet",
    "ParticleTokenizer",
    "ParticleTransformer",
    "Tagger",
    "build_model",
    "register_model",
]
