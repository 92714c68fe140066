"""The tool that draws one quality sheet, and the picture in the documentation that it drew."""

from pathlib import Path

import numpy as np
from click.testing import CliRunner
from matplotlib.image import imread

from tools.quality_sheet import main

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "quality_sheet.png"


def test_the_picture_in_the_documentation_is_what_the_command_there_draws(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "ct_totalsegmentator"
    files = ["--ct", folder / "example_ct.nii.gz", "--mask", folder / "spine_totalseg.nii.gz"]
    arguments = [*files, "--labels", "totalsegmentator", "--out", tmp_path / "sheet.png"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert [line.split(",")[0] for line in result.output.splitlines()] == [
        "T11: cut by the field of view", "T12: cut by the field of view",
    ]  # fmt: skip
    drawn, shown = imread(tmp_path / "sheet.png"), imread(PICTURE)
    assert drawn.shape == shown.shape
    assert np.abs(drawn - shown).mean() < 0.02, "draw it again"
