"""Baselines as networks: what they reconstruct is fitted to healthy images in one go, without a gradient.

They hold buffers only, come in and out of checkpoints like any network, and offer ``fit(images, levels)``.
"""

from fracture_vae.networks.fitted.blank import Blank
from fracture_vae.networks.fitted.grid import Fitted
from fracture_vae.networks.fitted.pca import PCA
from fracture_vae.networks.fitted.template import Template

__all__ = ["PCA", "Blank", "Fitted", "Template"]
