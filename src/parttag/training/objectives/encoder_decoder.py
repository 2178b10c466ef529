"""Writing the hidden particles of a jet: what an encoder–decoder is trained for without labels.

A random share of each jet's particles is hidden. The encoder reads the others, as a jet of their
own (``layers/masking.py``); the decoder writes the hidden ones one after the other by falling pT,
each in view of the true ones before it (teacher forcing), and then stops. What it reads and writes
of them is relative to the axis of the visible particles, so that nothing of a hidden particle is
known before its turn.

- ``targets: momenta``: ln pT, Δη and Δφ of the next particle are predicted, and whether there is
  one; the loss is the mean absolute difference of the three plus a binary cross-entropy.
- ``targets: tokens``: particles are codes of a trained tokenizer, and the next code or the end is
  predicted; the loss is the cross-entropy, with label smoothing if asked for. Codes and end are
  embedded by the matrix that also makes the logits, as in arXiv:1706.03762.

Losses and metrics are means over the particles that a jet hides, then over jets. The end counts as
one more in the cross-entropies. A jet of one particle hides none: it is only told to stop. Kinds of
particles without four-momenta are read, never hidden.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from parttag.errors import InputError
from parttag.jets.batch import JetBatch
from parttag.jets.kind_features import have_momenta
from parttag.models import Tagger
from parttag.models.encoder_decoder import EncoderDecoder, embedding
from parttag.models.layers.masking import visible_jets
from parttag.models.particle_tokenizer import (
    NUM_FEATURES,
    FrozenTokenizer,
    TokenizerOptions,
    token_features,
)
from parttag.ops.jet_sums import sum_over_particles
from parttag.training.objectives.masked import draw_hidden
from parttag.training.objectives.objective import BatchSums, Objective, ObjectiveOptions
from parttag.training.objectives.registry import register_objective


class EncodeDecodeOptions(ObjectiveOptions):
    """What is hidden, and as what it is written."""

    name: Literal["encoder_decoder"] = "encoder_decoder"
    share: float = Field(default=0.5, gt=0, lt=1)
    """Share of a jet's particles that is hidden, rounded down; at least one of two or more."""
    targets: Literal["momenta", "tokens"] = "momenta"
    """momenta: features of the particles; tokens: the codes that a tokenizer makes of them."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target's probability that is spread over all tokens; 0.1 in the paper."""
    tokenizer: TokenizerOptions = TokenizerOptions(num_layers=0)
    """Sizes of the tokenizer, for tokens. It must have no layers: a code that tells of other
    particles would tell the decoder of those that it has not written yet. Its frame is that of its
    own training; here particles are seen from the axis of the visible ones, whatever it is."""

    @model_validator(mode="after")
    def _options_fit_the_targets(self) -> "EncodeDecodeOptions":
        if self.targets == "momenta" and self.label_smoothing:
            raise ValueError("label_smoothing is for targets: tokens; leave it out for momenta")
        if self.targets == "tokens" and self.tokenizer.num_layers:
            raise ValueError(
                f"tokenizer.num_layers is {self.tokenizer.num_layers}, but must be 0: codes that "
                "depend on other particles would tell the decoder what it is to write"
            )
        return self


@register_objective("encoder_decoder")
class EncodeDecode(Objective):
    """Sums of the loss, and of what shows that the decoder learns.

    For momenta: ``regression_error`` beside ``mean_error``, that of predicting the batch's mean,
    and ``stop_loss``. For tokens: ``token_accuracy`` beside ``unigram_accuracy``, that of always
    predicting the batch's most frequent code; both of particles, the end left out.
    """

    options_class = EncodeDecodeOptions
    needs_labels = False
    gives_scores = False
    of_momenta = "hides and predicts"

    def __init__(self, options: EncodeDecodeOptions) -> None:
        self.options = options
        self.metric_names = (
            MomentumHead if options.targets == "momenta" else TokenHead
        ).metric_names

    def build_head(self, model: Tagger) -> nn.Module:
        """Return what reads and writes particles, or tokens.

        Raises
        ------
        InputError
            If the network has no decoder.
        """
        if not isinstance(model, EncoderDecoder):
            raise InputError(
                "objective encoder_decoder trains both halves of one network: it needs "
                "model.name: encoder_decoder"
            )
        options, width = self.options, model.encoded_width
        if options.targets == "momenta":
            return MomentumHead(width)
        return TokenHead(width, options.tokenizer, options.label_smoothing)

    def __call__(self, model: Tagger, batch: JetBatch) -> BatchSums:
        """Return the sums over the jets of a batch, of which random particles are hidden."""
        assert isinstance(model, EncoderDecoder)
        head = model.head
        assert isinstance(head, MomentumHead | TokenHead)
        hidden = draw_hidden(batch.lengths, self.options.share, have_momenta(batch))
        visible, written = visible_jets(batch, hidden), batch.keep_particles(hidden)
        features = token_features(written.p4, visible.jet_axis[written.jet_of_particle])
        entries, targets = head.entries(features, written.lengths)
        outputs = model.write(model.read(visible), visible.lengths, entries, written.lengths)
        loss, metrics = head.losses(outputs, targets, written)
        return BatchSums(
            loss=(batch.jet_weights * loss).sum(),
            weight=batch.jet_weights.sum(),
            size=batch.jet_weights.abs().sum(),
            metrics={name: (batch.jet_weights * metrics[name]).sum() for name in self.metric_names},
        )


