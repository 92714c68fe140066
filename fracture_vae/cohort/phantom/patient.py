"""Who the synthetic patient is, and how the CT was taken. Ranges are set by hand to what CT studies commonly show."""

from dataclasses import dataclass

import numpy as np

from fracture_vae.cohort.phantom.scanner import Scanner, draw_scanner
from fracture_vae.cohort.phantom.streams import stream


@dataclass(frozen=True)
class Patient:
    """What one patient's vertebrae share."""

    seed: int
    scale: float
    """Size of all bones; 1 is the mean adult."""
    age: float
    """From 0 (about 30 years) to 1 (about 90)."""
    trabecular: float
    """Spongy bone of the lumbar bodies, HU: 25 (severe osteoporosis) to 320 (diffuse sclerosis)."""
    cortical: float
    """Compact bone, HU."""
    degeneration: float
    """How worn the discs are, from 0 to 1; osteophytes and sclerotic endplates follow it."""
    hyperostosis: bool
    """Whether bone flows along the front of the spine (DISH)."""
    wedging: float
    """Ratio of front to back height of all thoracic bodies, relative to the mean adult's."""
    kyphosis: float
    lordosis: float
    """Curves relative to the mean adult's."""
    scoliosis: float
    """Amplitude of the sideward tilt, degrees; the Cobb angle is about twice that."""
    contrast: float
    """Blood in the aorta, HU."""
    calcification: float
    """How much of the aorta's wall is calcified, 0 to 1."""
    fat: float
    scanner: Scanner


def draw_patient(seed: int) -> Patient:
    """Draw what the patient's vertebrae share from ``seed``."""
    random = stream(seed, "patient")
    age = random.uniform()
    scanner = draw_scanner(random)
    sclerotic = random.uniform(1.3, 1.7) if random.uniform() < 0.06 else 1.0
    spongy = random.normal(205 - 130 * age, 28) * sclerotic
    crooked = random.uniform() < 0.2
    return Patient(
        seed=seed,
        scale=float(np.clip(random.normal(1.0, 0.065), 0.86, 1.16)),
        age=age,
        trabecular=scanner.bone_gain * float(np.clip(spongy, 25, 320)),
        cortical=scanner.bone_gain * (random.uniform(800, 1150) - 200 * age),
        degeneration=float(np.clip(random.normal(0.9 * age, 0.22), 0, 1)),
        hyperostosis=bool(random.uniform() < 0.25 * age),
        wedging=float(np.clip(random.normal(1.0, 0.012), 0.97, 1.03)),
        kyphosis=float(np.clip(random.normal(0.85 + 0.35 * age, 0.2), 0.5, 1.7)),
        lordosis=random.uniform(0.65, 1.2),
        scoliosis=float(np.clip(random.normal(0, 8.0 if crooked else 3.0), -14, 14)),
        contrast=45.0 if random.uniform() < 0.5 else scanner.bone_gain * random.uniform(120, 330),
        calcification=float(np.clip(random.normal(1.3 * age - 0.5, 0.3), 0, 1)),
        fat=random.uniform(0, 1),
        scanner=scanner,
    )
