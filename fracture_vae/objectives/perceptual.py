"""Perceptual loss: how far an image and its reconstruction lie apart in the features of an encoder."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fracture_vae.errors import InputError
from fracture_vae.networks.coders import Encoder
from fracture_vae.networks.coders.mlp import each_output

_EPSILON = 1e-12


class FeatureDistance(nn.Module):
    """Mean over an encoder's hidden layers l of Σ (f_l(x) - f_l(x̂))² / Σ f_l(x)².

    A deep feature consistent loss (Hou et al. 2017, arXiv:1610.00291, eq. 4), with each layer's distance divided by
    the size of the image's own features (as Gatys et al. normalise layers), so that layers count alike and features
    that shrink gain nothing. Nothing is downloaded: the encoder is the trained network's own, or one from a file.

    Gradients reach the reconstruction only. An encoder that is being trained is read as it is at each step, and does
    not learn from this term: it could make it small by seeing less. Batch norm sees both images together and keeps
    its running statistics; dropout, where the encoder has it, blurs the comparison as it does everything else.

    Args:
        encoder: of an autoencoder or VAE, with hidden layers; or the stages of a VQ-VAE's.

    Raises:
        InputError: for an encoder without hidden layers.
    """

    def __init__(self, encoder: Encoder | nn.Sequential) -> None:
        super().__init__()
        if not (len(encoder) if isinstance(encoder, nn.Sequential) else encoder.depth):
            raise InputError("perceptual: a linear encoder has no hidden layers whose features could be compared")
        self._layers = (_Features(encoder),)  # in a tuple, or its parameters would be this term's as well

    def forward(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Return the distance of (B, *shape) twice, a scalar: 0 where they agree, about 1 for unrelated features."""
        features = self._layers[0]
        held = {name: value.detach().clone() for name, value in features.named_buffers()}
        held |= {name: value.detach() for name, value in features.named_parameters()}
        both = functional_call(features, held, (torch.cat([image, reconstruction.to(image)]),))
        parts = []
        for layer in both:
            target, found = layer.float().flatten(1).chunk(2)
            target = target.detach()
            parts.append(((found - target).square().sum(1) / (target.square().sum(1) + _EPSILON)).mean())
        return torch.stack(parts).mean()


def feature_distance(measure: FeatureDistance | None, image: Tensor, reconstruction: Tensor) -> Tensor:
    """Return what ``measure`` gives, or 0 where there is none."""
    return image.new_zeros(()) if measure is None else measure(image, reconstruction)


class _Features(nn.Module):
    """An encoder that returns what each of its hidden layers gives."""

    def __init__(self, encoder: Encoder | nn.Sequential) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> list[Tensor]:
        if isinstance(self.encoder, nn.Sequential):
            return each_output(self.encoder, x)
        return self.encoder.hidden_features(x)
