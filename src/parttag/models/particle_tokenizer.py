"""Particle tokenizer: each particle becomes one of a few hundred or thousand codes (a VQ-VAE).

- Features of a particle: ln pT − 1.8, 3Δη, 3Δφ, relative to the axis of the jet's *frame*.
- Encoder: dense network, NormFormer layers over the jet, LN, dense network to a short latent.
- Quantizer: the latent becomes the nearest of ``num_codes`` codes (``layers/vector_quantizer.py``).
- Decoder: the mirror image, back to the three features; the particle is taken to be massless.

Without layers (``num_layers: 0``) a particle's code is a function of its own features and of the
frame's axis. With them the codes are *contextual*: they also tell of the other particles of the
jet, so that they may be what a network predicts, but not what it reads while others are hidden.

The frame: ``hardest``, the axis of the hardest particle, which a decoder that writes particles by
falling pT knows from the first; or ``jet``, as published, whose axis tells of every particle.

The default sizes are those of the published code of arXiv:2403.05618, the layers those of
arXiv:2401.13537, whose own tokenizer has width 128, dense networks of 256, 3 layers, 16 heads and
latents of 16, and (``output_norm: false``) no norm in its output networks. ``architecture:
omnijet`` has the layers of arXiv:2403.05618 (``layers/omnijet_coder.py``; 800,775 parameters, and
870,407 with the others), ``codebook: gradients`` the codebook of both.
The published codes leave out particles beyond 0.8 of the axis in η or φ (arXiv:2403.05618), or move
them there (arXiv:2401.13537); here particles are coded wherever they are.

References
----------
arXiv:2403.05618 (OmniJet-α), arXiv:2401.13537 (masked particle modelling).
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from parttag.jets import kinematics
from parttag.jets.batch import JetBatch
from parttag.models.layers.gradient_quantizer import GradientQuantizer
from parttag.models.layers.normformer import NormFormer, dense_network, layout_for
from parttag.models.layers.omnijet_coder import OmniJetCoder
from parttag.models.layers.vector_quantizer import VectorQuantizer
from parttag.models.registry import register_model
from parttag.models.tagger import ModelOptions, Tagger
from parttag.ops.jet_sums import mean_over_particles
from parttag.ops.layout import JetLayout
from parttag.options import Heads

Frame = Literal["hardest", "jet"]

NUM_FEATURES = 3
_LOG_PT_CENTRE, _ANGLE_SCALE = 1.8, 3.0
# Far beyond the particles of any jet: 0.3 MeV to 130 TeV, and 3.3 in η. A particle along the beam
# would otherwise outweigh a million others.
_CLIP = 10.0


class TokenizerOptions(Heads):
    """Sizes of a tokenizer, and the frame that its particles are seen in."""

    frame: Frame = "hardest"
    """What Δη and Δφ are relative to: hardest, the jet's hardest particle; jet, the jet's axis."""
    num_codes: int = Field(default=512, ge=2)
    """Codes that a particle can become."""
    latent_dim: PositiveInt = 4
    """Width of a code's vector."""
    width: PositiveInt = 128
    """Width of the layers."""
    hidden_dim: PositiveInt = 128
    """Width of the hidden layer of every dense network."""
    num_layers: int = Field(default=4, ge=0)
    """Layers of the encoder, and of the decoder; with 0 each particle is coded on its own."""
    num_heads: PositiveInt = 8
    """Attention heads of a layer."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of attention weights."""
    architecture: Literal["normformer", "omnijet"] = "normformer"
    """Layers of masked particle modelling's code (normformer) or of OmniJet-α's."""
    output_norm: bool = True
    """Whether the output networks have a norm, which those of masked particle modelling's code have
    not; of no meaning for omnijet, whose outputs are linear."""
    codebook: Literal["means", "gradients"] = "means"
    """What moves the codes: running means of their vectors, or gradients, as published."""
    raw_labels: bool = False
    """Take for a particle's code the one nearest to its vector without the affine transform of the
    codebook, as the labels of masked particle modelling's code are; for codebook: gradients."""

    @model_validator(mode="after")
    def _raw_labels_have_another_table(self) -> "TokenizerOptions":
        if self.raw_labels and self.codebook != "gradients":
            raise ValueError("raw_labels needs codebook: gradients, which has the affine transform")
        return self


class ParticleTokenizerOptions(TokenizerOptions, ModelOptions):
    """A tokenizer as a network to train."""

    name: Literal["particle_tokenizer"] = "particle_tokenizer"
    max_particles: PositiveInt | None = 128
    """Particles of highest pT that are used; null for all."""


