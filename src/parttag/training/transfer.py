"""Starting from weights that another run has trained."""

from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat

from parttag.errors import InputError
from parttag.models import Tagger
from parttag.options import Options
from parttag.training.checkpoint import BEST, read_checkpoint, refuse_other_shapes


class InitOptions(Options):
    """Where the first weights come from, and how fast the new ones learn."""

    path: str
    """A run directory, of which the best checkpoint is read, or a checkpoint."""
    load: Literal["backbone", "all"] = "backbone"
    """Load the backbone and start with a fresh head, or load both."""
    head_lr_multiplier: PositiveFloat = 1.0
    """The head learns so many times faster than the backbone."""


def load_initial_weights(model: Tagger, options: InitOptions) -> None:
    """Copy the weights that ``options`` name into the network.

    Raises
    ------
    InputError
        If there are none, or they are of another network or other features.
    """
    path = Path(options.path)
    if path.is_dir():
        path = path / "checkpoints" / BEST
    content = read_checkpoint(path)
    if content["features"] != list(model.feature_names):
        raise InputError(
            f"init_from.path: {path} was trained on the features "
            f"{', '.join(content['features'])}, this configuration has "
            f"{', '.join(model.feature_names)}; give the same features"
        )
    own = model.state_dict()
    weights = {k: v for k, v in own.items() if _is_fresh(k, options.load)}
    weights |= {k: v for k, v in content["weights"].items() if not _is_fresh(k, options.load)}
    refuse_other_shapes(model, weights, path)
    model.load_state_dict(weights)


def _is_fresh(name: str, load: Literal["backbone", "all"]) -> bool:
    """Return whether an entry of a network's state is not taken from another run.

    That is the head, unless all is loaded, and what modules count for themselves during a training.
    """
    return name.endswith("_extra_state") or (load == "backbone" and name.startswith("head."))
