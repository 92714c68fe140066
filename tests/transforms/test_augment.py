import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import Affine, Compose, RandAffined, RandFlipd, RandScaleIntensityd, RandShiftIntensityd

from fracture_vae.errors import InputError
from fracture_vae.transforms import AugmentConfig, AugmentParams, apply, draw
from fracture_vae.transforms.augment import resample


def params(flip=False, angle=0.0, shift_x=0.0, shift_y=0.0, scale=1.0, noise=0.0, brightness=0.0, contrast=1.0):
    values = (angle, shift_x, shift_y, scale, noise, brightness, contrast)
    return AugmentParams(torch.tensor([flip]), *(torch.tensor([v]) for v in values))


def smooth_volume(shape=(20, 24, 16), seed=0):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand((1, 1, *shape), generator=generator)
    return torch.nn.functional.avg_pool3d(noise, 5, stride=1, padding=2)


def test_identity_parameters_change_nothing():
    volume = smooth_volume()
    torch.testing.assert_close(apply(volume, params()), volume, atol=1e-6, rtol=0)


def test_flip_mirrors_the_first_axis_only():
    volume = smooth_volume()
    torch.testing.assert_close(resample(volume, params(flip=True)), volume.flip(2), atol=1e-6, rtol=0)


def test_a_quarter_turn_moves_plus_x_to_plus_y():
    volume = torch.zeros(1, 1, 9, 9, 3)
    volume[0, 0, 7, 4, 1] = 1.0  # on the +x axis
    turned = resample(volume, params(angle=math.pi / 2))
    assert turned[0, 0, 4, 7, 1] == pytest.approx(1.0, abs=1e-5)
    assert turned.sum() == pytest.approx(1.0, abs=1e-4)


def test_shift_by_a_whole_number_of_voxels_is_exact():
    volume = smooth_volume((20, 20, 8))
    moved = resample(volume, params(shift_x=0.1))  # 2 of 20 voxels towards +x
    torch.testing.assert_close(moved[:, :, 2:], volume[:, :, :-2], atol=1e-5, rtol=0)
    assert moved[:, :, :2].abs().max() < 1e-5


def test_scale_acts_on_all_three_axes():
    volume = torch.zeros(1, 1, 17, 17, 17)
    volume[0, 0, 4:13, 4:13, 4:13] = 1.0
    ratio = resample(volume, params(scale=1.1)).sum() / volume.sum()
    assert ratio == pytest.approx(1.1**3, rel=0.02)


