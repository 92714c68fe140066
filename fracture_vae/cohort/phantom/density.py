"""How dense the spongy bone of a body is, healthy and under a fracture, and where a fracture changed it."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fracture_vae.cohort.phantom.anatomy import Vertebra
from fracture_vae.cohort.phantom.collapse import Collapse, Field, sink
from fracture_vae.cohort.phantom.patient import Patient
from fracture_vae.cohort.phantom.shape import Body, body
from fracture_vae.cohort.phantom.streams import stream

_BLOCK = (64, 48, 48)  # texture block, one value a mm along u, v and w


def body_density(
    patient: Patient, vertebra: Vertebra, collapse: Collapse | None, drawn: Body,
    coordinates: tuple[Field, Field, Field], texture: Field,
) -> Field:  # fmt: skip
    """HU of the spongy bone: denser towards endplates and back, threaded vertically, packed under a fracture."""
    u, v, _ = coordinates
    height = np.maximum(drawn.under_upper + drawn.over_lower, 1)
    rho = (drawn.over_lower - drawn.under_upper) / height
    edge = np.minimum(np.minimum(drawn.under_upper, drawn.over_lower), 6)
    grey = np.float32(vertebra.density) * (1.12 - 0.03 * edge - 0.08 * v / np.float32(vertebra.depth))
    # subchondral bone: dense at the shell's inner face, fading over the endplate's thickness
    beyond = (edge - np.float32(vertebra.wall)) / np.float32(2 * vertebra.endplate)
    grey += np.float32(0.4 * patient.cortical) * np.clip(1 - beyond, 0, 1)
    inside = drawn.distance < 0
    where = texture_index(u[inside], v[inside], rho[inside] * np.float32(vertebra.height_back / 2))
    threads = ndimage.map_coordinates(texture, where, order=1, mode="grid-wrap")
    grey[inside] += 0.16 * (vertebra.density + 80) * threads
    grey -= 110 * np.exp(-((u / 3.0) ** 2) - ((rho * height / 2) / 2.2) ** 2 - ((v + vertebra.depth - 3) / 6) ** 2)
    grey += _wear(vertebra, drawn, u, v, np.asarray(rho * np.float32(vertebra.height_back / 2), np.float32))
    if collapse is not None:
        packed = impaction(vertebra, collapse, drawn, coordinates)
        grey += packed * np.float32(collapse.sclerosis + collapse.packing * vertebra.density)
    return np.asarray(np.maximum(grey, -60), np.float32)


def _wear(vertebra: Vertebra, drawn: Body, u: Field, v: Field, w: Field) -> Field:
    """HU that a lifetime adds without breaking the bone: sclerosis at worn discs and Schmorl nodes, islands, hollows.

    ``w`` is the height in the unbroken body, so that what is in the bone sinks with it.
    """
    grey = np.zeros(u.shape, np.float32)
    above = (vertebra.disc_above, 1, drawn.under_upper)
    for disc, part, depth in ((vertebra.disc, 0, drawn.over_lower), above):
        if disc is not None and disc.sclerosis[part]:
            near = np.clip(1 - depth / np.float32(disc.reach), 0, 1)
            aside = np.exp(-(((u / np.float32(vertebra.width) - disc.side) / 0.8) ** 2))
            grey += np.float32(disc.sclerosis[part]) * near * aside
    for pit in vertebra.pits:
        depth = drawn.under_upper if pit.upper else drawn.over_lower
        flat = (u - pit.u) ** 2 + (v - pit.v) ** 2
        grey += np.float32(pit.rim) * np.exp(-flat / 32 - np.maximum(depth, 0) / 2.5)
    for spot in vertebra.spots:
        away = (u - spot.u) ** 2 + (v - spot.v) ** 2 + (w - spot.w) ** 2
        grey += np.float32(spot.grey) * np.exp(-((away / np.float32(spot.radius**2)) ** 2))
    return np.asarray(grey, np.float32)


def trabecular_texture(patient: Patient, vertebra: Vertebra, spacing: float) -> Field:
    """Correlated unit-variance noise (at 1 mm), longer along the body's axis, as trabeculae are."""
    random = stream(patient.seed, "texture", vertebra.index)
    fine = ndimage.gaussian_filter(random.standard_normal(_BLOCK, np.float32), (0.7, 0.7, 1.3), mode="wrap")
    coarse = ndimage.gaussian_filter(random.standard_normal(_BLOCK, np.float32), 3.0, mode="wrap")
    block = 0.85 * fine / fine.std() + 0.5 * coarse / coarse.std()
    if spacing > 1:
        block = ndimage.gaussian_filter(block, 0.4 * spacing, mode="wrap")
    return np.asarray(block, np.float32)


def texture_index(u: Field, v: Field, w: Field) -> list[Field]:
    """Where in the texture block a point of the vertebra's frame lies."""
    return [np.asarray(x + np.float32(n / 2), np.float32) for x, n in zip((u, v, w), _BLOCK, strict=True)]


def impaction(vertebra: Vertebra, collapse: Collapse, drawn: Body, coordinates: tuple[Field, Field, Field]) -> Field:
    """How strongly (0–1) spongy bone is packed: within ``band`` mm of an endplate that sank more than 1 mm."""
    u, v, _ = coordinates
    lost = sink(vertebra, collapse, u, v)
    strength = np.zeros_like(lost)
    shares = ((collapse.upper_share, drawn.under_upper), (1 - collapse.upper_share, drawn.over_lower))
    for share, depth in shares:
        near = np.clip((np.float32(collapse.band) - depth) / np.float32(0.5 * collapse.band), 0, 1)
        strength = np.maximum(strength, near * np.clip(share * lost - 1, 0, 2) / 2)
    return np.asarray(strength, np.float32)


def changed(
    vertebra: Vertebra, collapse: Collapse, drawn: Body, coordinates: tuple[Field, Field, Field]
) -> NDArray[np.bool_]:
    """Return True where the broken body differs from the healthy one: lost or gained volume, and impacted bone."""
    healthy = body(vertebra, None, *coordinates).distance < 0
    broken = drawn.distance < 0
    packed = broken & (impaction(vertebra, collapse, drawn, coordinates) > 0.25)
    return np.asarray((healthy != broken) | packed)
