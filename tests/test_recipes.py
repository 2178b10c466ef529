"""The recipes of top tagging, each number restated: a table of the publications and our choices."""

from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from parttag.models import build_model
from parttag.models.layers.batch_norm import PackedBatchNorm
from parttag.runs.config import load_config

FOLDER = Path(__file__).parents[1] / "configs" / "toptagging"


class Recipe(NamedTuple):
    optimizer: str
    lr: float
    weight_decay: float
    schedule: str
    batch_size: int
    epochs: int
    precision: str
    best_by: str
    drop_last: bool


# Of arXiv:2202.03772's repository: train_TopLandscape.sh, all with Ranger, 20 epochs, and the epoch
# of highest accuracy in the validation.
RANGER = Recipe("ranger", 1e-3, 0.0, "flat+decay", 512, 20, "fp32", "accuracy", True)
WIDE = RANGER._replace(lr=2e-2, batch_size=4096)
PART = RANGER._replace(weight_decay=0.01, precision="bf16")
ONE_CYCLE = Recipe("adamw", 3e-3, 1e-4, "one_cycle", 384, 20, "fp32", "accuracy", False)
# Of the authors' code, arXiv:2102.05073.
PCT = Recipe("adam", 1e-3, 0.0, "step", 32, 200, "fp32", "loss", True)

RECIPES = {
    "pcnn": WIDE,
    "pfn": WIDE,
    "particle_net": RANGER._replace(lr=1e-2),
    # Of the paper, arXiv:1902.08570, as recalled.
    "particle_net_original": ONE_CYCLE,
    "particle_net_lite": ONE_CYCLE._replace(lr=5e-3, batch_size=1024),
    "particle_net_finetuned": RANGER._replace(schedule="constant"),
    "particle_transformer": PART,
    # Our choice: the Particle Transformer's.
    "plain_transformer": PART,
    "particle_transformer_finetuned": PART._replace(lr=1e-4, schedule="constant"),
    # Ours altogether, for two CPU cores.
    "particle_transformer_small": Recipe(
        "ranger", 2e-3, 0.01, "flat+decay", 256, 7, "fp32", "accuracy", False
    ),
    "pct": PCT,
    "simple_pct": PCT,
    # The number of epochs of these two is our choice.
    "pfn_original": Recipe("adam", 1e-3, 0.0, "constant", 500, 50, "fp32", "loss", False),
    "jedi_net": Recipe("adam", 1e-4, 0.0, "constant", 64, 50, "fp32", "loss", False),
    "lgn": Recipe("adam", 1e-3, 0.0, "exponential", 8, 100, "fp32", "loss", False),
    "lorentz_net": Recipe(
        "adamw", 1e-3, 0.01, "cosine+restarts", 128, 35, "fp32", "accuracy", True
    ),
    # The original Transformer's training, for as many jets as the Particle Transformer sees.
    "encoder_decoder": PART._replace(
        optimizer="adam", lr=6.99e-4, weight_decay=0.0, schedule="inverse_sqrt"
    ),
    # Of the authors' public configurations, in steps; see STEPS.
    "lgatr": Recipe("lion", 3e-4, 0.2, "cosine", 128, 20, "fp32", "loss", False),
    "lgatr_slim": Recipe("lion", 3e-5, 2.0, "cosine", 128, 20, "fp32", "loss", False),
    "lloca_transformer": Recipe(
        "lion", 3e-5, 2.0, "cosine+restarts", 128, 20, "fp32", "loss", False
    ),
    "lloca_particle_transformer": RANGER._replace(
        weight_decay=0.01, best_by="loss", drop_last=False
    ),
    # Ours altogether: nothing was published.
    "rpcn": Recipe("adam", 1e-3, 0.0, "flat+decay", 512, 20, "fp32", "accuracy", False),
}

