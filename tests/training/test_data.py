"""Volumes in one tensor, and batches drawn from it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fracture_vae.cohort.geometry import CropGeometry
from fracture_vae.cohort.manifest import Case
from fracture_vae.errors import InputError
from fracture_vae.training import BatchLoader, VolumeDataset
from fracture_vae.transforms import AugmentConfig, Preprocessing, build_corruption

STILL = AugmentConfig(
    flip_prob=0, rotate_prob=0, translate_prob=0, scale_prob=0, noise_prob=0, brightness_prob=0, contrast_prob=0
)


def dataset(folder: Path, shapes: list[tuple[int, int, int]], **options: object) -> VolumeDataset:
    """A data set of volumes whose every voxel says which volume it is, but for one corner."""
    cases = []
    for index, shape in enumerate(shapes):
        array = np.full(shape, (index + 1) / 32, dtype=np.float32)
        array[0, 0, 0] = 1
        np.save(folder / f"{index}.npy", array)
        cases.append(Case(case_id=str(index), patient_id=str(index), image=folder / f"{index}.npy"))
    return VolumeDataset(cases, Preprocessing("none"), **{"multiple": 4, **options})  # type: ignore[arg-type]


def numbers(loader: BatchLoader) -> list[list[int]]:
    """Which volumes each batch of one epoch holds."""
    return [[round(v * 32) - 1 for v in batch["image"][:, 0, 1, 1, 1].tolist()] for batch in loader]


@pytest.fixture
def seven(tmp_path: Path) -> VolumeDataset:
    return dataset(tmp_path, [(4, 4, 4)] * 7)


def test_in_validation_every_volume_comes_once_and_in_order(seven: VolumeDataset) -> None:
    loader = BatchLoader(seven, 3)
    assert len(loader) == 3
    assert numbers(loader) == [[0, 1, 2], [3, 4, 5], [6]]
    assert numbers(loader) == [[0, 1, 2], [3, 4, 5], [6]]


def test_in_training_batches_are_full_and_the_order_is_new_each_epoch(seven: VolumeDataset) -> None:
    loader = BatchLoader(seven, 3, shuffle=True)
    epochs = [numbers(loader) for _ in range(4)]
    assert len(loader) == 2
    assert all([len(batch) for batch in epoch] == [3, 3] for epoch in epochs)
    assert all(len({n for batch in epoch for n in batch}) == 6 for epoch in epochs)
    assert len({str(epoch) for epoch in epochs}) == 4


def test_a_batch_larger_than_the_data_set_takes_all_there_is_and_says_so(
    seven: VolumeDataset, caplog: pytest.LogCaptureFixture
) -> None:
    assert [sorted(batch) for batch in numbers(BatchLoader(seven, 64, shuffle=True))] == [list(range(7))]
    assert "batches hold 7, all there is to train on, not batch_size 64; set batch_size=7" in caplog.text
    caplog.clear()
    BatchLoader(seven, 64)
    BatchLoader(seven, 7, shuffle=True)
    assert not caplog.text


def test_the_same_seed_gives_the_same_batches_and_another_seed_others(seven: VolumeDataset) -> None:
    def drawn(seed: int) -> torch.Tensor:
        loader = BatchLoader(seven, 3, shuffle=True, augmentation=AugmentConfig(), seed=seed)
        return torch.stack([batch["image"] for _ in range(2) for batch in loader])

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_a_loader_goes_on_from_its_state(seven: VolumeDataset) -> None:
    def made() -> BatchLoader:
        return BatchLoader(seven, 3, shuffle=True, augmentation=AugmentConfig(), seed=3)

    first, second = made(), made()
    list(first)
    state = first.state_dict()
    second.load_state_dict(state)
    for ours, theirs in zip(first, second, strict=True):
        assert torch.equal(ours["image"], theirs["image"])


@pytest.mark.parametrize("shuffle", [True, False])
def test_ranks_share_the_volumes_without_overlap(seven: VolumeDataset, shuffle: bool) -> None:
    ranks = [BatchLoader(seven, 2, shuffle=shuffle, seed=5, rank=rank, world_size=2) for rank in (0, 1)]
    first, second = ([n for batch in numbers(rank) for n in batch] for rank in ranks)
    assert not set(first) & set(second)
    if shuffle:
        assert len(ranks[0]) == len(ranks[1]), "or DDP would wait for ever"
    else:
        assert sorted(first + second) == list(range(7))


def test_ranks_augment_differently_also_after_a_resume_from_rank_0(seven: VolumeDataset) -> None:
    def augmented(rank: int, state: dict | None) -> torch.Tensor:
        loader = BatchLoader(seven, 3, shuffle=True, augmentation=AugmentConfig(noise_prob=1), rank=rank, world_size=2)
        if state is not None:
            loader.load_state_dict(state)
        return next(iter(loader))["image"] - loader.dataset.images[:1]

    state = BatchLoader(seven, 3, shuffle=True).state_dict()
    for given in (None, state):
        assert not torch.equal(augmented(0, given), augmented(1, given))


def test_more_processes_than_volumes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 volume\(s\) cannot be shared among 2"):
        BatchLoader(dataset(tmp_path, [(4, 4, 4)]), 2, shuffle=True, rank=0, world_size=2)


def test_volumes_of_mixed_size_are_centred_in_the_largest_and_the_mask_says_where(tmp_path: Path) -> None:
    mixed = dataset(tmp_path, [(4, 5, 6), (7, 2, 4)])
    assert mixed.size == (8, 8, 8)
    batch = mixed.batch([0, 1])
    assert batch["valid"].flatten(1).sum(1).tolist() == [4 * 5 * 6, 7 * 2 * 4]
    assert batch["valid"][0, 0, 2:6, 1:6, 1:7].all()
    assert batch["valid"][1, 0, 0:7, 3:5, 2:6].all()
    assert torch.equal(batch["image"] > 0, batch["valid"] > 0)
    assert batch["image"].dtype == torch.float32
    assert mixed[1]["image"].shape == (1, 8, 8, 8)


def test_volumes_of_one_size_that_fits_need_no_mask(seven: VolumeDataset) -> None:
    assert set(seven.batch([0])) == {"image"}


def test_a_given_size_is_rounded_up_and_kept(tmp_path: Path) -> None:
    assert dataset(tmp_path, [(4, 4, 4)], size=[5, 8, 9]).size == (8, 8, 12)


@pytest.mark.parametrize(
    ("size", "complaint"),
    [
        ([8, 4, 8], r"0\.npy.*exceeds size \(8, 4, 8\)"),
        ([8, 8], "size .8, 8.: give a list of one number for each of the 3"),
        (16, "size 16: give a list"),
    ],
)
def test_a_size_that_cannot_be_is_refused(tmp_path: Path, size: list[int], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        dataset(tmp_path, [(4, 5, 4)], size=size)


def test_volumes_are_held_to_a_2000th(tmp_path: Path, blob: Callable[..., Path]) -> None:
    path = blob(tmp_path / "a.npy", (8, 8, 8))
    held = VolumeDataset([Case(case_id="a", patient_id="a", image=path)], Preprocessing("none"), multiple=8)
    assert np.abs(held.batch([0])["image"][0, 0].numpy() - np.load(path)).max() <= 2.5e-4


def test_augmentation_moves_image_and_mask_together(tmp_path: Path) -> None:
    mixed = dataset(tmp_path, [(8, 8, 4), (8, 8, 8)], multiple=8)
    flips = AugmentConfig(**{**STILL.__dict__, "scale_prob": 1.0, "scale_min": 1.5, "scale_max": 1.5})
    loader = BatchLoader(mixed, 2, shuffle=True, augmentation=flips)
    batch = next(iter(loader))
    for image, valid in zip(batch["image"], batch["valid"], strict=True):
        assert not image[valid == 0].any()
        assert (image[valid == 1] > 0).all()
    flat = batch["valid"].flatten(1).sum(1)
    assert sorted(flat.tolist()) == [8 * 8 * 6, 8 * 8 * 8], "4 of 8 slices at 1.5 are 6"


def test_no_augmentation_changes_nothing(seven: VolumeDataset) -> None:
    plain, still = (BatchLoader(seven, 3, shuffle=True, seed=1, augmentation=a) for a in (None, STILL))
    for a, b in zip(plain, still, strict=True):
        torch.testing.assert_close(a["image"], b["image"])


def test_validation_is_padded_as_training_was(tmp_path: Path) -> None:
    assert tuple(dataset(tmp_path, [(4, 5, 4)], at_least=(8, 4, 4)).size) == (8, 8, 4)


def test_crops_of_another_spacing_or_window_do_not_mix(tmp_path: Path) -> None:
    def crop(spacing: float, window: tuple[float, float]) -> str:
        rows = tuple(tuple(row) for row in np.diag([spacing, spacing, spacing, 1.0]).tolist())
        return CropGeometry(20, (4, 4, 4), rows, (9, 9, 9), rows, window).to_json()

    np.save(tmp_path / "a.npy", np.linspace(0, 1, 64, dtype=np.float32).reshape(4, 4, 4))
    usual = Case(case_id="a", patient_id="p", image=tmp_path / "a.npy", crop=crop(1.0, (0, 1900)), row=2)
    for other in (crop(2.0, (0, 1900)), crop(1.0, (-200, 1000))):
        cases = [usual, replace(usual, case_id="b", crop=other, row=3)]
        with pytest.raises(InputError, match=r"rows 2 and 3 \(a, b\)"):
            VolumeDataset(cases, Preprocessing("none"))


def corrupting(data: VolumeDataset, **options: object) -> BatchLoader:
    """A loader that darkens or brightens, by half, a blob in each volume."""
    intensity = build_corruption("intensity", size=[0.5, 0.6], strength=[0.5, 0.5])
    return BatchLoader(data, 2, corruption=intensity, seed=4, **options)  # type: ignore[arg-type]


def test_a_corrupted_image_and_its_truth_come_beside_the_augmented_image(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(12, 16, 8), (16, 16, 16)])
    loader = corrupting(data, shuffle=True, augmentation=AugmentConfig())
    for _ in range(5):
        batch = next(iter(loader))
        assert set(batch) == {"image", "valid", "corrupted", "anomaly"}
        assert batch["anomaly"].shape == (2, 1, 16, 16, 16)
        assert not batch["corrupted"][batch["valid"] == 0].any()
        assert not batch["anomaly"][batch["valid"] == 0].any()
        difference = (batch["corrupted"] - batch["image"]).abs()
        assert torch.equal(batch["anomaly"] > 0, difference > 0.02)


def test_a_corruption_does_not_change_what_else_is_drawn(tmp_path: Path) -> None:
    """So that runs with and without one see the same first batch."""
    data = dataset(tmp_path, [(16, 16, 16)] * 2)
    plain = BatchLoader(data, 2, shuffle=True, augmentation=AugmentConfig(), seed=4)
    with_one = corrupting(data, shuffle=True, augmentation=AugmentConfig())
    assert torch.equal(next(iter(plain))["image"], next(iter(with_one))["image"])


def test_validation_is_corrupted_alike_in_every_epoch_and_training_is_not(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(16, 16, 16)] * 3)
    validation, training = corrupting(data), corrupting(data, shuffle=True)
    first, second = ([batch["corrupted"] for batch in validation] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0][0] - data.images[0], first[0][1] - data.images[1]), "one blob for all"
    places = [next(iter(training))["anomaly"] for _ in range(2)]
    assert not torch.equal(*places)


def test_a_resumed_training_is_corrupted_as_an_uninterrupted_one(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(16, 16, 16)] * 5)
    first, second = (corrupting(data, shuffle=True, augmentation=AugmentConfig()) for _ in range(2))
    list(first)
    second.load_state_dict(first.state_dict())
    for ours, theirs in zip(first, second, strict=True):
        assert torch.equal(ours["corrupted"], theirs["corrupted"])
        assert torch.equal(ours["anomaly"], theirs["anomaly"])


def test_ranks_corrupt_differently(tmp_path: Path) -> None:
    data = dataset(tmp_path, [(16, 16, 16)] * 4)
    first, second = (next(iter(corrupting(data, rank=rank, world_size=2))) for rank in (0, 1))
    assert not torch.equal(first["anomaly"], second["anomaly"])
