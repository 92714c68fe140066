"""Public image sets: formats by hand, content against SHA-256, and clear words when there is nothing."""

import contextlib
import gzip
import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracture_vae.cohort.images import DATASETS, DataFile, DataSet, fetch_images, load_images, open_images
from fracture_vae.cohort.images.formats import parse_idx, read_cifar
from fracture_vae.cohort.images.load import DIGITS, digits
from fracture_vae.errors import InputError


def idx(array: np.ndarray) -> bytes:
    """An idx file of bytes, as LeCun's page describes it."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def small() -> tuple[DataSet, dict[str, bytes]]:
    """A data set of three train and two test images, and its files."""
    arrays = [
        np.arange(3 * 4).reshape(3, 2, 2),
        np.array([7, 8, 9]),
        np.arange(2 * 4).reshape(2, 2, 2),
        np.array([1, 0]),
    ]
    names = [file.name for file in DATASETS["mnist"].files]
    contents = {name: idx(array) for name, array in zip(names, arrays, strict=True)}
    files = tuple(DataFile(name, hashlib.sha256(content).hexdigest()) for name, content in contents.items())
    return DataSet("mnist", "Small", files, (), "none"), contents


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 10**6))
def test_idx_round_trips(shape: list[int], seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    assert np.array_equal(parse_idx(idx(array), "x"), array)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_other_bytes_are_refused_in_one_line(content: bytes) -> None:
    sound = None
    with contextlib.suppress(InputError):
        sound = parse_idx(content, "file")
    if sound is not None:
        assert idx(sound) == content
        return
    with pytest.raises(InputError, match=r"^file: [^\n]*$"):
        parse_idx(content, "file")


def test_files_are_taken_from_a_folder_zipped_or_not_and_read(tmp_path: Path) -> None:
    dataset, contents = small()
    source = tmp_path / "deep" / "er"
    source.mkdir(parents=True)
    for number, (name, content) in enumerate(contents.items()):
        path = source / (name if number % 2 else f"{name}.gz")
        path.write_bytes(content if number % 2 else gzip.compress(content))
    folder = fetch_images(dataset, tmp_path / "out", tmp_path / "deep")
    images = load_images(dataset, folder)
    assert images.train.images.shape == (3, 1, 2, 2)
    assert images.train.labels.tolist() == [7, 8, 9]
    assert images.test.images[1, 0].tolist() == [[4, 5], [6, 7]]


def test_another_file_under_the_name_is_refused_and_not_kept(tmp_path: Path) -> None:
    dataset, contents = small()
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content[:-1] + b"x")
    with pytest.raises(InputError, match="is not the authors'"):
        fetch_images(dataset, tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_is_fetched_again_and_a_sound_one_kept(tmp_path: Path) -> None:
    dataset, contents = small()
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for name, content in contents.items():
        (source / name).write_bytes(content)
    fetch_images(dataset, out, source)
    first, second = (out / file.name for file in dataset.files[:2])
    first.write_bytes(b"damaged")
    kept = second.stat().st_mtime_ns
    fetch_images(dataset, out, source)
    assert first.read_bytes() == contents[first.name]
    assert second.stat().st_mtime_ns == kept


def test_without_any_way_it_says_what_was_tried_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, _ = small()
    monkeypatch.setattr("fracture_vae.cohort.images.fetch.shutil.which", lambda _: None)
    offline = replace(dataset, mirrors=("http://127.0.0.1:9/",), npm="some@1", debian="other")
    with pytest.raises(InputError, match=r"could not be had: http://127.0.0.1:9/ .*--from"):
        fetch_images(offline, tmp_path / "out")


def test_a_folder_that_lacks_a_file_is_told(tmp_path: Path) -> None:
    dataset, contents = small()
    name = dataset.files[0].name
    (tmp_path / name).write_bytes(contents[name])
    with pytest.raises(InputError, match="has no train-labels-idx1-ubyte"):
        fetch_images(dataset, tmp_path / "out", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        fetch_images(dataset, tmp_path / "out", tmp_path / "none")


def cifar(path: Path, per_batch: int = 2) -> Path:
    """A CIFAR-10 archive of a few images, whose image i of batch b is filled with 10 b + i and labelled i."""
    with tarfile.open(path, "w:gz") as archive:
        for number in range(1, 7):
            name = "test_batch.bin" if number == 6 else f"data_batch_{number}.bin"
            content = b"".join(bytes([i]) + bytes([10 * number + i]) * 3072 for i in range(per_batch))
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_cifar_s_binary_archive_is_read(tmp_path: Path) -> None:
    splits = read_cifar(cifar(tmp_path / "cifar-10-binary.tar.gz"))
    images, labels = splits["train"]
    assert images.shape == (10, 3, 32, 32)
    assert labels.tolist() == [0, 1] * 5
    assert images[3, 2, 31, 31] == 21
    assert splits["test"][0][:, 0, 0, 0].tolist() == [60, 61]


def test_what_is_no_cifar_archive_is_told(tmp_path: Path) -> None:
    path = cifar(tmp_path / "a.tar.gz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"a\.tar\.gz: not CIFAR-10's binary archive"):
        read_cifar(path)


def test_without_data_the_digits_stand_in_and_it_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = open_images("mnist", tmp_path)
    assert images.name == DIGITS
    assert "fracture-vae data mnist" in caplog.text
    assert images.train.images.shape[1:] == (1, 28, 28)
    assert len(images.train.images) + len(images.test.images) == 1797
    assert images.train.images.max() == 255


def test_the_enlarged_digits_keep_their_shape() -> None:
    from sklearn.datasets import load_digits

    large = digits().test.images[:50, 0, 2:26, 2:26] / 255
    small_again = large.reshape(50, 8, 3, 8, 3).mean((2, 4))
    original = load_digits().images[::6][:50] / 16
    assert np.corrcoef(small_again.ravel(), original.ravel())[0, 1] > 0.97


def test_an_unknown_set_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'mnist'"):
        open_images("minst", tmp_path)
