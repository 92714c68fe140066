"""Draw one scan's quality sheet, as the quality page shows it.

python -m tools.quality_sheet --ct CT.nii.gz --mask MASK.nii.gz [--labels totalsegmentator] --out sheet.png
"""

from pathlib import Path

import click
import numpy as np

from fracture_vae.cohort.levels import choose
from fracture_vae.cohort.volumes import read_volume, stem
from fracture_vae.preparation.checks import check_scan
from fracture_vae.preparation.sheet import draw_sheet


@click.command()
@click.option("--ct", "ct_path", type=click.Path(path_type=Path), required=True)
@click.option("--mask", "mask_path", type=click.Path(path_type=Path), required=True)
@click.option("--labels", default="verse", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(ct_path: Path, mask_path: Path, labels: str, out: Path) -> None:
    """Draw one scan's quality sheet and print its findings."""
    ct, mask = read_volume(ct_path), read_volume(mask_path, allow_constant=True)
    levels = choose([int(number) for number in np.unique(mask.array) if number], labels, None, str(mask_path))
    findings = check_scan(stem(ct_path), stem(ct_path), ct, mask, levels, None)
    draw_sheet(out, stem(ct_path), ct, mask, levels, findings)
    for finding in findings:
        click.echo(f"{finding.level or 'scan'}: {finding.kind}, {finding.detail}")


if __name__ == "__main__":
    main()
