"""Independent random streams, so that no draw depends on what else is drawn."""

import numpy as np

_PURPOSES = {"patient": 0, "vertebra": 1, "texture": 2, "fracture": 3, "noise": 4, "tissue": 5, "disc": 6}


def stream(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
    """Return the random stream of one purpose and one level (or slice) of one patient, independent of all others."""
    return np.random.Generator(np.random.PCG64((seed, _PURPOSES[purpose], index)))
