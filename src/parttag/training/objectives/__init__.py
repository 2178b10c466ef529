"""Objectives of training, one file each, and their register."""

from parttag.training.objectives.classify import Classify
from parttag.training.objectives.contrastive import Contrastive
from parttag.training.objectives.distill import Distill
from parttag.training.objectives.encoder_decoder import EncodeDecode
from parttag.training.objectives.masked import Masked
from parttag.training.objectives.next_particle import NextParticle
from parttag.training.objectives.objective import BatchSums, Objective, ObjectiveOptions, Truth
from parttag.training.objectives.registry import OBJECTIVES, build_objective, register_objective
from parttag.training.objectives.tasks import Tasks
from parttag.training.objectives.tokenize import Tokenize

__all__ = [
    "OBJECTIVES",
    "BatchSums",
    "Classify",
    "Contrastive",
    "Distill",
    "EncodeDecode",
    "Masked",
    "NextParticle",
    "Objective",
    "ObjectiveOptions",
    "Tasks",
    "Tokenize",
    "Truth",
    "build_objective",
    "register_objective",
]
