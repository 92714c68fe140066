"""Files are written whole or not at all."""

import errno
import gzip
import hashlib
import os
from pathlib import Path

import pytest

from fracture_vae.errors import InputError, PartialFailure, exit_status, known_cause, nearest
from fracture_vae.files import read_json, replacing, require_folder, sha256, write_text


def test_a_file_is_replaced_when_all_is_well(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.nii.gz"
    with replacing(target) as temporary:
        assert temporary.name.endswith("a.nii.gz")
        temporary.write_bytes(gzip.compress(b"1"))
        assert not target.exists()
    assert gzip.decompress(target.read_bytes()) == b"1"
    assert [path.name for path in target.parent.iterdir()] == ["a.nii.gz"]


def test_on_an_error_the_old_content_stays_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old µ")

    def fail() -> None:
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "old µ"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_told_and_the_old_content_stays(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")

    def fail() -> None:
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(InputError, match=r"a\.txt: cannot be written \(No space left on device\); free"):
        fail()
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {"a.txt": "old"}


@pytest.mark.parametrize("given", ["a\nb", "a\rb", "a\x00b", "a\u2028b", "a\udc80b", "x" * 10_000])
def test_a_complaint_is_one_line_that_any_terminal_shows_whatever_it_quotes(given: str) -> None:
    for error in (InputError(f"{given}: wrong; mend it"), PartialFailure({given: "wrong; mend it"}, 1)):
        assert len(str(error).splitlines()) == 1
        assert str(error).isprintable()
        assert "wrong; mend it" in str(error)
    assert len(str(InputError(given))) < 1100


def test_a_json_of_our_own_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(InputError, match=r"a\.json: damaged, it is not JSON"):
        read_json(tmp_path / "a.json")


def test_sha256_is_hashlib_s(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000  # more than one block
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_folder_is_one_or_can_become_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    require_folder(tmp_path)
    require_folder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="file is a file; give a folder"):
            require_folder(place)


def test_the_user_s_error_is_found_below_others() -> None:
    def wrapped() -> None:
        try:
            raise InputError("bad")
        except InputError as error:
            raise RuntimeError("MONAI's") from error

    with pytest.raises(RuntimeError) as caught:
        wrapped()
    assert str(known_cause(caught.value)) == "bad"
    assert known_cause(ValueError("ours")) is None


def test_the_nearest_name_is_suggested_if_there_is_one() -> None:
    assert nearest("fodl", ["fold", "cohort"]) == "; did you mean 'fold'?"
    assert nearest("xyz", ["fold", "cohort"]) == ""


def test_one_failed_case_is_one_line_and_status_says_whether_others_are_written() -> None:
    alone = PartialFailure({"p1": "p1.nii: damaged"}, 0)
    assert (str(alone), exit_status(alone)) == ("p1: p1.nii: damaged", 2)
    among = PartialFailure({"p1": "p1.nii: damaged"}, 2)
    assert (str(among), exit_status(among)) == ("p1: p1.nii: damaged; 2 other case(s) written", 1)
    two = PartialFailure({"p1": "a", "p2": "b"}, 1)
    assert str(two).splitlines() == ["2 cases failed, 1 written:", "  p1: a", "  p2: b"]
    assert exit_status(InputError("x")) == 2
