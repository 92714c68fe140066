"""Where the pictures of a latent plane lie."""

import torch

from fracture_vae.training.pictures import latent_plane, normal_steps, tiled


def test_a_plane_goes_from_its_upper_left_row_by_row() -> None:
    plane = latent_plane(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([5.0, 6.0]))
    assert plane.tolist() == [[0, 6], [1, 6], [2, 6], [0, 5], [1, 5], [2, 5]]


def test_steps_have_equal_shares_of_the_normal_distribution_between_them() -> None:
    shares = torch.special.ndtr(normal_steps(5))
    torch.testing.assert_close(shares, torch.tensor([0.03, 0.265, 0.5, 0.735, 0.97]))


def test_tiles_lie_row_by_row_with_a_gap() -> None:
    images = torch.stack([torch.full((1, 2, 2), value) for value in (0.0, 1.0, 0.2)])
    assert tiled(images, 2).tolist() == [
        [0, 0, 128, 255, 255],
        [0, 0, 128, 255, 255],
        [128, 128, 128, 128, 128],
        [51, 51, 128, 128, 128],
        [51, 51, 128, 128, 128],
    ]
