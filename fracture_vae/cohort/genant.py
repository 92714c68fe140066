"""Vertebral compression fractures in Genant's words: type, grade, and the three heights both are read from.

Genant et al., "Vertebral fracture assessment using a semiquantitative technique", J Bone Miner Res 8(9), 1993: a
wedge loses height in front, a biconcave fracture in the middle, a crush behind as well; grade 1 is a loss of
20–25 %, grade 2 of 25–40 %, grade 3 of more.
"""

from dataclasses import dataclass
from typing import NamedTuple

from fracture_vae.errors import InputError, nearest

TYPES = ("wedge", "biconcave", "crush")
"""In the order of `Heights`' fields: where a type is measured."""
GRADE_LOSS = {1: (0.20, 0.25), 2: (0.25, 0.40), 3: (0.40, 0.60)}
"""Height lost at the measured site, as a fraction; 0.60 is where simulation stops, Genant names no upper end."""


@dataclass(frozen=True)
class Fracture:
    """A compression fracture to simulate: Genant type (wedge, biconcave or crush) and grade (1, 2 or 3)."""

    type: str
    grade: int

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise InputError(
                f"fracture type '{self.type}' is unknown{nearest(self.type, TYPES)}; use {', '.join(TYPES)}"
            )
        if self.grade not in GRADE_LOSS:
            raise InputError(f"fracture grade {self.grade} is unknown; use 1, 2 or 3")


class Heights(NamedTuple):
    """Heights of a body in its mid-sagittal plane (mm), endplate to endplate."""

    anterior: float
    middle: float
    posterior: float