RANGER_CONSTANTS = {
    "betas": (0.95, 0.999),
    "eps": 1e-5,
    "lookahead_steps": 6,
    "lookahead_alpha": 0.5,
}
ADAM_CONSTANTS = {"betas": (0.9, 0.999), "eps": 1e-8}
# Of arXiv:1706.03762, section 5.3.
TRANSFORMER_CONSTANTS = {"betas": (0.9, 0.98), "eps": 1e-9}
LION_CONSTANTS = {"betas": (0.9, 0.999)}
# Steps, steps between two validations, and what gradients are clipped to.
STEPS = {
    "lgatr": (200_000, 5_000, 5.0),
    "lgatr_slim": (200_000, 5_000, 1.0),
    "lloca_transformer": (300_000, 5_000, 1.0),
    "lloca_particle_transformer": (48_000, 2_400, 1.0),
}
OWN_SCHEDULES: dict[str, dict[str, Any]] = {
    "lgatr": {"final": 0.0},
    "lgatr_slim": {"final": 0.0},
    "lloca_transformer": {"warmup": 0, "cycles": (500, 500), "halvings": 0},
}
SCHEDULES: dict[str, dict[str, Any]] = {
    "flat+decay": {"decay_fraction": 0.3, "final": 0.01},
    "constant": {},
    "cosine": {"final": 0.01},  # from 1e-3 to 1e-5
    "exponential": {"final": 1e-4},  # towards 1e-7
    # Every 5 million jets, down to 1e-6.
    "step": {"every": 5_000_000 // 32, "factor": 0.7, "floor": 1e-3},
    "inverse_sqrt": {},
    "cosine+restarts": {"warmup": 4, "cycles": (4, 8, 16), "halvings": 3},
    # Of 20 epochs 8 up and 8 down, by a factor of ten, and 4 to 5e-7.
    "one_cycle": {"start": 0.1, "rise": 8 / 20},
}


def test_every_recipe_is_in_the_test():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_the_published_one_or_our_choice(name):
    config = load_config(FOLDER / f"{name}.yaml")
    optimizer, training = config.optimizer, config.training
    recipe = RECIPES[name]
    assert recipe == Recipe(
        optimizer.name,
        optimizer.lr,
        optimizer.weight_decay,
        config.schedule.name,
        training.batch_size,
        training.epochs,
        training.precision,
        training.best_by,
        training.drop_last,
    )
    given = optimizer.model_dump(exclude={"name", "lr", "weight_decay", "lr_multipliers"})
    assert given.pop("amsgrad", False) == (name == "lgn")
    constants = TRANSFORMER_CONSTANTS if name == "encoder_decoder" else ADAM_CONSTANTS
    others = {"ranger": RANGER_CONSTANTS, "lion": LION_CONSTANTS}
    assert given == others.get(recipe.optimizer, constants)
    given = config.schedule.model_dump(exclude={"name"})
    # LorentzNet's schedule has another warm-up.
    warmup_steps = 4000 if recipe.schedule == "inverse_sqrt" else 0
    assert given.pop("warmup_steps", 0) == warmup_steps
    if recipe.schedule == "one_cycle":
        assert recipe.lr * given.pop("final") == pytest.approx(5e-7, rel=1e-4)
    assert given == OWN_SCHEDULES.get(name, SCHEDULES[recipe.schedule])
    # An epoch is one pass, nothing is clipped, and nothing ends the training before its time.
    found = (training.steps, training.steps_per_epoch, training.max_grad_norm)
    assert found == STEPS.get(name, (None, None, None))
    assert training.max_seconds is None


@pytest.mark.parametrize("name", RECIPES)
def test_only_the_fine_tuned_start_from_weights_with_a_head_that_learns_50_times_faster(name):
    init = load_config(FOLDER / f"{name}.yaml").init_from
    if not name.endswith("finetuned"):
        assert init is None
    else:
        assert (init.load, init.lr_multipliers) == ("backbone", {"head.*": 50})
        # Weaver's official weights have the statistics of padded batches: all norms are frozen.
        network = build_model(load_config(FOLDER / f"{name}.yaml").model, "kin", 2)
        norms = [k for k, part in network.named_modules() if isinstance(part, PackedBatchNorm)]
        frozen = [
            k
            for k, _ in network.named_parameters()
            if any(fnmatch(k, pattern) for pattern in init.freeze)
        ]
        assert frozen == [f"{norm}.{part}" for norm in norms for part in ("weight", "bias")]
