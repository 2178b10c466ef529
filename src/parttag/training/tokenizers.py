"""Handing a trained tokenizer on to what reads or predicts its codes."""

from copy import deepcopy
from pathlib import Path

from parttag.errors import InputError
from parttag.models import Tagger
from parttag.models.particle_tokenizer import FrozenTokenizer, TokenizerOptions
from parttag.training.checkpoint import read_checkpoint, weights_file
from parttag.training.transfer import InitOptions

# What does not change the code of a particle.
_IRRELEVANT = {"dropout", "raw_labels"}
_KIND = "particle_tokenizer"


def take_tokenizer(
    model: Tagger, tokenizer_from: str | None, init_from: InitOptions | None
) -> None:
    """Give a network that is about to be trained the tokenizer that it reads or predicts codes of.

    Parameters
    ----------
    model
        The network, with the head of its objective and the weights of ``init_from``.
    tokenizer_from
        Run of the tokenizer.
    init_from
        What else was taken from another run: a tokenizer may have come with it.

    Raises
    ------
    InputError
        If a tokenizer is left as it was made, or would be another than what ``init_from`` brought;
        and as ``load_tokenizer``.
    """
    loaded = () if init_from is None else ("backbone.", "head.")[: 1 + (init_from.load == "all")]
    frozen = frozen_tokenizers(model)
    if tokenizer_from is not None:
        known = {n: deepcopy(m.state_dict()) for n, m in frozen.items() if n.startswith(loaded)}
        load_tokenizer(model, tokenizer_from)
        for name, state in known.items():
            if any(not value.equal(state[n]) for n, value in frozen[name].state_dict().items()):
                raise InputError(
                    f"tokenizer_from: {tokenizer_from} is another tokenizer than that in "
                    "init_from.path, whose codes the network knows; leave tokenizer_from out"
                )
        return
    if any(not name.startswith(loaded) for name in frozen):
        raise InputError(
            "tokenizer_from is missing: this training needs the tokenizer of a run of objective "
            "tokenize; give tokenizer_from=RUN"
        )


def load_tokenizer(model: Tagger, path: str | Path) -> None:
    """Copy the tokenizer of a run into every frozen tokenizer of a network.

    Parameters
    ----------
    model
        The network, with the head of its objective.
    path
        A run directory of ``objective: tokenize``, of which the best checkpoint is read, or a
        checkpoint.

    Raises
    ------
    InputError
        If the network has none, the checkpoint is of no tokenizer, or of one that differs.
    """
    path = weights_file(path)
    frozen = frozen_tokenizers(model)
    if not frozen:
        raise InputError(
            "tokenizer_from is given, but neither the network nor its objective reads tokens; "
            "leave it out"
        )
    content = read_checkpoint(path)
    trained = content["config"].get("model", {})
    if trained.get("name") != _KIND:
        raise InputError(
            f"tokenizer_from: {path} holds the network {trained.get('name', 'of another kind')}, "
            f"no {_KIND}; give a run of objective: tokenize"
        )
    weights = {
        name.removeprefix("backbone."): value
        for name, value in content["weights"].items()
        if name.startswith("backbone.")
    }
    for tokenizer in frozen.values():
        _refuse_other_options(tokenizer.options, trained, path)
        tokenizer.tokenizer.load_state_dict(weights)


def frozen_tokenizers(model: Tagger) -> dict[str, FrozenTokenizer]:
    """Return the tokenizers that a network and its head hold, by their names in it."""
    return {n: m for n, m in model.named_modules() if isinstance(m, FrozenTokenizer)}


def _refuse_other_options(
    options: TokenizerOptions, trained: dict[str, object], path: Path
) -> None:
    for key, field in TokenizerOptions.model_fields.items():
        ours, theirs = getattr(options, key), trained.get(key, field.get_default())
        if key not in _IRRELEVANT and theirs != ours:
            raise InputError(
                f"tokenizer_from: the tokenizer in {path} has {key} {theirs}, the "
                f"configuration's has {ours}; give the options it was trained with"
            )