@settings(max_examples=25, deadline=None)
@given(
    st.booleans(),
    st.floats(-15, 15),
    st.floats(-0.05, 0.05),
    st.floats(-0.05, 0.05),
    st.floats(0.9, 1.1),
)
def test_the_separable_resample_equals_monais_affine(flip, degrees, shift_x, shift_y, scale):
    """MONAI maps output to input with a centred affine in voxels; ours must read the same points."""
    volume = smooth_volume((20, 24, 16))
    ours = resample(volume, params(flip, math.radians(degrees), shift_x, shift_y, scale))
    angle = math.radians(degrees)
    rotate = np.eye(4)
    rotate[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    mirror = np.diag([-1.0 if flip else 1.0, 1, 1, 1])
    forward = rotate @ np.diag([scale, scale, scale, 1]) @ mirror
    forward[:3, 3] = [shift_x * 20, shift_y * 24, 0]
    monai_affine = Affine(affine=np.linalg.inv(forward), padding_mode="zeros", image_only=True)
    torch.testing.assert_close(ours[0], monai_affine(volume[0]).as_tensor(), atol=2e-4, rtol=0)


def monai_chain(one: AugmentParams, shape: tuple[int, ...]) -> Compose:
    """MONAI's dictionary transforms with their random ranges closed around one sample's parameters.

    ``RandAffined`` maps output to input as R(θ) · (s · p + t), ours as R(-angle) · (p - shift) / scale.
    """
    flip, angle, shift_x, shift_y, scale, _, brightness, contrast = (value.item() for value in one)
    return Compose(
        [
            RandFlipd("image", prob=float(flip), spatial_axis=0),
            RandAffined(
                "image",
                prob=1,
                rotate_range=((0, 0), (0, 0), (-angle, -angle)),
                translate_range=tuple((-t / scale,) * 2 for t in (shift_x * shape[0], shift_y * shape[1], 0)),
                scale_range=((1 / scale - 1,) * 2,) * 3,
                padding_mode="zeros",
            ),
            RandScaleIntensityd("image", prob=1, factors=(contrast - 1,) * 2),
            RandShiftIntensityd("image", prob=1, offsets=(brightness,) * 2),
        ]
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_a_batch_equals_monais_chain_of_random_transforms_sample_by_sample(seed):
    shape = (20, 24, 16)
    volumes = torch.cat([smooth_volume(shape, seed + i) for i in range(3)])
    drawn = draw(AugmentConfig(), 3, torch.Generator().manual_seed(seed))
    ours = apply(volumes, drawn, torch.Generator().manual_seed(seed))
    noisy = drawn.noise.nonzero()[:, 0].tolist()
    noise = torch.zeros_like(volumes)
    noise[noisy] = torch.randn((len(noisy), 1, *shape), generator=torch.Generator().manual_seed(seed))
    for index, volume in enumerate(volumes):
        one = AugmentParams(*(value[index] for value in drawn))
        moved = resample(volume[None], AugmentParams(*(value[None] for value in one)))[0]
        theirs = monai_chain(one, shape)({"image": volume})["image"].as_tensor()
        theirs = torch.where(moved > 0, theirs, 0)  # MONAI's shift brightens air and padding too
        expected = (theirs + noise[index] * one.noise).clamp(0, 1)
        edge = (moved > 0) & (moved < 1e-3)  # where rounding decides whether a voxel is padding
        torch.testing.assert_close(ours[index][~edge], expected[~edge], atol=3e-4, rtol=0)


def test_brightness_and_contrast_leave_the_empty_background_at_zero():
    volume = torch.zeros(1, 1, 4, 4, 4)
    volume[..., 2:] = 0.5
    out = apply(volume, params(brightness=0.04, contrast=1.1))
    assert out[..., :2].abs().max() == 0
    torch.testing.assert_close(out[..., 2:], torch.full((1, 1, 4, 4, 2), 0.59))


def test_noise_has_the_standard_deviation_asked_for():
    volume = torch.full((1, 1, 32, 32, 32), 0.5)
    out = apply(volume, params(noise=0.02), torch.Generator().manual_seed(0))
    assert (out - volume).std().item() == pytest.approx(0.02, rel=0.03)


def test_each_sample_has_its_own_parameters_and_a_seed_repeats_them():
    config = AugmentConfig()
    first = draw(config, 64, torch.Generator().manual_seed(3))
    again = draw(config, 64, torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len(first.angle.unique()) > 20
    assert 0.3 < first.flip.float().mean() < 0.7
    assert first.angle.abs().max() <= math.radians(15)
    assert first.scale.min() >= 0.9
    assert first.scale.max() <= 1.1


def test_zero_probabilities_draw_the_identity():
    off = AugmentConfig(
        **{f"{name}_prob": 0.0 for name in ("flip", "rotate", "translate", "scale", "noise", "brightness", "contrast")}
    )
    drawn = draw(off, 8, torch.Generator().manual_seed(0))
    volume = smooth_volume((8, 8, 8)).expand(8, -1, -1, -1, -1).clone()
    torch.testing.assert_close(apply(volume, drawn), volume, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flip_prob", 1.5),
        ("rotate_degrees", 200.0),
        ("scale_min", 0.0),
        ("noise_std", -1.0),
        ("contrast", 1.0),
        ("noise_std", math.nan),
    ],
)
def test_impossible_ranges_fail_in_the_constructor(name, value):
    with pytest.raises(InputError, match=r"augmentation"):
        AugmentConfig(**{name: value})
