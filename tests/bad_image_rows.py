"""Rows of the battery for the 2D bundles and their data sets."""
# ruff: noqa: E501 - a row is a line

import math
from pathlib import Path
from typing import Any

import numpy as np

from tests.bad_inputs import Bad, Kit, Maker, array, both, folder, nothing, pickled, text

TRAIN_VAE = "train {mnist_vae} --project-dir runs --set data=digits --set limit=64 --set max_epochs=1 --set device=cpu --set compile=false"

SETTINGS = {
    "data=mnst": "data 'mnst' is not one of mnist, fashion-mnist, cifar10, digits; did you mean 'mnist'?",
    "normal=[1.5]": "normal is [1.5]; it must be a list of labels, such as [3, 5], or null",
    "normal=3": "normal is 3; it must be a list of labels",
    "normal=[300]": "no image has a label among [300]; the labels are",
    "limit=true": "limit is True; it must be a whole number",
    "latent=1000000": "latent is 1000000; it must be a whole number from 1 to 65536",
    "hidden=[100000]": "hidden is (100000,); it must be whole numbers from 1 to 65536",
    "prior=vamp --set prior_components=1000000000": "prior_components is 1000000000; it must lie in 1 to 65536",
    "nll_samples=-1": "nll_samples is -1; it must be a whole number of at least 0",
    "nll_images=0": "nll_images is 0; it must be a whole number of at least 1",
    f"run_name={'x' * 300}": "run_name 'xxxxxxxxxxxxxxxxxxxx…': is longer than 200 bytes; give a shorter name",
    "beta=1e400": "override --beta: inf is not a number; the config has 1.0",
    "learning_rate=NaN": "override --learning_rate: nan is not a number; the config has 0.001",
    "normal=[11]": "no image has a label among [11]; the labels are",
    "limit=0": "limit is 0; it must be a whole number of at least 1, or null",
    "beta=-1": "beta",
    "beta_schedule=cosin": "did you mean 'cosine'?",
    "beta_delay=-1": "none may be negative",
    "free_bits=-0.5": "free_bits is -0.5; it must be 0 or more",
    "capacity=-1": "capacity is -1",
    "posterior=gauss": "posterior 'gauss' is not one of",
    "prior=flow": "prior",
    "standardise=zscore": "standardise and labels are for matrices",
    "perceptual=vgg": "perceptual 'vgg': no such file; give none, own, or a run folder or checkpoint",
    "perceptual=own --set hidden=[]": "a linear encoder has no hidden layers",
    "likelihood=poisson": "likelihood",
    "reduction=max": "reduction",
    "kl_floor=5": "override --kl_floor: would have no effect with posterior gaussian; leave it out, or set posterior",
    "kl_target=5 --set beta_schedule=linear": "override --kl_target: would have no effect with beta_schedule linear",
    "final_learning_rate=0.1": "override --final_learning_rate: would have no effect with lr_schedule constant",
    "capacity_epochs=3": "override --capacity_epochs: would have no effect with capacity None",
    "latent=0": "latent",
    "hidden=[0]": "hidden",
    "architecture=cnn": "architecture",
    "activation=rlu": "activation",
    "dropout=2": "dropout",
    "norm=batch --set batch_size=1": "one sample a step cannot be batch-normalised; raise batch_size and limit",
    "posterior=batch_norm --set batch_size=1": "one sample a step cannot be batch-normalised",
    "beta_schedule=linear --set beta_epochs=0": "the epochs it takes must be 1 or more",
    "beta_schedule=sawtooth": "no schedule is called 'sawtooth'. Known: constant",
    "output=tanh": "output",
    "beta_schedule=adaptive --set kl_target=0": "kl_target",
    "posterior=delta --set kl_floor=0": "kl_floor is 0",
    "prior=vamp --set prior_components=0": "prior_components",
}

TRAIN_MATRIX = "train {mnist_vae} --project-dir runs --variant vectors --set max_epochs=1 --set device=cpu --set compile=false --set data="
MATRICES: dict[str, tuple[Maker, str, tuple[str, ...]]] = {
    "of one axis": (
        array("m.npy", np.arange(4.0)),
        "m.npy",
        ("m.npy: its shape is (4,); it must be (samples, features)",),
    ),
    "of text": (array("m.npy", np.array([["a", "b"]])), "m.npy", ("m.npy: holds <U1, not numbers",)),
    "with NaN": (array("m.npy", np.array([[1.0, 2], [3, np.nan]])), "m.npy", ("m.npy: row 1, column 1 is nan",)),
    "of objects": (pickled("m.npy"), "m.npy", ("m.npy: holds Python objects, which are not loaded",)),
    "that is not there": (nothing, "m.npy", ("m.npy: no such file",)),
    "without rows": (array("m.npy", np.zeros((0, 5))), "m.npy", ("m.npy: is empty, of shape (0, 5)",)),
    "of two rows": (array("m.npy", np.eye(2)), "m.npy", ("m.npy: has 2 rows; three are the least",)),
    "that is a folder": (folder("m.npz"), "m.npz", ("m.npz: no such file",)),
    "that is text by another name": (text("m.h5ad"), "m.h5ad", ("m.h5ad",)),
    "without the array": (
        lambda place, _: np.savez(place / "m.npz", a=np.eye(4), b=np.eye(4)),
        "m.npz",
        ("m.npz: has no array 'data', but a, b",),
    ),
    "for a sigmoid": (
        array("m.npy", 7 * np.eye(9)),
        "m.npy --set output=sigmoid --set standardise=none",
        ("which a sigmoid cannot give; set output identity",),
    ),
    "binarised": (array("m.npy", np.eye(9)), "m.npy --set binarize=true", ("binarize is for images",)),
    "with convolutions": (array("m.npy", np.eye(9)), "m.npy --set architecture=conv", ("shape is (9,)",)),
    "with labels nowhere": (
        array("m.npy", np.eye(9)),
        "m.npy --set labels=kind",
        ("labels kind: m.npy holds a matrix alone",),
    ),
    "with a label that is nan": (
        lambda place, _: np.savez(place / "m.npz", data=np.eye(9), labels=np.array([1.0] * 8 + [np.nan])),
        "m.npz",
        ("m.npz: the label of row 8 (from 0) is nan",),
    ),
    "standardised some other way": (
        array("m.npy", np.eye(9)),
        "m.npy --set standardise=zscor",
        ("did you mean 'zscore'?",),
    ),
}

