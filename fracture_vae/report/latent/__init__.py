"""What lies in the latent space of a trained 2D network: pictures of it, and its points as a table."""

from fracture_vae.report.latent.explore import Explored, explore_latent

__all__ = ["Explored", "explore_latent"]
