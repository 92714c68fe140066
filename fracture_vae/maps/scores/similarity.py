"""Structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004), as a map of what is lost."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.maps.scores.base import Score
from fracture_vae.maps.scores.filters import gaussian
from fracture_vae.maps.scores.seen import Seen
from fracture_vae.registry import SCORES

_C1, _C2 = 0.01**2, 0.03**2  # K1 and K2 of the paper, of images in [0, 1]


@dataclass(frozen=True)
class _Windowed(Score):
    """A score of local statistics under a Gaussian window.

    Attributes:
        sigma: the window's standard deviation in voxels (1.5 in the paper).

    Raises:
        InputError: for a window without extent.
    """

    display_max: ClassVar[float] = 1.0
    sigma: float = 1.5

    def __post_init__(self) -> None:
        if isinstance(self.sigma, bool) or not isinstance(self.sigma, int | float) or not 0 < self.sigma <= 32:
            raise InputError(f"sigma {self.sigma!r} of an SSIM score must be a number of voxels above 0, at most 32")

    def _mean(self, image: Tensor) -> Tensor:
        return gaussian(image, [self.sigma] * (image.dim() - 2))

    def _structure(self, x: Tensor, y: Tensor, mean_x: Tensor, mean_y: Tensor) -> Tensor:
        """Return contrast and structure, (2 cov + C2) / (var_x + var_y + C2), the second factor of eq. 13."""
        mean_square = self._mean(x.square() + y.square())
        covariance = self._mean(x * y) - mean_x * mean_y
        variances = mean_square - mean_x.square() - mean_y.square()
        return (2 * covariance + _C2) / (variances + _C2)


@SCORES.add_def("ssim", "1 - SSIM of x and x̂ under a Gaussian window, 0 where they are alike, at most 2")
@dataclass(frozen=True)
class SSIM(_Windowed):
    """1 - SSIM (eq. 13 of the paper, population variances)."""

    def __call__(self, seen: Seen) -> Tensor:
        """Return the mean over channels."""
        x, y = seen.image.float(), seen.reconstruction.float()
        mean_x, mean_y = self._mean(x), self._mean(y)
        luminance = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
        return (1 - luminance * self._structure(x, y, mean_x, mean_y)).mean(1, keepdim=True)


@SCORES.add_def("ssim_contrast", "1 - contrast and structure of SSIM, blind to a shift in brightness")
@dataclass(frozen=True)
class SSIMContrast(_Windowed):
    """1 - (2 cov + C2) / (var_x + var_y + C2)."""

    def __call__(self, seen: Seen) -> Tensor:
        """Return the mean over channels."""
        x, y = seen.image.float(), seen.reconstruction.float()
        return (1 - self._structure(x, y, self._mean(x), self._mean(y))).mean(1, keepdim=True)
