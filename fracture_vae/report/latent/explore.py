"""Everything a latent space can be shown by, into one folder."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.files import require_folder
from fracture_vae.report.latent.between import Ends, animate, choose_ends, strip
from fracture_vae.report.latent.embedding import FEWEST, told_dimensions, tsne, umap
from fracture_vae.report.latent.figures import Grid, Heading, head, pictures, save, scatter
from fracture_vae.report.latent.model import LatentModel, open_latent
from fracture_vae.report.latent.points import Points, find_points, write_points
from fracture_vae.report.latent.steps import draws, steps_along, traversals
from fracture_vae.training.pictures import latent_plane, normal_steps

POINTS = "points.csv"
MAPS = {"tsne": ("t-SNE", tsne), "umap": ("UMAP", umap)}
_PLANE = 20  # images along each side of the latent plane
_SAMPLES = 10  # along each side
_STEPS = 11  # images of a traversal
_MOST_TRAVERSED = 16  # dimensions


class Explored(NamedTuple):
    """What was written, and what was left out: name to reason."""

    written: list[Path]
    left_out: dict[str, str]


class _Drawn(NamedTuple):
    """A figure, its file, its title and what it shows how many of."""

    file: str
    title: str
    shows: str
    figure: Figure


def explore_latent(
    run: str | Path, out: str | Path | None = None, start: int | None = None, end: int | None = None, seed: int = 0
) -> Explored:
    """Draw the latent space of a 2D run, and write its points as a table.

    ``points.csv``; ``scatter.png``; ``tsne.png`` and ``umap.png`` where there are more than two dimensions;
    ``plane.png`` where there are two; ``traversals.png``, ``interpolation.png`` and ``.gif``, and ``samples.png``. The
    same seed gives the same files on the same machine.

    Args:
        run: a run folder with weights, or a checkpoint in one.
        out: the folder; ``latent`` in the run folder by default.
        start, end: indices in the test part between which to interpolate.
        seed: of the images shown, the draws from the prior, t-SNE and UMAP.

    Raises:
        InputError: see `open_latent`; or an index there is not, or a folder that can't be made.
    """
    model = open_latent(run)
    folder = Path(out) if out is not None else model.run / "latent"
    require_folder(folder)
    points = find_points(model, seed)
    ends = choose_ends(model, points, start, end)
    points, left_out = _mapped(points, seed)
    write_points(points, folder / POINTS)
    written = [folder / POINTS]
    for drawn in _figures(model, points, ends, seed):
        head(drawn.figure, Heading(drawn.title, model.title, _note(model, drawn.shows, seed)))
        save(drawn.figure, folder / drawn.file)
        written.append(folder / drawn.file)
    if model.pictures:
        heading = Heading("Interpolation", model.title, _note(model, "n = 2 test images", seed))
        animate(model, ends, folder / "interpolation.gif", heading)
        written.append(folder / "interpolation.gif")
    return Explored(written, left_out | _impossible(model))


def _mapped(points: Points, seed: int) -> tuple[Points, dict[str, str]]:
    """Return points of more than two dimensions with their maps, and the files of those that can't be, with why."""
    maps, left_out = {}, {}
    if points.z.shape[1] > 2:
        for name, (_, method) in MAPS.items():
            try:
                if len(points.z) < FEWEST:
                    raise InputError(f"{len(points.z)} images are too few")
                maps[name] = method(points.z, seed)
            except InputError as error:
                left_out[f"{name}.png"] = str(error)
    return replace(points, maps=maps), left_out


def _impossible(model: LatentModel) -> dict[str, str]:
    """Return the figures that a model of this kind can't have, and why."""
    if model.quantized:
        why = "the latent space of a VQ-VAE is a grid of codes"
        return {
            "scatter.png, traversals.png": f"{why}, without dimensions to go along",
            "samples.png": f"{why}, without a prior to draw from",
        }
    if not model.pictures:
        return {"traversals.png, interpolation.png, samples.png": "vectors have no picture"}
    return {}


def _note(model: LatentModel, shows: str, seed: int) -> str:
    seen = "" if model.normal is None else f"; trained on class {', '.join(map(str, model.normal))} alone"
    return f"{shows}; {model.data}; seed {seed}{seen}"


