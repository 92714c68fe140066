"""Ways from one latent vector to another: along the chord, and along the sphere."""

import torch
from torch import Tensor

_ALIGNED = 1e-6
"""Sine of the angle below which two directions count as one, or as opposite: what separates them is rounding."""


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Return (T, d): the points (1 - t) a + t b of the chord from a (d,) to b (d,), for t (T,) in [0, 1]."""
    t = t.to(a).unsqueeze(-1)
    return (1 - t) * a + t * b


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Return (T, d): points of the arc from a (d,) to b (d,), for t (T,) in [0, 1], at a steady angle.

    Directions follow Shoemake 1985, "Animating Rotation with Quaternion Curves" (section 3.3; it holds in any number
    of dimensions): Slerp(p, q; t) = sin((1 - t) Ω) / sin Ω · p + sin(t Ω) / sin Ω · q, with p and q the unit vectors
    along a and b, and cos Ω = p · q. Lengths go in equal steps from \\|a\\| to \\|b\\|, so that points stay where a
    Gaussian prior of many dimensions has its mass, which those of a chord leave (White 2016, arXiv:1609.04468).

    Between opposite vectors there are many arcs; this is the one by way of the coordinate axis that is most nearly at
    right angles to them, the first of several. Where there is none (a vector without length, one dimension) it is
    :func:`lerp`.
    """
    length_a, length_b = a.double().norm(), b.double().norm()
    if not length_a or not length_b or len(a) == 1:
        return lerp(a, b, t)
    p, q = a.double() / length_a, b.double() / length_b
    across = q - (p @ q) * p
    angle = torch.atan2(across.norm(), p @ q)
    if across.norm() < _ALIGNED:
        axis = torch.zeros_like(p).index_fill_(0, p.abs().argmin(), 1.0)
        across = axis - (p @ axis) * p
    # Shoemake's arc, written with the unit vector at right angles to p in the place of q: it divides by no sin Ω
    turned = (t.to(p) * angle).unsqueeze(-1)
    directions = turned.cos() * p + turned.sin() * across / across.norm()
    return (lerp(length_a, length_b, t) * directions).to(a.dtype)
