"""The storage benchmark's formats and arithmetic, on crops small enough to know by hand."""

from pathlib import Path

import numpy as np
import pytest

from fracture_vae.errors import InputError
from tools.benchmarks.storage import Measured, Timing, crops, formats, measure, table

CROP = np.linspace(0, 1, 512, dtype=np.float32).reshape(8, 8, 8)


@pytest.mark.parametrize("name", formats())
def test_every_format_gives_back_the_crop_within_its_rounding(name: str, tmp_path: Path) -> None:
    form = formats()[name]
    form.write(tmp_path / f"crop{form.suffix}", CROP)
    read = form.read(tmp_path / f"crop{form.suffix}")
    assert read.dtype == np.float32
    step = {"float32": 0, "float16": 2**-11}.get(name.split()[1], 2**-15)  # between 1/2 and 1 float16 has 11 bits
    assert np.abs(read - CROP).max() <= step / 2 + 1e-7


def test_what_is_measured_is_the_file_and_the_rounding(tmp_path: Path) -> None:
    found = measure(formats(), [CROP, CROP], tmp_path, repeats=5)[".npy float16"]
    assert (found.crops, found.loads) == (2, 10)
    assert found.megabytes == pytest.approx((512 * 2 + 128) / 1e6)
    assert found.max_error_hu == pytest.approx(1900 * np.abs(CROP.astype(np.float16) - CROP).max())
    assert 0 < found.warm.low <= found.warm.median <= found.warm.high
    assert list(tmp_path.iterdir()) == []


def test_the_table_shows_the_range_over_sources() -> None:
    def measured(milliseconds: float, error: float) -> Measured:
        timing = Timing(milliseconds / 1000, 0, 1)
        return Measured(1, 5, 1.25, timing, timing, timing, error)

    *_, row = table({"x": {"a": measured(10, 0.02), "b": measured(30, 0.03)}}).splitlines()
    assert row == "| x | 1.25 | 1.25 | 10–30 | 10–30 | 10–30 | 0.03 |"


def test_real_crops_are_of_one_size_and_in_the_window(real_data: Path) -> None:
    sources = crops(real_data)
    assert {name: len(arrays) for name, arrays in sources.items()} == {
        "ct_verse014": 5, "ct_totalsegmentator": 5, "phantom": 3,
    }  # fmt: skip
    for crop in (crop for arrays in sources.values() for crop in arrays):
        assert crop.shape == (128, 128, 128)
        assert 0 == crop.min() < crop[54:74, 54:74, 54:74].mean() < crop.max() <= 1


def test_data_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        crops(tmp_path)
