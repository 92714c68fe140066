"""Rows of the table of bad inputs: calibration."""
# ruff: noqa: E501 - a row is a line

from tests.bad_inputs import GOOD, Bad, cohort_of, nothing, text, volume

CALIBRATE = "calibrate {run} --set device=cpu"

CALIBRATION_ROWS: list[Bad] = [
    Bad("calibrate: no such run", nothing, "calibrate none", ("none: no such run folder, checkpoint or bundle",)),
    Bad("calibrate: a run without folds", nothing, "calibrate {vae_run}", ("trained without folds",)),
    Bad("calibrate: a text for a checkpoint", text("model.pt"), "calibrate model.pt", ("model.pt: ",)),
    Bad("calibrate: another cohort", cohort_of(volume("x.nii.gz", GOOD**2), image="x.nii.gz"), f"{CALIBRATE} --cohort cohort.csv", ("cohort.csv: is not the cohort that", "give that cohort")),
    Bad("calibrate: no such cohort", nothing, f"{CALIBRATE} --cohort cohort.csv", ("cohort.csv: cannot be read",)),
    Bad("calibrate: a rate of 5", nothing, f"{CALIBRATE} --alpha 5", ("alpha 5: must lie between 0 and 1",)),
    Bad("calibrate: a rate that is no number", nothing, f"{CALIBRATE} --alpha x", ("'--alpha': 'x' is not a valid float",)),
    Bad("calibrate: a misspelt setting", nothing, f"{CALIBRATE} --set scroe=l2", ("did you mean 'score'?",)),
    Bad("calibrate: a score there is not", nothing, f"{CALIBRATE} --set score=l3", ("no score is called 'l3'",)),
    Bad("calibrate: a bundle that is none", nothing, "calibrate {run} --bundle .", (".: not a bundle",)),
]  # fmt: skip