def token_features(
    p4: Float[Tensor, "particles 4"], axis: Float[Tensor, "particles 2"]
) -> Float[Tensor, "particles 3"]:
    """Return ln pT − 1.8 (pT in GeV), 3Δη and 3Δφ of particles, clipped to ±10.

    ``axis`` is (η, φ) of what each particle is seen relative to; Δη has no sign flipped.
    """
    log_pt = kinematics.pt(p4).clamp(min=kinematics.TINY).log() - _LOG_PT_CENTRE
    delta_eta = kinematics.eta(p4) - axis[:, 0]
    delta_phi = kinematics.delta_phi(kinematics.phi(p4), axis[:, 1])
    features = [log_pt, _ANGLE_SCALE * delta_eta, _ANGLE_SCALE * delta_phi]
    return torch.stack(features, dim=1).clamp(-_CLIP, _CLIP)


def token_p4(
    features: Float[Tensor, "particles 3"], axis: Float[Tensor, "particles 2"]
) -> Float[Tensor, "particles 4"]:
    """Return the massless particles that have these ``token_features``."""
    features = features.clamp(-_CLIP, _CLIP)
    pt = (features[:, 0] + _LOG_PT_CENTRE).exp()
    eta, phi = (features[:, 1:] / _ANGLE_SCALE + axis).unbind(dim=1)
    return pt[:, None] * torch.stack([phi.cos(), phi.sin(), eta.sinh(), eta.cosh()], dim=1)


def token_errors(
    one: Float[Tensor, "particles 3"], other: Float[Tensor, "particles 3"]
) -> tuple[Float[Tensor, " particles"], Float[Tensor, " particles"]]:
    """Return |Δ ln pT| and ΔR between particles that have these ``token_features``."""
    difference = one - other
    delta_eta, delta_phi = (difference[:, 1:] / _ANGLE_SCALE).unbind(dim=1)
    delta_phi = kinematics.delta_phi(delta_phi, torch.zeros_like(delta_phi))
    return difference[:, 0].abs(), kinematics.delta_r(delta_eta, delta_phi)


def frame_axis(batch: JetBatch, frame: Frame) -> Float[Tensor, "particles 2"]:
    """Return the axis (η, φ) that each particle of a batch is seen relative to."""
    jet = batch.jet_of_particle[: batch.num_particles]
    if frame == "jet":
        return batch.jet_axis[jet]
    p4 = batch.p4[: batch.num_particles]
    pt = kinematics.pt(p4)
    top = pt.new_zeros(len(batch)).scatter_reduce(0, jet, pt, "amax")
    # Of particles of the same pT, the first; of momenta that are no numbers, any.
    rows = torch.arange(len(p4), device=p4.device)
    candidates = torch.where(pt == top[jet], rows, len(p4))
    first = candidates.new_full((len(batch),), len(p4)).scatter_reduce(0, jet, candidates, "amin")
    hardest = p4[first[jet].clamp(max=len(p4) - 1)]
    return torch.stack([kinematics.eta(hardest), kinematics.phi(hardest)], dim=1)


class Reconstruction(NamedTuple):
    """What a tokenizer makes of particles."""

    features: Float[Tensor, "particles 3"]
    """Features that the codes stand for."""
    latents: Float[Tensor, "particles latent"]
    """Vectors of the codes, with the gradient of the encoder's latents."""
    codes: Int64[Tensor, " particles"]
    commitment: Float[Tensor, " particles"]
    """Mean squared difference of the encoder's latent to the code."""


