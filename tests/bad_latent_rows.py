"""Rows of the battery for the pictures of 2D runs."""
# ruff: noqa: E501 - a row is a line

import shutil
from pathlib import Path

from tests.bad_inputs import Bad, Kit, Maker, both, folder, loop, nothing, text


def copied(*left_out: str) -> Maker:
    """A copy of the 2D run as ``copy``, without what is left out."""

    def make(folder: Path, kit: Kit) -> None:
        shutil.copytree(kit["vae_run"], folder / "copy", ignore=shutil.ignore_patterns(*left_out))

    return make


LATENT_ROWS = [
    Bad("latent: no such run", nothing, "latent nowhere", ("nowhere: no such run folder",)),
    Bad("latent: an empty folder", folder("empty"), "latent empty", ("empty: no checkpoints/best.json", "give a run folder")),
    Bad("latent: a run without weights", copied("checkpoints"), "latent copy", ("copy: this run kept no weights; train it again with --save-weights",)),
    Bad("latent: a run without its config", copied("resolved.json"), "latent copy", ("resolved.json: cannot be read",)),
    Bad("latent: a config that is no JSON", both(copied(), text("copy/bundle/configs/resolved.json")), "latent copy", ("resolved.json: damaged",)),
    Bad("latent: a run of volumes", nothing, "latent {run}", ("no run on images or vectors", "give one of mnist_ae")),
    Bad("latent: from an image there is not", nothing, "latent {vae_run} --out out --from 300", ("--from 300: the test part of digits has images 0 to 299; give one of these",)),
    Bad("latent: to a negative index", nothing, "latent {vae_run} --out out --to -1", ("--to -1: the test part of digits has images 0 to 299",)),
    Bad("latent: into a file", text("out"), "latent {vae_run} --out out", ("out is a file; give a folder",)),
    Bad("latent: a seed too large", nothing, "latent {vae_run} --out out --seed 4294967296", ("'--seed': 4294967296 is not in the range 0<=x<=4294967295",)),
    Bad("resume: metrics that are damaged", both(copied("tensorboard"), text("copy/metrics.csv", "a,b\n1")), "train --resume copy --set max_epochs=9", ("copy/metrics.csv: damaged; restore it, or remove it to go on without it",)),
    Bad("montage: a link to itself", loop("run"), "montage run --out all.png", ("run: no such run folder",)),
    Bad("montage: no such run", nothing, "montage {vae_run} nowhere --out all.png", ("nowhere: no such run folder",)),
    Bad("montage: a run of volumes", nothing, "montage {vae_run} {run} --out all.png", ("has no reconstructions/", "give a run folder of mnist_ae")),
    Bad("montage: a damaged picture", both(copied(), text("copy/samples/epoch_0009.png")), "montage copy --out all.png", ("epoch_0009.png: damaged, no picture",)),
    Bad("montage: no picture's name", nothing, "montage {vae_run} --out all.txt", ("all.txt: no picture format; give a name that ends in .png",)),
    Bad("montage: a run without its config", copied("resolved.json"), "montage copy --out all.png", ("resolved.json: cannot be read",)),
]  # fmt: skip
