"""A network as an inference runs it: with others, over mirrored images, and with the scores that need it."""

from collections.abc import Mapping, Sequence
from itertools import chain, combinations
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fracture_vae.maps.scores import Score, Seen, require_served


class Views(nn.Module):
    """Every network looks at the images and at every mirroring of them: V views in all.

    Args:
        networks: of one architecture; an ensemble where there are several.
        scores: those that need the network; their maps are means over each network's views.
        flips: spatial axes; images are mirrored along every set of them, the empty one too.
        reconstruct: whether reconstructions are shown. Without, V is 0 and a network does only what ``scores``
            look at.

    Raises:
        InputError: for a score that needs what the networks have not.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        scores: Sequence[Score] = (),
        flips: Sequence[int] = (),
        reconstruct: bool = True,
    ) -> None:
        super().__init__()
        require_served(scores, networks[0])
        self.networks = nn.ModuleList(networks)
        self.scores = tuple(scores)
        self.reconstruct = reconstruct
        self.mirrorings = tuple(chain.from_iterable(combinations(flips, count) for count in range(len(flips) + 1)))

    def forward(self, batch: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Return (B, V * C + N * S, \\*spatial) float32: each view's reconstruction, mirrored back, network by network,
        then each of the N networks' map of each score.

        Args:
            batch: images (B, C, \\*spatial), alone or under ``image`` beside ``valid`` (B, 1, \\*spatial) and
                ``level`` (B,); see :class:`~fracture_vae.maps.scores.Seen`.
        """
        given = {"image": batch} if isinstance(batch, Tensor) else batch
        views = [
            [self._view(network, given, [2 + axis for axis in axes]) for axes in self.mirrorings]
            for network in self.networks
        ]
        places = range(len(self.scores))
        maps = [torch.stack([view.maps[place] for view in own]).mean(0) for own in views for place in places]
        shown = [view.reconstruction for own in views for view in own if view.reconstruction is not None] + maps
        if not shown:
            return given["image"][:, :0].float()
        return shown[0] if len(shown) == 1 else torch.cat(shown, 1)

    def _view(self, network: nn.Module, given: Mapping[str, Tensor], axes: Sequence[int]) -> "_View":
        valid = given.get("valid")
        seen = Seen(
            _mirrored(given["image"], axes),
            network,
            valid=None if valid is None else _mirrored(valid, axes),
            level=given.get("level"),
        )
        maps = [_mirrored(score(seen).float(), axes) for score in self.scores]
        return _View(_mirrored(seen.reconstruction.float(), axes) if self.reconstruct else None, maps)


class _View(NamedTuple):
    """What one network shows of one mirroring, mirrored back."""

    reconstruction: Tensor | None
    maps: list[Tensor]


def _mirrored(image: Tensor, axes: Sequence[int]) -> Tensor:
    return image.flip(*axes) if axes else image
