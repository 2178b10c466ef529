"""OmniJet-α: a decoder that reads a jet as a sentence, particle by particle (arXiv:2403.05618).

- Tokens: start, one for each particle in order of falling pT, stop. A particle's token is its code
  from a frozen tokenizer (``models/particle_tokenizer.py``) plus 1; start is 0, stop is the last.
- Table of embeddings, one for each token; no positions: the pT in the codes says where one is.
- 3 blocks: causal attention (8 heads; no bias in queries, keys and values) → residual → LN;
  linear (x4) → ReLU → linear → residual → LN. No dropout.
- To classify: linear → ReLU of every token, summed over the tokens of a jet → logits. The tokens
  are all of the sentence, start and stop included, and each still sees only those before it.
- To predict the next particle (``next_particle.py``): one linear layer from each token
  to the logits of the one that follows.

With 8,192 codes the backbone has 4,464,640 parameters besides the tokenizer, the head 66,306 for
two classes; the head of the next particle has 2,105,858.

Our names beside those of the published code: ``embedding`` is embedding_table, ``blocks``
GPT_blocks, ``out`` proj, ``head.particle`` and ``head.jet`` are classification_head_linear_embed
and _class.

The order of the particles is information: that of falling pT, in which the network reads them.

**What a token tells of later particles.** Nothing, with the tokenizer that is the default: each
code is made of one particle alone, its angles measured from the jet's hardest particle, which comes
first. The published tokens tell something: the codes of a tokenizer with layers of attention depend
on all particles of the jet, and the axis of the whole jet (``frame: jet``) on all of them. Both are
refused unless ``allow_leaks`` is set. Jets can be generated either way, as what is learned is the
probability of whole sentences, whatever the tokens mean; but a token that is easy to guess then
shows less of physics, and what is learned from guessing it may be worth less.

References
----------
arXiv:2403.05618; sizes, initialization (torch's) and heads as in the authors' code.
"""

from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from parttag.jets.batch import JetBatch
from parttag.models.particle_tokenizer import FrozenTokenizer, TokenizerOptions
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger
from parttag.ops.attention.causal import KeyValues, attend_causally, attend_next
from parttag.ops.jet_sums import sum_over_rows
from parttag.ops.layout import JetLayout
from parttag.options import Heads

START = 0
"""The token before the first particle."""


class OmniJetOptions(ModelOptions, Heads):
    """Sizes of the decoder and of its tokenizer; the defaults are the published ones."""

    name: Literal["omnijet"] = "omnijet"
    shared_by_heads: ClassVar[str] = "embed_dim"
    tokenizer: TokenizerOptions = TokenizerOptions(num_codes=8192, num_layers=0)
    """What makes tokens of particles; it must be that of the run in ``tokenizer_from``."""
    allow_leaks: bool = False
    """Take tokens that tell of later particles: those of a tokenizer with attention, or about the
    axis of the whole jet, as published."""
    embed_dim: PositiveInt = 256
    """Width of every block."""
    num_heads: PositiveInt = 8
    num_layers: PositiveInt = 3
    feedforward_factor: PositiveInt = 4
    """Width of a block's hidden layer, in units of its own width."""
    max_particles: PositiveInt = 128
    """Particles of highest pT that are used, and the most that are generated."""

    @model_validator(mode="after")
    def _tokens_do_not_leak(self) -> "OmniJetOptions":
        leaks = {
            "num_layers above 0 (each code depends on all particles)": self.tokenizer.num_layers,
            "frame: jet (the axis depends on all particles)": self.tokenizer.frame == "jet",
        }
        for name, leaks_here in leaks.items():
            if leaks_here and not self.allow_leaks:
                raise ValueError(
                    f"tokenizer has {name}, so that tokens tell of later particles; take another, "
                    "or set allow_leaks: true"
                )
        return self


class Sentences(NamedTuple):
    """Tokens of jets, one after the other."""

    tokens: Int64[Tensor, " tokens"]
    layout: JetLayout
    """Where the tokens of each jet lie."""


