"""What a vertebra is made of behind its body, pedicles to spinous process, and the ribs it carries.

Everything is placed in the vertebra's own frame (u right, v forward, w up its axis; mm) from its measures.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fracture_vae.cohort.phantom.anatomy import LEVELS, Vertebra
from fracture_vae.cohort.phantom.collapse import Field
from fracture_vae.cohort.phantom.shape import Plate

Point = tuple[float, float, float]


class _Marks(NamedTuple):
    """Landmarks of the arch (mm): heights along w, distances to the side along u, depths along v."""

    top: float  # upper and
    bottom: float  # lower rim of the body's back
    lift: float  # middle of the pedicles
    side: float  # and their distance from the midline
    arch: float  # where pedicle and lamina meet
    roof: float  # inner face of the laminae in the midline


def _marks(x: Vertebra, drop: float) -> _Marks:
    top = x.height_back / 2
    return _Marks(
        top=top - drop,
        bottom=-top - drop,
        lift=top - x.pedicle_height / 2 - (0.5 if x.thoracic else 1.5) - drop,
        side=(x.canal_width + x.pedicle_width) / 2,
        arch=-x.depth - 0.62 * x.canal_depth,
        roof=-x.depth - x.canal_depth,
    )


def roughen(vertebra: Vertebra, u: Field, v: Field, w: Field) -> Field:
    """Offset (mm) that makes arch and processes as uneven as bone is."""
    offset = np.zeros(u.shape, np.float32)
    for ku, kv, kw, phase in vertebra.bumps:
        offset += np.cos(ku * u + kv * v + kw * w + phase, dtype=np.float32)
    return np.asarray(np.float32(0.35) * offset, np.float32)


def posterior_parts(vertebra: Vertebra, drop: float) -> Iterator[Plate]:
    """Yield pedicles, laminae, articular, transverse and spinous processes; ``drop`` lowers them all (mm)."""
    at = _marks(vertebra, drop)
    yield _spinous(vertebra, at)
    for sign in (-1, 1):
        yield from _pedicle_and_lamina(vertebra, at, sign)
        coronal = vertebra.thoracic and vertebra.level != "T12"
        yield from _coronal_facets(at, sign) if coronal else _sagittal_facets(vertebra, at, sign)
        yield _wing(vertebra, at, sign)


def _thickness(x: Vertebra) -> float:
    """Half the thickness of a lamina (mm)."""
    return 3.0 if x.thoracic else 3.4


def _spinous(x: Vertebra, at: _Marks) -> Plate:
    """Long, thin and steep in the chest, a short tall blade in the loin."""
    c, s = float(np.cos(np.deg2rad(x.spine_slope))), float(np.sin(np.deg2rad(x.spine_slope)))
    base = (0.0, at.roof - _thickness(x) + 0.5, at.lift - 7)
    tip = (0.0, base[1] - c * x.spine_length, base[2] - s * x.spine_length)
    tall = 6.0 if x.level in ("T11", "T12") else 4.0 if x.thoracic else 7.5
    return Plate(base, tip, (tall, 0.9 * tall), (2.3, 3.0 if x.thoracic else 3.6), (0.0, -s, c), rounded=0.6)


def _pedicle_and_lamina(x: Vertebra, at: _Marks, sign: int) -> Iterator[Plate]:
    reach, half = max(0.5 * (x.pedicle_height - x.pedicle_width), 0.0), x.pedicle_width / 2
    yield Plate(
        (sign * at.side, 4 - x.depth, at.lift), (sign * at.side, at.arch, at.lift), (reach, reach), (half, half)
    )
    tall = 8.0 if x.thoracic else 5.5 + 2 * x.pedicle_height / 15
    thick = _thickness(x)
    yield Plate(
        (sign * (at.side - 0.5), at.arch, at.lift - 4),
        (0.0, at.roof - thick, at.lift - 8),
        (0.9 * tall, tall),
        (thick + 0.6, thick),
    )


def _coronal_facets(at: _Marks, sign: int) -> Iterator[Plate]:
    """Thoracic articular processes: thin plates, the lower vertebra's in front of the upper's."""
    u, across = sign * (at.side - 0.5), (1.0, 0.0, 0.0)
    yield Plate((u, at.arch + 0.5, at.lift), (u, at.arch - 0.5, at.top + 6), (3, 2.5), (3, 2), across)
    yield Plate((u, at.arch - 5.5, at.lift - 5), (u, at.arch - 6.5, at.bottom - 3), (3, 3), (3, 2), across)


def _sagittal_facets(x: Vertebra, at: _Marks, sign: int) -> Iterator[Plate]:
    """Lumbar articular processes: stout, the lower vertebra's outside the upper's."""
    outer, inner = at.side + 2.0, max(at.side - 5.0, 0.3 * x.canal_width)
    start, end = (sign * at.side, at.arch, at.lift), (sign * outer, at.arch - 3, at.top + 6)
    yield Plate(start, end, (2, 5), (4.5, 3.4), (sign * 0.64, -0.77, 0.0))
    if x.level != "S2":
        start = (sign * (at.side - 1), at.arch - 3, at.lift - 6)
        end = (sign * inner, at.roof - 1, at.bottom - 0.6 * x.disc_below - 6)
        yield Plate(start, end, (1, 3), (4.4, 4.2), (sign * 0.5, -0.87, 0.0))


def _wing(x: Vertebra, at: _Marks, sign: int) -> Plate:
    """One transverse process, or a half of the sacrum's ala."""
    if x.level[0] == "S":
        reach = 9.0 if x.level == "S1" else 6.0
        return Plate((sign * 18, -6, 0), (sign * 54, -16, -8), (reach, reach), (8, 12))
    tip = _transverse_tip(x, at, sign)
    if x.thoracic:
        return Plate((sign * at.side, at.arch, at.lift - 1), tip, (2, 1), (4.2, 5.0))
    return Plate((sign * at.side, at.arch + 3, at.lift - 1), tip, (4, 3.5), (3.6, 2.4))


def _transverse_tip(x: Vertebra, at: _Marks, sign: int) -> Point:
    """Thoracic transverse processes point out, back and a little up; lumbar ones straight out."""
    u = sign * x.span / 2 * (1 + 0.03 * sign * x.skew)
    if x.thoracic:
        return (u, at.arch - 0.28 * x.span, at.lift + 3)
    return (u, at.arch - 8 - sign * x.skew, at.lift + 1 + 2 * sign * x.skew)


def rib_parts(vertebra: Vertebra) -> Iterator[Plate]:
    """Yield the heads, necks and first lengths of a thoracic level's pair of ribs."""
    x, at = vertebra, _marks(vertebra, 0.0)
    between = LEVELS.index("T1") < x.index < LEVELS.index("T11")  # these heads sit on the disc above
    head_w = at.top + 1 if between else at.lift + 2
    for sign in (-1, 1):
        u, v, w = _transverse_tip(x, at, sign)
        head = (sign * (0.93 * x.width + 3.5), 5.5 - x.depth, head_w)
        neck = (u + sign * 3, v + 8, w - 2)
        angle = (u + sign * 24, v + 2, w - 9)
        yield Plate(head, neck, (1.5, 2), (3.6, 3.2))
        yield Plate(neck, angle, (2, 3), (3.2, 3.2))
        yield Plate(angle, (u + sign * 52, v + 22, w - 24), (3, 3), (3.2, 3.2))