TRAIN_VQ = TRAIN_VAE.replace("mnist_vae", "mnist_vq")
TRAIN_SET = TRAIN_VAE.replace("data=digits", "data=mnist --set data_dir=sets")


def image_set(train: Any = (6, 8, 8), test: Any = (1, 8, 8), labels: Any = (6,), left_out: str = "") -> Maker:
    """MNIST's four files in ``sets/mnist``, of zeros in these shapes, but for the one that is left out."""

    def make(place: Path, kit: Kit) -> None:
        shapes = {"train-images-idx3": train, "train-labels-idx1": labels, "t10k-images-idx3": test}
        for name, shape in {**shapes, "t10k-labels-idx1": test[:1]}.items():
            if name != left_out:
                head = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
                path = place / "sets" / "mnist" / f"{name}-ubyte"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(head + bytes(math.prod(shape)))

    return make


SETS: dict[str, tuple[Maker, str]] = {
    "of one image": (image_set((1, 8, 8), labels=(1,)), "data mnist: has 1 images to train and 1 to test; 6 and 1 are the least"),
    "without test images": (image_set(test=(0, 8, 8)), "data mnist: has 6 images to train and 0 to test"),
    "of two sizes": (image_set(test=(1, 9, 9)), "images of (8, 8) train and of (9, 9) test; give images of one size"),
    "with two labels an image": (image_set(labels=(6, 2)), "images and labels do not belong together"),
    "with fewer labels": (image_set(labels=(5,)), "images and labels do not belong together"),
    "without labels": (image_set(left_out="train-labels-idx1"), "sets/mnist: has no train-labels-idx1-ubyte, but other files of mnist"),
    "that is cut off": (both(image_set(), text("sets/mnist/train-images-idx3-ubyte", "")), "train-images-idx3-ubyte: not an idx file"),
}  # fmt: skip


IMAGE_ROWS = [
    Bad("data: an unknown set", nothing, "data mnst", ("data set 'mnst' is not one of mnist, fashion-mnist, cifar10; did you mean 'mnist'?",)),
    Bad("data: from no folder", nothing, "data mnist --from none --out out", ("none",)),
    Bad("data: from a folder without the files", folder("empty"), "data mnist --from empty --out out", ("empty",)),
    Bad("data: a file that is another", text("train-images-idx3-ubyte"), "data mnist --from . --out out", ("train-images-idx3-ubyte",)),
    Bad("gallery: no folder", nothing, "gallery runs", ("runs: no such folder",)),
    Bad("gallery: a file", text("runs"), "gallery runs", ("runs: a file; give a folder that holds run folders",)),
    Bad("gallery: an empty folder", folder("runs"), "gallery runs", ("runs: holds no run",)),
    Bad("gallery: a folder without runs", text("runs/pictures/a.png"), "gallery runs", ("runs: holds no run (a folder with run_meta.json or metrics.csv)",)),
    Bad("gallery: one group of two", folder("runs"), "gallery {run} runs", ("runs: holds no run",)),
    Bad("gallery: into a folder", folder("out"), "gallery {run} --out out", ("out: a folder; give the page a name, such as out/gallery.html",)),
    Bad("gallery: below a file", text("out"), "gallery {run} --out out/g.html", ("out is a file; give a folder",)),
    Bad("train: an unknown variant", nothing, "train {mnist_vae} --variant free_bit", ("no variant 'free_bit'; it has", "did you mean 'free_bits'?")),
    Bad("train: a variant of another bundle", nothing, "train {bundle} --variant free_bits", ("no variant 'free_bits'; it has bottleneck_32x",)),
    Bad("train: a fold of a bundle without folds", nothing, "train {mnist_vae} --fold 2", ("--fold 2:", "has no folds; leave it out")),
    Bad("train: a cohort for a bundle without one", nothing, "train {mnist_vae} --cohort cohort.csv", ("the config has no key 'cohort'",)),
    Bad("train 2D: more stages than halve an image", nothing, f"{TRAIN_VQ} --set channels=[8,8,8,8,8,8]", ("VQVAEConfig.size is (28, 28); it must be above 32", "6 stages", "give fewer")),
    *(Bad(f"train: images {name}", make, TRAIN_SET, (says,)) for name, (make, says) in SETS.items()),
    *(Bad(f"train: a matrix {name}", make, f"{TRAIN_MATRIX}{data}", says) for name, (make, data, says) in MATRICES.items()),
    *(Bad(f"train 2D --set {key}", nothing, f"{TRAIN_VAE} --set {key}", (says,)) for key, says in SETTINGS.items()),
]  # fmt: skip
