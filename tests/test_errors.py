"""What counts as the user's error."""

import numpy as np
import pytest
import torch

from fracture_vae.errors import InputError, known_cause


def test_memory_that_did_not_suffice_is_told_with_what_helps() -> None:
    with pytest.raises(RuntimeError) as failed:
        torch.empty(2**60, dtype=torch.uint8)
    for error in (failed.value, MemoryError(), torch.OutOfMemoryError("CUDA out of memory")):
        wrapped = RuntimeError("a config's expression failed")
        wrapped.__cause__ = error
        known = known_cause(wrapped)
        assert isinstance(known, InputError)
        assert "not enough memory" in str(known)
        assert "batch_size" in str(known)


def test_other_errors_are_not_the_user_s() -> None:
    assert known_cause(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert known_cause(np.linalg.LinAlgError("singular")) is None
    assert known_cause(None) is None
