"""The encoder of JetCLR: attention among particles that soft and collinear ones cannot change much.

- Inputs of a particle: pT/600 GeV, and η and φ relative to the pT-weighted centroid of the jet.
- Linear to width 1000; no positions, no particle features.
- 4 layers as in the first Transformer: attention of 4 heads → residual → LN; linear (x1) → ReLU →
  linear → residual → LN; dropout 0.1.
- The *continuous mask*: ½ ln pT of a particle is added to every logit by which others attend to
  it. A particle of pT → 0 is attended to with a weight that goes to 0.
- The sum of the particles, each times its pT/600: the representation of the jet.

So a particle without pT changes nothing, and one of small pT little (infrared safety). A collinear
splitting does change the representation, as it changes the mask's weights and the inputs: it is
learned not to matter. Padding does not exist: jets of similar length are attended to together.

As a tagger the representation is followed by one linear layer. For pre-training, ``objective:
contrastive`` puts the published projection head in its place: 26,046,000 parameters with it,
24,044,000 without.

References
----------
arXiv:2108.04253, and the authors' code where the paper leaves something open. There, jets are
centred before they are augmented, and the network sees a moved jet off-centre: ``origin: axis``
with ``augmentations.keep_axis`` does that. With ``origin: centroid`` no translation can change
anything. There, the four layers begin as copies of one; here each has weights of its own.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.models.layers.basic import Dropout
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger
from parttag.ops.jet_sums import pt_centroids, sum_over_particles
from parttag.ops.layout import JetLayout
from parttag.options import Heads


class JetCLROptions(ModelOptions, Heads):
    """Sizes of JetCLR's encoder; the defaults are the published ones.

    The network makes its own inputs from four-momenta: ``features`` must be left out.
    """

    name: Literal["jetclr"] = "jetclr"
    shared_by_heads: ClassVar[str] = "embed_dim"
    embed_dim: PositiveInt = 1000
    """Width of the particles and of the representation."""
    num_heads: PositiveInt = 4
    num_layers: PositiveInt = 4
    feedforward_dim: PositiveInt = 1000
    """Width of a layer's hidden layer."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of attention weights, activations and residuals."""
    pt_scale: PositiveFloat = 600.0
    """GeV that pT is divided by."""
    origin: Literal["centroid", "axis"] = "centroid"
    """What η and φ are relative to: the pT-weighted centroid of the particles that the network is
    given, or the jet's axis in the file."""
    max_particles: PositiveInt | None = 50
    """Particles of highest pT that are used; null for all."""


@register_model("jetclr", paper="arXiv:2108.04253", recipe="pretraining/jetclr.yaml")
class JetCLR(Tagger):
    """JetCLR's encoder and a linear head; see the module's documentation."""

    options_class = JetCLROptions
    reads_features = False

    def __init__(
        self, options: JetCLROptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles = options.max_particles
        self.pt_scale = options.pt_scale
        self.origin = options.origin
        self.backbone = Backbone(options)
        self.head = nn.Linear(options.embed_dim, num_classes)

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the sum of the encoded particles of each jet, weighted by pT."""
        centres = pt_centroids(batch) if self.origin == "centroid" else batch.jet_axis
        p4 = batch.p4[: batch.num_particles]
        centre = centres[batch.jet_of_particle[: len(p4)]]
        pt = kinematics.pt(p4) / self.pt_scale
        delta_eta = kinematics.eta(p4) - centre[:, 0]
        delta_phi = kinematics.delta_phi(kinematics.phi(p4), centre[:, 1])
        inputs = torch.stack([pt, delta_eta, delta_phi], dim=1)
        layout = JetLayout(batch.lengths, batch.device)
        particles = self.backbone(inputs, continuous_mask(pt, batch), layout)
        return sum_over_particles(pt[:, None] * particles, batch)


def continuous_mask(
    pt: Float[Tensor, " particles"], batch: JetBatch
) -> Float[Tensor, " particles"]:
    """Return ½ ln pT of every particle, −∞ at pT = 0.

    If no particle of a jet has any pT, it is 0 for all of them: a softmax needs one that is finite.
    Their sum, weighted by pT, is 0 in any case.
    """
    total = sum_over_particles(pt[:, None], batch)[:, 0]
    total_of_particle = total[batch.jet_of_particle[: len(pt)]]
    finite = 0.5 * pt.clamp(min=torch.finfo(pt.dtype).tiny).log()
    mask = torch.where(pt > 0, finite, -torch.inf)
    return torch.where(total_of_particle > 0, mask, 0)


class Backbone(nn.Module):
    """Particles to particles: the embedding and the layers."""

    def __init__(self, options: JetCLROptions) -> None:
        super().__init__()
        width = options.embed_dim
        self.embedding = nn.Linear(3, width)
        self.layers = nn.ModuleList(
            EncoderLayer(width, options.num_heads, options.feedforward_dim, options.dropout)
            for _ in range(options.num_layers)
        )

    def forward(
        self,
        inputs: Float[Tensor, "particles 3"],
        mask: Float[Tensor, " particles"],
        layout: JetLayout,
    ) -> Float[Tensor, "particles width"]:
        """Return the particles, each of which has attended to those of its jet."""
        key_biases = tuple(
            values[..., 0].masked_fill(group.key_is_padding, -torch.inf)[:, None, None]
            for group, values in zip(layout.groups, layout.spread(mask[:, None]), strict=True)
        )
        x: Tensor = self.embedding(inputs)
        for layer in self.layers:
            x = layer(x, key_biases, layout)
        return x


class EncoderLayer(nn.Module):
    """A Transformer's encoder layer whose norms come after the residuals."""

    def __init__(self, width: int, num_heads: int, feedforward_dim: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_dropout = dropout
        self.dropout = Dropout(dropout)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, feedforward_dim),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(feedforward_dim, width),
            Dropout(dropout),
        )
        self.feedforward_norm = nn.LayerNorm(width)
        nn.init.xavier_uniform_(self.qkv.weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(
        self,
        x: Float[Tensor, "particles width"],
        key_biases: tuple[Float[Tensor, "_jets 1 1 _length"], ...],
        layout: JetLayout,
    ) -> Float[Tensor, "particles width"]:
        """Return the particles; ``key_biases`` are added to the logits, those of a group each."""
        qkv = self.qkv(x)
        if layout.groups:
            parts = zip(layout.spread(qkv), key_biases, strict=True)
            attended = layout.gather([self._attend(*part) for part in parts])
        else:  # a rank without particles: none, with a gradient
            attended = qkv[:, : x.shape[1]]
        x = self.attention_norm(x + self.dropout(self.out(attended)))
        normalized: Tensor = self.feedforward_norm(x + self.feedforward(x))
        return normalized

    def _attend(
        self,
        qkv: Float[Tensor, "jets length three_widths"],
        key_bias: Float[Tensor, "jets 1 1 length"],
    ) -> Float[Tensor, "jets length width"]:
        # (B, N, 3·D) → 3 of (B, H, N, D/H)
        q, k, v = qkv.unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        dropout = self.attention_dropout if self.training else 0.0
        output = F.scaled_dot_product_attention(q, k, v, key_bias.to(q.dtype), dropout)
        return output.transpose(1, 2).flatten(2)
