"""The disc below a vertebra: how high it still is, and what its wear did to the endplates on both sides."""

from dataclasses import dataclass

from fracture_vae.cohort.phantom.patient import Patient
from fracture_vae.cohort.phantom.streams import stream


@dataclass(frozen=True)
class Disc:
    """One disc as worn as it is.

    Attributes:
        height: what is left of its height, as a fraction.
        grey: HU of its middle; the ring is 25 HU denser.
        gas: HU that a vacuum phenomenon takes from its middle; 0 where there is none.
        sclerosis: HU added to the bone under the endplates (upper, lower neighbour).
        reach: mm how deep that goes.
        side: where along u (−1 … 1, as a fraction of the half width) gas and sclerosis are strongest.
        worn: whether it is narrowed for good.
    """

    height: float
    grey: float
    gas: float
    sclerosis: tuple[float, float]
    reach: float
    side: float
    worn: bool


def draw_disc(patient: Patient, index: int) -> Disc:
    """Draw the disc below the level of this index; it depends on the patient's seed and the level alone."""
    random = stream(patient.seed, "disc", index)
    worn = bool(random.uniform() < 0.45 * patient.degeneration)
    height = random.uniform(0.35, 0.7) if worn else 1 - 0.25 * patient.degeneration * random.uniform()
    gas = float(worn and random.uniform() < 0.4) * random.uniform(200, 500)
    strength = random.uniform(0, 1, 2) * (random.uniform(80, 320) if worn and random.uniform() < 0.7 else 0.0)
    return Disc(
        height=height,
        grey=random.uniform(60, 90),
        gas=gas,
        sclerosis=(float(strength[0]), float(strength[1])),
        reach=random.uniform(3, 8),
        side=random.uniform(-0.6, 0.6),
        worn=worn,
    )
