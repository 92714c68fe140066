"""Rows of the battery for the 2D bundles and their data sets."""
# ruff: noqa: E501 - a row is a line

import numpy as np

from tests.bad_inputs import Bad, Maker, array, folder, nothing, pickled, text

TRAIN_VAE = "train {mnist_vae} --project-dir runs --set data=digits --set limit=64 --set max_epochs=1 --set device=cpu --set compile=false"

SETTINGS = {
    "data=mnst": "data 'mnst' is not one of mnist, fashion-mnist, cifar10, digits; did you mean 'mnist'?",
    "normal=[11]": "no image has a label among [11]; the labels are",
    "limit=0": "limit is 0; it must be a whole number of at least 1, or null",
    "beta=-1": "beta",
    "beta_schedule=cosin": "did you mean 'cosine'?",
    "beta_epochs=0": "beta",
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
    "latent=0": "latent",
    "hidden=[0]": "hidden",
    "architecture=cnn": "architecture",
    "activation=rlu": "activation",
    "dropout=2": "dropout",
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
    "standardised some other way": (
        array("m.npy", np.eye(9)),
        "m.npy --set standardise=zscor",
        ("did you mean 'zscore'?",),
    ),
}

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
    *(Bad(f"train: a matrix {name}", make, f"{TRAIN_MATRIX}{data}", says) for name, (make, data, says) in MATRICES.items()),
    *(Bad(f"train 2D --set {key}", nothing, f"{TRAIN_VAE} --set {key}", (says,)) for key, says in SETTINGS.items()),
]  # fmt: skip
