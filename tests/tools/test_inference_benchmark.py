"""The other side of the inference benchmark writes what it says: MONAI's network's residual, in the image's grid."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from fracture_vae.cohort.volumes import read_volume
from tools.benchmarks import monai_vqvae
from tools.benchmarks.inference import memory
from tools.benchmarks.monai_inference import write_residuals


def test_the_plain_monai_way_writes_the_residual_of_its_network(tmp_path: Path, blob: Callable[..., Path]) -> None:
    affine = np.diag([1.0, 2.0, 1.5, 1.0])
    images = [blob(tmp_path / f"v{n}.nii.gz", (16, 16, 16), affine, seed=n) for n in range(2)]
    torch.manual_seed(0)
    network = monai_vqvae.build((4, 8), 512, 8).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    write_residuals(images, tmp_path / "weights.pt", tmp_path / "out", (4, 8), "cpu", workers=0)
    for path in images:
        written = nib.load(tmp_path / "out" / path.name.replace(".nii.gz", "_error.nii.gz"))
        image = torch.from_numpy(read_volume(path).array)[None, None]
        with torch.no_grad():
            expected = (image - network(image)[0]).abs()[0, 0]
        np.testing.assert_allclose(written.get_fdata(), expected, atol=1e-5)
        np.testing.assert_allclose(written.affine, affine)


def test_memory_is_watched_over_all_volumes(tmp_path: Path) -> None:
    figures = memory(tmp_path, volumes=20, size=16, device="cpu")
    assert len(list((tmp_path / "maps").glob("*_error.nii.gz"))) == figures["volumes"] == 20
    assert figures["peak_mib"] >= max(figures["resident_after_tenths_mib"]) > 50
