"""Left and right, on phantoms, on two real scans and on their mirror images; and what those real scans show."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fracture_vae.cohort.levels import choose
from fracture_vae.cohort.phantom import simulate_spine
from fracture_vae.cohort.phantom.anatomy import label_of
from fracture_vae.cohort.phantom.patient import draw_patient
from fracture_vae.cohort.volumes import Volume, read_volume, write_nifti
from fracture_vae.preparation import kinds
from fracture_vae.preparation.checks import check_scan
from fracture_vae.preparation.finding import Finding


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.kind) for finding in findings]


def saved(path: Path, array: NDArray[np.generic], affine: NDArray[np.float64]) -> Volume:
    write_nifti(path, array, affine, descrip="", cal_max=1)
    return read_volume(path)


def mirrored(volume: Volume) -> Volume:
    return volume._replace(array=np.ascontiguousarray(volume.array[::-1]))


@pytest.mark.parametrize(("levels", "enhanced", "told"), [
    (("T8", "T9", "T10", "T11"), True, True),
    (("T8", "T9", "T10", "T11"), False, False),  # the aorta is as bright as what surrounds it
    (("T12", "L1", "L2"), True, False),  # an enhanced vena cava could lie so
])  # fmt: skip
def test_a_mirrored_phantom_is_told_by_its_aorta_if_it_can_be(
    tmp_path: Path, levels: tuple[str, ...], enhanced: bool, told: bool
) -> None:
    seed = next(seed for seed in range(100) if (draw_patient(seed).contrast > 200) == enhanced)
    phantom = simulate_spine(seed, levels, spacing=2.0)
    ct = saved(tmp_path / "ct.nii", phantom.ct, phantom.affine)
    mask = saved(tmp_path / "mask.nii", phantom.mask, phantom.affine)
    numbers = {level: label_of(level) for level in levels}
    assert check_scan("p", "s", ct, mask, numbers, None) == []
    findings = check_scan("p", "s", mirrored(ct), mirrored(mask), numbers, None)
    assert [(f.level, f.kind) for f in findings] == [("", kinds.SIDE)] * told
    assert all("as if the aorta were on the right" in f.detail for f in findings)


def real(folder: Path, ct: str, mask: str, labels: str) -> tuple[Volume, Volume, dict[str, int]]:
    image, vertebrae = read_volume(folder / ct), read_volume(folder / mask)
    return image, vertebrae, choose([int(n) for n in np.unique(vertebrae.array)[1:]], labels, None, mask)


def test_a_real_trunk_s_cut_levels_and_its_mirror_image(real_data: Path) -> None:
    ct, mask, levels = real(
        real_data / "ct_totalsegmentator", "example_ct.nii.gz", "spine_totalseg.nii.gz", "totalsegmentator"
    )
    findings = check_scan("p", "s", ct, mask, levels, None)
    assert told(findings) == [("T11", kinds.CUT), ("T12", kinds.CUT)]
    assert "4% of its neighbours' volume" in findings[0].detail
    (finding,) = (f for f in check_scan("p", "s", mirrored(ct), mirrored(mask), levels, None) if f not in findings)
    assert (finding.level, finding.kind) == ("", kinds.SIDE)
    assert "as if the liver were on the left" in finding.detail


def test_a_real_lumbar_spine_loses_processes_only_and_its_side_cannot_be_told(real_data: Path) -> None:
    ct, mask, levels = real(
        real_data / "ct_verse014", "sub-verse014_ct.nii.gz", "sub-verse014_seg-vert_msk.nii.gz", "verse"
    )
    _, *points = json.loads((real_data / "ct_verse014" / "sub-verse014_seg-vb_ctd.json").read_text())
    level_of = {number: level for level, number in levels.items()}
    centroids = {
        level_of[point["label"]]: tuple((ct.stored.affine @ [point["X"], point["Y"], point["Z"], 1])[:3])
        for point in points
    }
    findings = check_scan("p", "s", ct, mask, levels, centroids)
    assert told(findings) == [("", kinds.PROCESSES)]
    assert told(check_scan("p", "s", mirrored(ct), mirrored(mask), levels, None)) == told(findings)
