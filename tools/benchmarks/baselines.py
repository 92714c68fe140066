"""The models without a network that a learned one must beat: templates, and PCA."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from fracture_vae.evaluation.baselines import Volumes, mean_template
from fracture_vae.transforms import pad_to


def common_grid(arrays: Sequence[NDArray[np.float32]], shape: Sequence[int]) -> Volumes:
    """Return ``arrays`` (each (H, W, D)) centred in ``shape``, flattened."""
    images = [pad_to(array, shape).ravel() for array in arrays]
    valid = [pad_to(np.ones(array.shape, np.float32), shape).ravel() > 0 for array in arrays]
    return Volumes(np.stack(images), np.stack(valid))


def median_template(train: Volumes) -> NDArray[np.float32]:
    """Return (V,), each voxel's median, the one picture with the least L1 error; the mean template where undefined.

    Where few voxels are bright it is black: a network that merely learns to be dark beats the mean template in L1,
    but not this one.
    """
    inside = np.ma.masked_array(train.images, ~train.valid)
    return np.asarray(np.ma.median(inside, axis=0).filled(mean_template(train)), dtype=np.float32)


def fill(volumes: Volumes, template: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the images (N, V) with the template's value outside each volume."""
    return np.where(volumes.valid, volumes.images, template)


def pca_reconstruction(train: Volumes, held_out: Volumes, components: int) -> NDArray[np.float32]:
    """Return ``held_out`` projected on the first principal components of ``train``, clipped to [0, 1], (N, V).

    Voxels outside a volume are filled from the mean template first, so that no component is spent on how large a
    volume is. Unlike a codebook's indices the coefficients are not quantized.
    """
    template = mean_template(train)
    pca = PCA(components, svd_solver="full").fit(fill(train, template))
    reconstructed = pca.inverse_transform(pca.transform(fill(held_out, template)))
    return np.clip(reconstructed, 0, 1, dtype=np.float32)
