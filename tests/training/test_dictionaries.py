"""MONAI's dictionary transforms through the same trainer."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.transforms import Compose, EnsureTyped, LoadImaged, Orientationd

from fracture_vae.cohort.manifest import Case
from fracture_vae.errors import InputError
from fracture_vae.jobs import train_bundle, variant_configs
from fracture_vae.training import DictionaryDataset, Preprocessd, VolumeDataset
from fracture_vae.transforms import Preprocessing


def test_a_bundle_trains_on_dictionary_transforms_with_its_overlay(
    vq3d: Path, tiny: dict[str, Any], tiny_cohort: Path, tmp_path: Path
) -> None:
    settings = {"cohort": str(tiny_cohort), "project_dir": str(tmp_path), "size": [16, 16, 16], **tiny}
    overlays = [*variant_configs(vq3d, "reconstruction"), vq3d / "configs" / "monai_data.json"]
    train_bundle(vq3d, "1", overlays, settings)
    run = (tmp_path / "vq3d" / "latest").resolve()
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert all(torch.tensor(float(value)).isfinite() for row in rows for value in row.values())
    assert json.loads(torch.load(run / "checkpoints" / "last.pt", weights_only=True)["about"])["size"] == [16, 16, 16]


def test_both_ways_give_the_same_volumes(tmp_path: Path, blob: Callable[..., Path]) -> None:
    affine = torch.tensor([[-1.5, 0, 0, 20], [0, -1, 0, 30], [0, 0, 2, -40], [0, 0, 0, 1.0]]).numpy()
    case = Case(case_id="a", patient_id="a", image=blob(tmp_path / "a.nii.gz", (8, 12, 16), affine))
    percentile = Preprocessing("percentile")
    chain = Compose(
        [
            LoadImaged("image", image_only=True, ensure_channel_first=True),
            Orientationd("image", axcodes="RAS", labels=None),
            Preprocessd("image", percentile),
            EnsureTyped("image", track_meta=False),
        ]
    )
    theirs = DictionaryDataset([case], chain, [8, 12, 16], progress=False)[0]["image"]
    ours = VolumeDataset([case], percentile, multiple=4)[0]["image"]
    torch.testing.assert_close(theirs, ours, atol=2.5e-4, rtol=0)


@pytest.mark.parametrize(("size", "complaint"), [(None, "size is null"), ([8, 8, 8], r"end in volumes of \(16, 16")])
def test_the_size_must_be_given_and_true(
    tmp_path: Path, blob: Callable[..., Path], size: list[int] | None, complaint: str
) -> None:
    case = Case(case_id="a", patient_id="a", image=blob(tmp_path / "a.npy"))
    with pytest.raises(InputError, match=complaint):
        DictionaryDataset([case], LoadImaged("image", ensure_channel_first=True), size, progress=False)


def test_hold_out_cases_are_refused(tmp_path: Path, blob: Callable[..., Path]) -> None:
    case = Case(case_id="a", patient_id="a", image=blob(tmp_path / "a.npy"), fold="test")
    with pytest.raises(InputError, match=r"1 hold-out case\(s\)"):
        DictionaryDataset([case], LoadImaged("image", ensure_channel_first=True), [16, 16, 16], progress=False)