class MomentumHead(nn.Module):
    """Embeds what was written, predicts the next particle's features and whether there is none."""

    metric_names = ("regression_error", "mean_error", "stop_loss")

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = embedding(NUM_FEATURES, width)
        self.output = nn.Linear(width, NUM_FEATURES + 1)

    def entries(
        self,
        features: Float[Tensor, "written 3"],
        lengths: Int64[np.ndarray, " jets"],  # noqa: ARG002
    ) -> tuple[Float[Tensor, "written width"], Float[Tensor, "written 3"]]:
        """Return what the decoder reads of the hidden particles, and what it is to predict."""
        return self.embedding(features), features

    def losses(
        self,
        outputs: Float[Tensor, "positions width"],
        targets: Float[Tensor, "written 3"],
        written: JetBatch,
    ) -> tuple[Float[Tensor, " jets"], dict[str, Float[Tensor, " jets"]]]:
        """Return the loss and the metrics of each jet."""
        predicted = self.output(outputs).to(targets.dtype)
        before, at_end = _positions(written)
        error = (predicted[before, :NUM_FEATURES] - targets).abs().mean(dim=1)
        # Of no particles the mean is not a number, and nothing is subtracted from it.
        mean_error = (targets.mean(dim=0) - targets).abs().mean(dim=1)
        stop = predicted[:, NUM_FEATURES]
        regression_error = _mean(error, written)
        stop_loss = _mean(F.softplus(stop[before]), written, F.softplus(-stop[at_end]))
        return regression_error + stop_loss, {
            "regression_error": regression_error.detach(),
            "mean_error": _mean(mean_error.detach(), written),
            "stop_loss": stop_loss.detach(),
        }


class TokenHead(nn.Module):
    """Makes codes of particles, embeds them, and predicts the next code or the end.

    Attributes
    ----------
    tokenizer
        Makes codes of particles; trained before, and not changed.
    tokens
        One row a code and one for the end, which embed and, transposed, make logits.
    """

    metric_names = ("token_accuracy", "unigram_accuracy")

    def __init__(self, width: int, options: TokenizerOptions, label_smoothing: float) -> None:
        super().__init__()
        self.tokenizer = FrozenTokenizer(options)
        self.num_codes = options.num_codes
        self.label_smoothing = label_smoothing
        self.tokens = nn.Parameter(torch.empty(self.num_codes + 1, width))
        nn.init.normal_(self.tokens, std=width**-0.5)

    def entries(
        self, features: Float[Tensor, "written 3"], lengths: Int64[np.ndarray, " jets"]
    ) -> tuple[Float[Tensor, "written width"], Int64[Tensor, " written"]]:
        """Return what the decoder reads of the hidden particles, and what it is to predict."""
        codes = self.tokenizer.encode(features, lengths)
        return F.embedding(codes, self.tokens), codes

    def losses(
        self,
        outputs: Float[Tensor, "positions width"],
        targets: Int64[Tensor, " written"],
        written: JetBatch,
    ) -> tuple[Float[Tensor, " jets"], dict[str, Float[Tensor, " jets"]]]:
        """Return the loss and the metrics of each jet."""
        logits = F.linear(outputs, self.tokens).to(written.p4.dtype)
        before, at_end = _positions(written)
        answers = targets.new_full((len(logits),), self.num_codes).index_copy(0, before, targets)
        loss = F.cross_entropy(
            logits, answers, label_smoothing=self.label_smoothing, reduction="none"
        )
        right = logits[before].detach().argmax(dim=1) == targets
        counts = targets.new_zeros(self.num_codes).index_add(0, targets, torch.ones_like(targets))
        return _mean(loss[before], written, loss[at_end]), {
            "token_accuracy": _mean(right, written),
            "unigram_accuracy": _mean(targets == counts.argmax(), written),
        }


def _positions(written: JetBatch) -> tuple[Int64[Tensor, " written"], Int64[Tensor, " jets"]]:
    """Return the decoder's positions before each written particle, and after the last of a jet."""
    jets = torch.arange(len(written), device=written.device)
    at_end = written.offsets[1:] + jets
    rows = torch.arange(len(written.p4), device=written.device)
    return rows + written.jet_of_particle, at_end


def _mean(
    values: Tensor, written: JetBatch, at_end: Float[Tensor, " jets"] | None = None
) -> Float[Tensor, " jets"]:
    """Return the mean over the written particles of a jet, and its end if given; 0 of nothing."""
    total = sum_over_particles(values.to(written.p4.dtype)[:, None], written)[:, 0]
    number = written.offsets.diff()
    if at_end is not None:
        total, number = total + at_end, number + 1
    return total / number.clamp(min=1)
