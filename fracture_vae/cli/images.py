"""``data``: public image sets for the 2D bundles."""

from pathlib import Path

import click

from fracture_vae.cli.options import FILE


@click.command()
@click.argument("name")
@click.option("--from", "source", type=FILE, default=None, help="Folder that holds the files; nothing is downloaded.")
@click.option("--out", type=FILE, default=None, help="Folder of data sets. [default: images in the cache folder]")
def data(name: str, source: Path | None, out: Path | None) -> None:
    """Fetch the image set NAME (mnist, fashion-mnist or cifar10), verified against SHA-256."""
    from fracture_vae.cohort.images import fetch_images, find_dataset, images_folder

    dataset = find_dataset(name)
    folder = fetch_images(dataset, (out or images_folder()) / dataset.name, source)
    click.echo(f"{dataset.title} ({dataset.licence}) in {folder}")
