"""Public sets of small labelled images for the 2D bundles: MNIST, Fashion-MNIST, CIFAR-10 and scikit-learn's digits."""

from fracture_vae.cohort.images.catalog import DATASETS, DataFile, DataSet, find_dataset
from fracture_vae.cohort.images.fetch import fetch_images
from fracture_vae.cohort.images.load import Images, LabelledImages, images_folder, load_images, open_images

__all__ = [
    "DATASETS", "DataFile", "DataSet", "Images", "LabelledImages", "fetch_images", "find_dataset", "images_folder",
    "load_images",
    "open_images",
]  # fmt: skip
