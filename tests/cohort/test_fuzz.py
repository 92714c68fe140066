"""Whatever bytes a volume or a table is made of, it is read, or told in one line that names the file."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fracture_vae.cohort.datalist import from_datalist
from fracture_vae.cohort.manifest import Cohort, read_cohort
from fracture_vae.cohort.volumes import Volume, read_stored, read_volume
from fracture_vae.errors import InputError

pytestmark = pytest.mark.filterwarnings("error")
fuzzed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NUMBERS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


def _npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, NUMBERS)
    return stream.getvalue()


NII = nib.Nifti1Image(NUMBERS, np.diag([2, 2, 3, 1.0])).to_bytes()
WHOLE = {"a.nii": NII, "a.nii.gz": gzip.compress(NII, mtime=0), "b.nii.gz": NII, "a.npy": _npy()}
"""A sound file of each kind; ``b`` is zipped after it is damaged, so that the damage lies in the header."""


@st.composite
def damaged(draw: Any, name: str) -> bytes:
    """A sound file with some bytes changed, most of them in the header, perhaps cut short or longer."""
    content = bytearray(WHOLE[name])
    header = min(len(content), 352)
    places = st.one_of(st.integers(0, header - 1), st.integers(0, len(content) - 1))
    for place, value in draw(st.lists(st.tuples(places, st.binary(min_size=1, max_size=8)), max_size=4)):
        content[place : place + len(value)] = value
    end = draw(st.one_of(st.none(), st.integers(0, len(content))))
    result = bytes(content[:end]) + draw(st.one_of(st.just(b""), st.binary(max_size=20)))
    return gzip.compress(result, mtime=0) if name == "b.nii.gz" else result


def outcome(read: Callable[[Path], Any], path: Path) -> Any:
    """What is read, or None if that is told in one line that begins with the file's name."""
    try:
        return read(path)
    except InputError as error:
        told = str(error)
    assert told.startswith(f"{path}: ")
    assert len(told.splitlines()) == 1
    return None


@pytest.mark.parametrize("name", WHOLE)
@fuzzed
@given(data=st.data())
def test_a_damaged_volume_is_read_or_told(tmp_path: Path, name: str, data: st.DataObject) -> None:
    path = tmp_path / name
    path.write_bytes(data.draw(damaged(name)))
    volume = outcome(read_volume, path)
    if volume is not None:
        assert isinstance(volume, Volume)
        assert np.isfinite(volume.array).all()
        assert np.isfinite(volume.affine).all()
        assert volume.array.nbytes <= 1032 * 4 * path.stat().st_size
        assert read_stored(path).shape == volume.stored.shape


COLUMNS = ["case_id", "patient_id", "level", "label", "fold", "image", "mask", "box", "genant_grade", "crop"]
CELLS = st.one_of(
    st.sampled_from(["", "0", "1", "2", "test", "a", "b", "a.nii", "./a.nii", "..", ".", "0:1,0:1,0:1", "１", "²",
                     "1.0", "-1", "NaN", "\x00", "a\nb", '"', "x" * 300, "x" * 140_000, "/", "a\x00.nii", "\ud800"]),
    st.text(max_size=12),
)  # fmt: skip


@st.composite
def tables(draw: Any) -> bytes:
    """A table that is one, or nearly."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8"))))
    columns = draw(st.one_of(st.just(COLUMNS), st.permutations(COLUMNS), st.lists(CELLS, max_size=12)))
    good = dict(zip(COLUMNS, ["a", "a", "L1", "0", "1", "a.nii", "", "", "", ""], strict=True))
    rows = [columns]
    for _ in range(draw(st.integers(0, 4))):
        row = [good.get(name, "") for name in columns]
        for place in draw(st.lists(st.integers(0, max(len(row) - 1, 0)), max_size=3)):
            row[place : place + 1] = [draw(CELLS)]
        rows.append(row)
    quote = draw(st.booleans())
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    cells = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' if quote else cell for cell in row] for row in rows]
    text = end.join(draw(st.sampled_from([",", ";", "\t", "|"])).join(row) for row in cells)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-8", "utf-16", "latin-1"]))
    return text.encode(encoding, "replace")


@settings(fuzzed, max_examples=100)
@given(content=tables())
def test_any_table_is_a_cohort_or_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cohort.csv"
    (tmp_path / "a.nii").write_bytes(NII)
    (tmp_path / "b").write_bytes(NII)
    path.write_bytes(content)
    cohort = outcome(read_cohort, path)
    if cohort is not None:
        assert isinstance(cohort, Cohort)
        assert cohort.cases
        assert all(case.image.is_file() for case in cohort.cases)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("a.nii")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["image", "label", "fold", "case_id", "box", "x"]), inner, max_size=4),
    ),
    max_leaves=8,
)  # fmt: skip


@settings(fuzzed, max_examples=100)
@given(training=VALUES, testing=VALUES)
def test_any_datalist_is_cases_or_told(tmp_path: Path, training: Any, testing: Any) -> None:
    path = tmp_path / "list.json"
    (tmp_path / "a.nii").write_bytes(NII)
    path.write_text(json.dumps({"training": training, "testing": testing}), encoding="utf-8")
    cases = outcome(from_datalist, path)
    assert cases is None or len(cases) > 0
