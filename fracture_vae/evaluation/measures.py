"""The names of what an evaluation measures, and what each means."""

MEASURES = {
    "auroc": "case AUROC",
    "level_alone_auroc": "AUROC of the level alone",
    "auroc_over_level_alone": "case AUROC over the level alone",
    "within_level_auroc": "case AUROC within levels",
    "average_precision": "case average precision",
    "voxel_average_precision": "voxel average precision",
    "voxel_auroc": "voxel AUROC",
    "aupro": "AUPRO up to a false-positive rate of 0.3",
    "froc": "lesion FROC score (mean sensitivity at 1/4 to 8 false candidates an image)",
    "dice@calibrated": "voxel Dice at the calibrated threshold",
    "dice@oracle": "voxel Dice, oracle: chosen on the truth, an upper bound",
}
RATES = {"sensitivity": "sensitivity", "specificity": "specificity", "f1": "F1"}
CALIBRATED = "calibrated"
"""The threshold a calibration set."""


def title(measure: str) -> str:
    """Return what a measure's name means in words."""
    rate, _, threshold = measure.partition("@")
    if measure in MEASURES:
        return MEASURES[measure]
    where = "the calibrated threshold" if threshold == CALIBRATED else f"a fixed specificity of {threshold}"
    return f"{RATES[rate]} at {where}"
