"""The objective's terms, by hand."""

from typing import Any, NamedTuple

import pytest
import torch
from monai.losses import SSIMLoss
from torch import Tensor, nn

from fracture_vae.errors import InputError
from fracture_vae.networks import VQVAE, VQOutput, VQVAEConfig, build_quantizer
from fracture_vae.objectives.fidelity import Fidelity, gradient_difference
from fracture_vae.objectives.vq import VQReconstruction


class Fixed(nn.Module):
    """A network whose reconstruction and quantizer loss are given."""

    class Config(NamedTuple):
        spatial_dims: int = 2

    def __init__(self, reconstruction: Tensor, vq_loss: float = 0.25) -> None:
        super().__init__()
        self.config = Fixed.Config()
        self.out = VQOutput(reconstruction, torch.tensor(vq_loss), torch.zeros(1))

    def reconstruct(self, x: Tensor, level: Tensor | None) -> VQOutput:  # noqa: ARG002
        return self.out


IMAGE = torch.tensor([[[[0.0, 1.0], [0.5, 0.0]]]])
RECONSTRUCTION = torch.tensor([[[[0.5, 0.5], [0.5, 0.0]]]])


def terms(batch: dict[str, Tensor], reconstruction: Tensor = RECONSTRUCTION, **options: Any) -> Any:
    return VQReconstruction(Fixed(reconstruction), **options)(batch)  # type: ignore[arg-type]


def test_l1_is_the_mean_absolute_difference() -> None:
    out = terms({"image": IMAGE})
    assert out.recon.item() == pytest.approx((0.5 + 0.5) / 4)
    assert out.vq.item() == 0.25
    assert out.structure.item() == 0
    assert out.total.item() == pytest.approx(0.5)
    assert out._fields[0] == "total"


def test_l2_is_the_mean_squared_difference() -> None:
    assert terms({"image": IMAGE}, distance="l2").recon.item() == pytest.approx((0.25 + 0.25) / 4)


def test_reduction_sets_what_is_minimised_and_per_image_what_is_reported() -> None:
    summed = terms({"image": IMAGE}, reduction="sum")
    assert summed.total.item() == pytest.approx(1.0 + 0.25)
    assert summed.recon.item() == pytest.approx(0.25)
    for reduction, total in (("sum", 1.25), ("mean", 0.5)):
        out = terms({"image": IMAGE}, reduction=reduction, per_image=True)
        assert out.recon.item() == pytest.approx(1.0)
        assert out.total.item() == pytest.approx(total)
    valid = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    assert terms({"image": IMAGE, "valid": valid}, per_image=True).recon.item() == pytest.approx(1.0)


def test_the_gradient_term_is_the_mean_over_axes_of_differing_slopes() -> None:
    # rows differ by (0.5, -1) in the image and (0, -0.5) in the reconstruction; columns by (1, -0.5) and (0, -0.5)
    out = terms({"image": IMAGE}, structure="gradient", structure_weight=2.0)
    assert out.structure.item() == pytest.approx(((0.5 + 0.5) / 2 + (1.0 + 0.0) / 2) / 2)
    assert out.total.item() == pytest.approx(0.25 + 0.25 + 2.0 * 0.5)


def test_the_gradient_term_is_zero_for_a_shifted_brightness() -> None:
    volume = torch.rand(2, 1, 4, 5, 6)
    assert gradient_difference(volume, volume + 0.1).item() == pytest.approx(0, abs=1e-6)


def test_the_ssim_term_is_one_minus_ssim() -> None:
    image, reconstruction = torch.rand(2, 1, 12, 12), torch.rand(2, 1, 12, 12)
    out = terms({"image": image}, reconstruction, structure="ssim", structure_weight=0.1)
    assert out.structure.item() == pytest.approx(SSIMLoss(2, win_size=7)(reconstruction, image).item())
    assert out.total.item() == pytest.approx((out.recon + out.vq + 0.1 * out.structure).item())


def test_the_valid_mask_takes_the_mean_over_its_voxels_image_by_image() -> None:
    image, reconstruction = torch.zeros(2, 1, 1, 4), torch.tensor([[[[1.0, 0, 0, 0]]], [[[0.5, 0.5, 0.5, 0.5]]]])
    valid = torch.tensor([[[[1.0, 1, 0, 0]]], [[[1.0, 1, 1, 1]]]])
    out = terms({"image": image, "valid": valid}, reconstruction)
    assert out.recon.item() == pytest.approx((1.0 / 2 + 0.5) / 2)


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("structure", ["none", "gradient", "ssim"])
def test_what_is_reconstructed_in_the_padding_changes_no_loss(distance: str, structure: str) -> None:
    image, valid = torch.zeros(2, 1, 12, 12), torch.zeros(2, 1, 12, 12)
    image[..., 2:10, 3:9], valid[..., 2:10, 3:9] = torch.rand(2, 1, 8, 6), 1
    reconstruction = torch.rand(2, 1, 12, 12)
    elsewhere = torch.where(valid > 0, reconstruction, torch.rand(2, 1, 12, 12))
    options = {"distance": distance, "structure": structure}
    first, second = (terms({"image": image, "valid": valid}, r, **options) for r in (reconstruction, elsewhere))
    assert torch.equal(torch.stack(list(first)), torch.stack(list(second)))


def test_the_network_s_own_loss_and_reconstruction_enter() -> None:
    torch.manual_seed(0)
    network = VQVAE(VQVAEConfig(spatial_dims=2, channels=(4, 8)), build_quantizer("vq", num_codes=8, dim=8)).eval()
    image = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        out, expected = VQReconstruction(network)({"image": image}), network.reconstruct(image)
    assert out.recon.item() == pytest.approx((expected.reconstruction - image).abs().mean().item())
    assert out.vq.item() == pytest.approx(expected.vq_loss.item())


@pytest.mark.parametrize("option", [{"distance": "l3"}, {"structure": "simm"}, {"reduction": "summ"}])
def test_an_unknown_term_is_refused_with_the_nearest(option: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"did you mean '(l1|l2|ssim|sum)'"):
        terms({"image": IMAGE}, **option)


def test_the_ssim_term_is_the_same_under_bfloat16_autocast() -> None:
    """Its variances are differences of nearly equal numbers, which bfloat16 cannot hold."""
    generator = torch.Generator().manual_seed(0)
    image = 0.5 + 0.02 * torch.randn(1, 1, 16, 16, generator=generator)
    other = 0.5 + 0.02 * torch.randn(1, 1, 16, 16, generator=generator)
    fidelity = Fidelity("l1", "ssim", 2)
    exact = fidelity(other, image, None).structure
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(fidelity(other, image, None).structure, exact)
