"""The kinds of finding the checks report, and how much each weighs."""

CUT = "cut by the field of view"
SMALL = "much smaller than its neighbours"
PROCESSES = "processes at the border"
SPACING = "coarse spacing"
METAL = "metal"
ORDER = "labels out of order"
MISSING = "level missing"
APART = "labels not adjacent"
PIECES = "label in pieces"
CENTROID = "centroid off its mask"
SIDE = "left and right may be swapped"
INTENSITY = "intensities not in HU"
NOISE = "very noisy"
DUPLICATE = "duplicate image"
NO_CROP = "label without a crop"
AGAINST_TRUTH = "label against the truth"

_WORTH_A_LOOK = {NO_CROP, PROCESSES, SPACING, METAL, MISSING, PIECES, NOISE, SMALL}


def is_serious(kind: str) -> bool:
    """Whether a finding of this kind, if true, spoils what is learnt from the vertebra or the scan.

    The others are worth a look. A kind that is not known here counts as serious.
    """
    return kind not in _WORTH_A_LOOK