class Tokenizer(nn.Module):
    """Particles to codes and back; see the module's documentation."""

    def __init__(self, options: TokenizerOptions) -> None:
        super().__init__()
        self.options = options
        self.encoder = _coder(options, NUM_FEATURES)
        self.to_latent = _output(options, options.latent_dim)
        kind = GradientQuantizer if options.codebook == "gradients" else VectorQuantizer
        self.quantizer = kind(options.num_codes, options.latent_dim)
        self.decoder = _coder(options, options.latent_dim)
        self.to_features = _output(options, NUM_FEATURES)

    def forward(
        self, features: Float[Tensor, "particles 3"], lengths: Int64[np.ndarray, " jets"]
    ) -> Reconstruction:
        """Return particles after coding; in training, the codebook learns from them."""
        quantized = self.quantizer(self._latents(features, lengths))
        return Reconstruction(self._features(quantized.values, lengths), *quantized)

    @torch.no_grad()
    def encode(
        self, features: Float[Tensor, "particles 3"], lengths: Int64[np.ndarray, " jets"]
    ) -> Int64[Tensor, " particles"]:
        """Return the codes, 0 to ``num_codes`` − 1, of the particles of jets of these lengths.

        Computed without autocast: a particle's code does not depend on the precision of a training.
        """
        with torch.autocast(features.device.type, enabled=False):
            codes: Tensor = self.quantizer.nearest(self._latents(features, lengths))
            if self.options.raw_labels:
                assert isinstance(self.quantizer, GradientQuantizer)
                return self.quantizer.raw_labels(codes)
            return codes

    @torch.no_grad()
    def decode(
        self, codes: Int64[Tensor, " particles"], lengths: Int64[np.ndarray, " jets"]
    ) -> Float[Tensor, "particles 3"]:
        """Return the ``token_features`` that the codes of jets of these lengths stand for."""
        with torch.autocast(codes.device.type, enabled=False):
            return self._features(self.quantizer.table()[codes], lengths)

    def _latents(self, features: Tensor, lengths: np.ndarray) -> Tensor:
        latents: Tensor = self.to_latent(self.encoder(features, self._layout(lengths, features)))
        return latents

    def _features(self, latents: Tensor, lengths: np.ndarray) -> Tensor:
        features: Tensor = self.to_features(self.decoder(latents, self._layout(lengths, latents)))
        return features

    def _layout(self, lengths: np.ndarray, values: Tensor) -> JetLayout:
        return layout_for(lengths, values, self.options.width // self.options.num_heads, "auto")


class FrozenTokenizer(nn.Module):
    """A tokenizer that no training changes: without gradients, always in evaluation mode.

    Attributes
    ----------
    tokenizer
        The tokenizer, whose weights are those of a network's backbone that ``tokenize`` trained.
    """

    def __init__(self, options: TokenizerOptions) -> None:
        super().__init__()
        self.tokenizer = Tokenizer(options).eval().requires_grad_(False)

    @property
    def options(self) -> TokenizerOptions:
        """Sizes and frame."""
        return self.tokenizer.options

    def train(self, mode: bool = True) -> "FrozenTokenizer":  # noqa: ARG002
        """Stay in evaluation mode."""
        return super().train(False)

    def codes(self, batch: JetBatch) -> Int64[Tensor, " particles"]:
        """Return the codes of all particles of a batch, seen in the tokenizer's frame."""
        p4 = batch.p4[: batch.num_particles]
        features = token_features(p4, frame_axis(batch, self.options.frame))
        return self.encode(features, batch.lengths)

    def encode(
        self, features: Float[Tensor, "particles 3"], lengths: Int64[np.ndarray, " jets"]
    ) -> Int64[Tensor, " particles"]:
        """Return ``Tokenizer.encode`` of the same."""
        return self.tokenizer.encode(features, lengths)

    def decode(
        self, codes: Int64[Tensor, " particles"], lengths: Int64[np.ndarray, " jets"]
    ) -> Float[Tensor, "particles 3"]:
        """Return ``Tokenizer.decode`` of the same."""
        return self.tokenizer.decode(codes, lengths)


@register_model("particle_tokenizer", paper="arXiv:2403.05618", recipe="pretraining/tokenizer.yaml")
class ParticleTokenizer(Tagger):
    """A tokenizer as a network; see the module's documentation.

    A jet is the mean over its particles of their codes' vectors and of the features that these
    stand for, from which a linear head makes logits: all that the codes tell.
    """

    backbone: Tokenizer

    options_class = ParticleTokenizerOptions
    reads_features = False

    def __init__(
        self, options: ParticleTokenizerOptions, feature_names: tuple[str, ...], num_classes: int
    ) -> None:
        super().__init__()
        self.feature_names = feature_names
        self.max_particles = options.max_particles
        self.backbone = Tokenizer(options)
        self.head = nn.Linear(options.latent_dim + NUM_FEATURES, num_classes)

    def encode(self, batch: JetBatch) -> Float[Tensor, "jets width"]:
        """Return the mean of what the codes of each jet's particles tell; 0 without particles."""
        tokens = self.tokenize(batch)
        told = torch.cat([tokens.latents, tokens.features.to(tokens.latents.dtype)], dim=1)
        return mean_over_particles(told, batch)

    def tokenize(self, batch: JetBatch) -> Reconstruction:
        """Return the particles of a batch after coding, seen in the tokenizer's frame."""
        tokens: Reconstruction = self.backbone(self.inputs(batch), batch.lengths)
        return tokens

    def inputs(self, batch: JetBatch) -> Float[Tensor, "particles 3"]:
        """Return the features of a batch's particles in the tokenizer's frame."""
        axis = frame_axis(batch, self.backbone.options.frame)
        return token_features(batch.p4[: batch.num_particles], axis)


def _output(options: TokenizerOptions, width_out: int) -> nn.Module:
    if options.architecture == "omnijet":
        return nn.Linear(options.width, width_out)
    return dense_network(options.width, options.hidden_dim, width_out, norm=options.output_norm)


def _coder(options: TokenizerOptions, num_inputs: int) -> NormFormer | OmniJetCoder:
    kind = OmniJetCoder if options.architecture == "omnijet" else NormFormer
    return kind(
        num_inputs,
        options.width,
        options.hidden_dim,
        num_layers=options.num_layers,
        num_heads=options.num_heads,
        dropout=options.dropout,
    )
