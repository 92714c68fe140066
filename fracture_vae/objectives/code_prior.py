"""What is likely of a VQ-VAE's codes, the objective of a prior over their grid."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fracture_vae.networks import VQVAE, TokenPriorConfig, VQVAEConfig, WithPrior, build_quantizer, covered
from fracture_vae.registry import OBJECTIVES


class PriorTerms(NamedTuple):
    """Loss terms, each a scalar and a mean over the images of the batch."""

    total: Tensor
    nll: Tensor  # masked cross-entropy in nats a code


@OBJECTIVES.add_def("code_prior", "masked cross-entropy of a trained VQ-VAE's codes, in nats a code")
class CodePrior(nn.Module):
    """total = nll: -log p of hidden codes given the others, a mean over the hidden ones of an image.

    How many are hidden is drawn evenly from one to all, so that the mean is what an order-agnostic autoregressive
    model minimises: a bound on the negative log-likelihood of an image's codes, per code (Hoogeboom et al. 2022,
    arXiv:2110.02037, eq. 2). In evaluation the same codes are hidden every time, so that epochs can be compared.
    Codes that stand for padding alone do not count.

    The VQ-VAE is frozen: its weights take no gradient, and its codebook stays as it is.

    Args:
        network: a VQ-VAE and its prior.
    """

    term_names = PriorTerms._fields

    def __init__(self, network: WithPrior) -> None:
        super().__init__()
        self.network = network
        network.reconstructor.requires_grad_(False)

    def forward(self, batch: Mapping[str, Tensor]) -> PriorTerms:
        """Return the terms for ``batch["image"]`` (B, C, \\*spatial) in [0, 1], and its ``valid``."""
        with torch.no_grad():
            codes = self.network.quantize(self.network.encode(batch["image"])).codes
        hidden = self._hidden(codes)
        nll = self.network.hidden_nll(codes, hidden)
        counts = (hidden & covered(batch["valid"], codes) if "valid" in batch else hidden).flatten(1).float()
        mean = ((nll.flatten(1) * counts).sum(1) / counts.sum(1).clamp_min(1)).mean()
        return PriorTerms(mean, mean)

    def _hidden(self, codes: Tensor) -> Tensor:
        """Return which codes are hidden, (B, \\*latent) bool, at least one of each image's."""
        if self.training:
            share, order = torch.rand(len(codes), 1, device=codes.device), torch.rand(codes.shape, device=codes.device)
        else:
            generator = torch.Generator().manual_seed(0)
            share = torch.rand(len(codes), 1, generator=generator).to(codes.device)
            order = torch.rand(codes.shape, generator=generator).to(codes.device)
        rank = order.flatten(1).argsort(1).argsort(1)
        return (rank < (share * rank.shape[1]).floor() + 1).reshape(codes.shape)

    @staticmethod
    def example() -> tuple["CodePrior", dict[str, Tensor]]:
        """Return a small objective and a batch for the contract test."""
        vqvae = VQVAE(VQVAEConfig(spatial_dims=2, channels=(4, 8)), build_quantizer("vq", num_codes=8, dim=8))
        network = WithPrior(vqvae, TokenPriorConfig(layers=1, width=16, heads=2))
        return CodePrior(network), {"image": torch.rand(2, 1, 16, 16)}
