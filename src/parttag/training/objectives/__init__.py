"""What a network is trained for."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from parttag.models import Tagger
from parttag.training.objectives.classify import Classify, ClassifyOptions
from parttag.training.objectives.contrastive import Contrastive, ContrastiveOptions
from parttag.training.objectives.encoder_decoder import EncodeDecode, EncodeDecodeOptions
from parttag.training.objectives.masked import Masked, MaskedOptions
from parttag.training.objectives.next_particle import NextParticle, NextParticleOptions
from parttag.training.objectives.objective import BatchSums, Objective
from parttag.training.objectives.tokenize import Tokenize, TokenizeOptions

__all__ = ["BatchSums", "Objective", "ObjectiveOptions", "build_objective"]

ObjectiveOptions = Annotated[
    ClassifyOptions
    | ContrastiveOptions
    | EncodeDecodeOptions
    | MaskedOptions
    | NextParticleOptions
    | TokenizeOptions,
    Field(discriminator="name"),
]
"""The options of any objective, told apart by ``name``."""

_OBJECTIVES: dict[str, Callable[[Any, Tagger], Objective]] = {
    "classify": lambda _options, _model: Classify(),
    "contrastive": Contrastive,
    "masked": Masked,
    "next_particle": NextParticle,
    "tokenize": Tokenize,
    "encoder_decoder": EncodeDecode,
}


def build_objective(options: ObjectiveOptions, model: Tagger) -> Objective:
    """Return the objective that ``options`` name, for a network whose head it may replace.

    Raises
    ------
    InputError
        If the network cannot be trained for it.
    """
    return _OBJECTIVES[options.name](options, model)
