"""From what a network's views show of a case to its error map and its score."""

from collections.abc import Sequence
from typing import NamedTuple

from nibabel.affines import voxel_sizes
from torch import Tensor

from fracture_vae.errors import InputError
from fracture_vae.maps.body import body
from fracture_vae.maps.cases import LoadedCase
from fracture_vae.maps.scores import Composition, Score, Seen, case_score
from fracture_vae.maps.scores.filters import gaussian


class Made(NamedTuple):
    """A case's maps, (1, 1, H, W, D) float32 on the CPU, and its score."""

    error: Tensor
    reconstruction: Tensor | None
    """None where the views showed none."""
    score: float
    region: Tensor
    """Where the score is from, of the maps' shape, bool."""


class MapMaker:
    """Makes the maps of a composition, from images and what :class:`~fracture_vae.maps.views.Views` returned.

    Args:
        composition: which scores, and what becomes of their sum.
        networks: how many there are; an ensemble where more than one.
    """

    def __init__(self, composition: Composition, networks: int = 1) -> None:
        self.composition = composition
        self.networks = networks

    @property
    def network_scores(self) -> Sequence[Score]:
        """The scores that are computed with the network, in the order their maps are expected."""
        return [part.score for part in self.composition.parts if part.score.needs]

    def reconstructs(self, kinds: Sequence[str]) -> bool:
        """Return whether views must show reconstructions, to be written as maps of these ``kinds`` or to be scored."""
        beside = [part.score for part in self.composition.parts if not part.score.needs]
        return not {"recon", "signed"}.isdisjoint(kinds) or any(score.uses_reconstruction for score in beside)

    @property
    def display(self) -> tuple[float, float]:
        """The range a viewer shows the error map in."""
        top = sum(abs(part.weight) * part.score.display_max for part in self.composition.parts)
        signed = not self.composition.positive_only and any(
            part.weight < 0 or part.name == "signed" for part in self.composition.parts
        )
        return (-top if signed else 0.0), top

    def __call__(self, case: LoadedCase, shown: Tensor) -> Made:
        """Return the maps of ``case``, over all networks; ``shown`` is (1, V + N * S, H, W, D), on the CPU.

        Raises:
            InputError: where a map is not finite, or no voxel is left to score.
        """
        reconstructions, maps = self._split(shown)
        return self._made(case, reconstructions.flatten(0, 1), maps.mean(0).split(1, dim=0))

    def each(self, case: LoadedCase, shown: Tensor) -> list[Made]:
        """Return the maps of ``case`` under each network, as if there were no other."""
        return [self._made(case, own, maps.split(1, dim=0)) for own, maps in zip(*self._split(shown), strict=True)]

    def _split(self, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Return reconstructions (N, views, 1, H, W, D) and maps (N, S, 1, H, W, D) by network."""
        apart = self.networks * len(self.network_scores)
        views, maps = shown[0, :, None].split([shown.shape[1] - apart, apart])
        return (
            views.unflatten(0, (self.networks, len(views) // self.networks)),
            maps.unflatten(0, (self.networks, len(self.network_scores))),
        )

    def _made(self, case: LoadedCase, reconstructions: Tensor, maps: Sequence[Tensor]) -> Made:
        error = self._sum(case, reconstructions, list(maps))
        composition = self.composition
        region = case.region
        if composition.smoothing_mm > 0:
            error = _smoothed(error, case, composition.smoothing_mm)
        if composition.body_mask:
            inside = body(case.image)
            error, region = error * inside, region & inside
        if composition.positive_only:
            error = error.clamp_min(0)
        if not error.sum().isfinite():
            raise InputError(f"{case.item['image']}: its {composition.name} map is not finite; choose another score")
        score = case_score(error, case.valid, region, composition.top_fraction)
        return Made(error, _mean(reconstructions) if len(reconstructions) else None, score, region)

    def _sum(self, case: LoadedCase, reconstructions: Tensor, maps: list[Tensor]) -> Tensor:
        """Return the weighted sum of all scores."""
        if len(reconstructions):
            image, valid = (one.expand(reconstructions.shape) for one in (case.image, case.valid))
            seen = Seen(image, reconstruction=reconstructions, valid=valid)
        else:
            seen = Seen(case.image, valid=case.valid)
        total: Tensor | None = None
        for part in self.composition.parts:
            map_ = maps.pop(0) if part.score.needs else _mean(part.score(seen))
            weighted = map_ if part.weight == 1 else part.weight * map_
            total = weighted if total is None else total + weighted
        assert total is not None
        return total


def _mean(views: Tensor) -> Tensor:
    """Return the mean over the first axis, kept."""
    return views if len(views) == 1 else views.mean(0, keepdim=True)


def _smoothed(error: Tensor, case: LoadedCase, millimetres: float) -> Tensor:
    """Smooth within the field of view: what lies outside has no weight."""
    assert case.stored is not None
    sigmas = (millimetres / voxel_sizes(case.stored.ras_affine)).tolist()
    if case.valid.all():
        return gaussian(error, sigmas)
    weight = gaussian(case.valid.float(), sigmas)
    return gaussian(error * case.valid, sigmas) / weight.clamp_min(1e-6) * case.valid