@register_model("omnijet", paper="arXiv:2403.05618", recipe="pretraining/omnijet.yaml")
class OmniJet(Tagger):
    """OmniJet-α; see the module's documentation."""

    backbone: "Backbone"

    options_class = OmniJetOptions
    reads_features = False

    def __init__(
        self, options: OmniJetOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles: int = options.max_particles
        self.num_tokens = options.tokenizer.num_codes + 2
        self.backbone = Backbone(options, self.num_tokens)
        self.head = SummedTokens(options.embed_dim, num_classes)

    @property
    def stop(self) -> int:
        """The token after the last particle."""
        return self.num_tokens - 1

    def forward(self, batch: JetBatch) -> Float[Tensor, "jets classes"]:
        """Return the logits of every class for every jet."""
        sentences, states = self._read(batch)
        logits: Tensor = self.head(states, sentences.layout)
        return logits

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the sum over the tokens of each jet.

        The published head has a layer before the sum, so that ``forward`` does not go through it.
        """
        sentences, states = self._read(batch)
        return sum_over_rows(states, sentences.layout)

    def _read(self, batch: JetBatch) -> tuple[Sentences, Float[Tensor, "tokens width"]]:
        batch = batch.leading(self.max_particles)
        sentences = self.sentences(self.backbone.tokenizer.codes(batch), batch.lengths)
        return sentences, self.backbone(sentences)

    def sentences(
        self,
        codes: Int64[Tensor, " particles"],
        lengths: Int64[np.ndarray, " jets"],
        *,
        start: bool = True,
        stop: bool = True,
    ) -> Sentences:
        """Return the sentences of jets with these codes, with or without start and stop."""
        extra = start + stop
        # Where the token of each particle lies among those of all jets.
        places = np.arange(len(codes)) + start
        places += extra * np.repeat(np.arange(len(lengths)), lengths)
        ends = np.cumsum(lengths + extra)
        num_tokens = len(codes) + extra * len(lengths)
        tokens = codes.new_full((num_tokens,), START if start else self.stop)
        tokens[_on(codes.device, places)] = codes + 1
        if start and stop:
            tokens[_on(codes.device, ends - 1)] = self.stop
        return Sentences(tokens, JetLayout(lengths + extra, codes.device))


class Backbone(nn.Module):
    """Tokens to states, each of which knows its own token and those before it."""

    def __init__(self, options: OmniJetOptions, num_tokens: int) -> None:
        super().__init__()
        self.tokenizer = FrozenTokenizer(options.tokenizer)
        self.embedding = nn.Embedding(num_tokens, options.embed_dim)
        self.head_shape = (options.num_heads, options.embed_dim // options.num_heads)
        self.blocks = nn.ModuleList(
            Block(options.embed_dim, options.num_heads, options.feedforward_factor)
            for _ in range(options.num_layers)
        )

    def forward(self, sentences: Sentences) -> Float[Tensor, "tokens width"]:
        """Return the state at each token."""
        states: Tensor = self.embedding(sentences.tokens)
        for block in self.blocks:
            states = block(states, sentences.layout)
        return states

    def remember(self, num_jets: int, max_length: int) -> list[KeyValues]:
        """Return an empty memory for ``extend``, of jets with so many tokens at most."""
        like, (heads, width) = self.embedding.weight, self.head_shape
        return [KeyValues(num_jets, max_length, heads, width, like) for _ in self.blocks]

    def extend(
        self, tokens: Int64[Tensor, " jets"], memory: list[KeyValues]
    ) -> Float[Tensor, "jets width"]:
        """Return the state at one more token a jet, which the memory then holds too."""
        states: Tensor = self.embedding(tokens)
        for block, past in zip(self.blocks, memory, strict=True):
            states = block(states, past)
        return states


class Block(nn.Module):
    """Causal attention and a network of each token, each followed by residual and norm."""

    def __init__(self, width: int, num_heads: int, feedforward_factor: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, feedforward_factor * width),
            nn.ReLU(),
            nn.Linear(feedforward_factor * width, width),
        )
        self.feedforward_norm = nn.LayerNorm(width)

    def forward(
        self, states: Float[Tensor, "rows width"], context: JetLayout | KeyValues
    ) -> Float[Tensor, "rows width"]:
        """Return the states after attention to those before them.

        Parameters
        ----------
        context
            Where the states of each jet lie; or, with one more state for each jet, what is
            remembered of those before, which then holds it too.
        """
        shape = (3, self.num_heads, self.out.in_features // self.num_heads)
        heads = self.qkv(states).unflatten(1, shape)
        if isinstance(context, KeyValues):
            attended = attend_next(heads, context)
        else:
            attended = attend_causally(heads, context)
        states = self.attention_norm(states + self.out(attended.flatten(1)))
        normalized: Tensor = self.feedforward_norm(states + self.feedforward(states))
        return normalized


class SummedTokens(nn.Module):
    """The published head for classes: a layer of each token, their sum, the logits."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.particle = nn.Linear(width, width)
        self.jet = nn.Linear(width, num_classes)

    def forward(
        self, states: Float[Tensor, "tokens width"], layout: JetLayout
    ) -> Float[Tensor, "jets classes"]:
        """Return the logits of every class for every jet."""
        logits: Tensor = self.jet(sum_over_rows(F.relu(self.particle(states)), layout))
        return logits


def _on(device: torch.device, values: np.ndarray) -> Int64[Tensor, " values"]:
    return torch.from_numpy(values).to(device, non_blocking=True)