def _figures(model: LatentModel, points: Points, ends: Ends, seed: int) -> Iterator[_Drawn]:
    """Yield every figure the model can have but the animation."""
    if not model.quantized:
        yield _scatter(model, points)
    for name in points.maps:
        yield _map(model, points, name)
    if model.pictures:
        yield _Drawn("interpolation.png", "Interpolation", "n = 2 test images", pictures(strip(model, ends)))
    if model.pictures and not model.quantized:
        if points.z.shape[1] == 2:
            yield _plane(model, points)
        yield _traversals(model, points, ends)
        yield _samples(model, points, seed)


def _scatter(model: LatentModel, points: Points) -> _Drawn:
    """Draw the two dimensions along which the images differ most; one alone against the class."""
    if points.z.shape[1] == 1:
        places, axes = torch.stack([points.z[:, 0], points.labels.float()], 1), [_axis(model, 0), "class"]
    else:
        dimensions = points.varying[:2].sort().values
        places, axes = points.z[:, dimensions], [_axis(model, dimension) for dimension in dimensions.tolist()]
    most = f", the 2 of {points.z.shape[1]} dimensions with most variance" if points.z.shape[1] > 2 else ""
    title = f"{_places(model).capitalize()} by class{most}"
    return _Drawn("scatter.png", title, _count(model, points), scatter(places, points.labels, *axes))


def _map(model: LatentModel, points: Points, name: str) -> _Drawn:
    method = MAPS[name][0]
    axes = (f"{method} {number} (arbitrary units)" for number in (1, 2))
    shows = f"{_count(model, points)}, {told_dimensions(points.z)}"
    figure = scatter(points.maps[name], points.labels, *axes)
    return _Drawn(f"{name}.png", f"{method} of the {_places(model)} by class", shows, figure)


def _plane(model: LatentModel, points: Points) -> _Drawn:
    x, y = (steps_along(model, points, dimension, _PLANE) for dimension in (0, 1))
    steps = "equally likely under the prior" if model.standard else "quantiles of the images' codes"
    across = f"{_axis(model, 0)}, in steps {steps}"
    grid = Grid(model.decode(latent_plane(x, y)), _values(x), _values(y.flip(0)), across, _axis(model, 1))
    return _Drawn("plane.png", "Decoded latent plane", f"n = {len(grid.images)} points", pictures(grid))


def _traversals(model: LatentModel, points: Points, ends: Ends) -> _Drawn:
    """Draw the dimensions along which the images differ most, from the first of the two images onwards."""
    dimensions = points.varying[:_MOST_TRAVERSED]
    widths = points.z.std(0, unbiased=False)
    rows = [f"z_{dimension + 1}  ({widths[dimension]:.2f})" for dimension in dimensions.tolist()]
    if model.standard:
        columns, across = _values(steps_along(model, points, 0, _STEPS)), f"value of the dimension ({_units(model)})"
    else:
        columns = [f"{share:.0%}" for share in torch.special.ndtr(normal_steps(_STEPS)).tolist()]
        across = f"value of the dimension (quantile of {len(points.z)} images)"
    grid = Grid(
        model.decode(traversals(model, points, dimensions, ends.z[0], _STEPS)), columns, rows,
        f"{across};\nthe other dimensions as in {ends.names[0]}", "dimension (sd over images)",
    )  # fmt: skip
    shown, there = len(dimensions), points.z.shape[1]
    title = f"Traversals, most variance first: {shown} of {there} dimensions"
    return _Drawn("traversals.png", title, _count(model, points), pictures(grid))


def _samples(model: LatentModel, points: Points, seed: int) -> _Drawn:
    images = model.decode(draws(model, points, _SAMPLES**2, seed))
    numbers = range(_SAMPLES)
    grid = Grid(
        images, [str(n) for n in numbers], [str(n * _SAMPLES) for n in numbers], "number of the draw, plus the row's",
        "draw",
    )  # fmt: skip
    source = "the prior" if model.prior is not None else "a Gaussian fitted to the codes"
    return _Drawn("samples.png", f"Decoded draws from {source}", f"n = {len(images)} draws", pictures(grid))


def _count(model: LatentModel, points: Points) -> str:
    return f"n = {len(points.z)} of {len(model.images)} test images"


def _axis(model: LatentModel, dimension: int) -> str:
    return f"z_{dimension + 1} ({_units(model)})"


def _places(model: LatentModel) -> str:
    if model.prior is not None:
        return "posterior means"
    return "encoder's vectors" if model.quantized else "codes"


def _units(model: LatentModel) -> str:
    return "standard deviations of the prior" if model.standard else "units of the code"


def _values(steps: Tensor) -> list[str]:
    return [f"{value:.2f}" for value in steps.tolist()]
