"""What is done to each feature before a network sees it, and the record that does the same to other samples."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fracture_vae.errors import InputError, nearest

STANDARDS = ("none", "zscore", "log1p")


@dataclass(frozen=True)
class Standard:
    """A standardisation with what it took from the samples trained on."""

    method: str
    """none; zscore, (x - mean) / deviation of each feature; log1p, ln(1 + x)."""
    mean: NDArray[np.float32] | None = None
    """(F,), of zscore."""
    deviation: NDArray[np.float32] | None = None
    """(F,), of zscore; 1 for a feature that does not vary."""

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the standardised (N, F) of values (N, F).

        Raises:
            InputError: for a value below 0 where a logarithm is asked for.
        """
        if self.method == "log1p":
            if (values < 0).any():
                row, column = np.argwhere(values < 0)[0]
                raise InputError(
                    f"standardise log1p: row {row}, column {column} is {values[row, column]} (both from 0), and "
                    "counts are 0 or more; take zscore"
                )
            return np.log1p(values)
        if self.mean is None or self.deviation is None:
            return values
        return (values - self.mean) / self.deviation

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        numbers = {"mean": self.mean, "deviation": self.deviation}
        return {"method": self.method, **{name: a.tolist() for name, a in numbers.items() if a is not None}}


def fit_standard(method: str, values: NDArray[np.float32]) -> Standard:
    """Return the standardisation called ``method``, with means and deviations of ``values`` (N, F) where it has any.

    Raises:
        InputError: for an unknown method.
    """
    if method not in STANDARDS:
        raise InputError(f"standardise '{method}' is not one of {', '.join(STANDARDS)}{nearest(method, STANDARDS)}")
    if method != "zscore":
        return Standard(method)
    deviation = values.std(0, dtype=np.float64)
    return Standard(
        method,
        values.mean(0, dtype=np.float64).astype(np.float32),
        np.where(deviation > 0, deviation, 1).astype(np.float32),
    )
