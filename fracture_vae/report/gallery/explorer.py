"""The latent explorer's markup: the places of images, the decoded plane, and in words what it shows."""

from fracture_vae.markup import data_uri, text, values
from fracture_vae.report.gallery.latent import Plane

_COLOURS = (
    "#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#8c8c8c",
)  # fmt: skip
"""Tableau's ten, which are told apart on light and on dark."""
_STEPS = 1000  # to which an image's place is rounded, along each side of the plane


def explorer(plane: Plane, name: str) -> str:
    """Return the explorer of a run called ``name``; the script makes the pointer move through it."""
    classes = sorted(set(plane.labels.tolist()))
    colours = [_colour(index) for index in range(len(classes))]
    low, high = plane.points.new_tensor(plane.low), plane.points.new_tensor(plane.high)
    places = ((plane.points - low) / (high - low) * _STEPS).round().int()
    axes = [f"dimension {dim + 1}" for dim in plane.dims]
    known = {
        "axes": axes,
        "low": plane.low,
        "high": plane.high,
        "steps": _STEPS,
        "places": places.flatten().tolist(),
        "classes": [classes.index(label) for label in plane.labels.tolist()],
        "names": [str(label) for label in classes],
        "colours": colours,
        "cells": plane.cells,
        "size": plane.size,
    }
    legend = "".join(
        f'<li><span style="background: {colour}"></span>{label}</li>'
        for label, colour in zip(classes, colours, strict=True)
    )
    ends = [f"{low:.2f} to {high:.2f}" for low, high in zip(plane.low, plane.high, strict=True)]
    return (
        f'<div class="explorer">\n<h3>Latent explorer</h3>\n<p>{_words(plane)}</p>\n'
        f'<script type="application/json">{values(known)}</script>\n'
        '<div class="row">\n<figure class="plane"><canvas tabindex="0" role="application" '
        f'aria-label="{text(f"Latent plane of {name}: move the pointer, or press the arrow keys, to decode a point")}">'
        f"</canvas><figcaption>across: {axes[0]}, {ends[0]}; up: {axes[1]}, {ends[1]}</figcaption>\n"
        f'<ul class="classes" aria-label="Classes">{legend}</ul></figure>\n'
        '<figure class="decoded"><canvas role="img" aria-label="The decoded image"></canvas>'
        "<figcaption><output>Move the pointer over the plane, or press the arrow keys on it.</output></figcaption>"
        "</figure>\n"
        f'<figure class="sprite"><img src="{data_uri(plane.sprite, "image/png")}" loading="lazy" '
        f'alt="{text(f"The latent plane of {name}, decoded on a grid")}"><figcaption>The plane decoded on a grid of '
        f"{plane.cells} × {plane.cells}</figcaption></figure>\n</div>\n</div>"
    )


def _words(plane: Plane) -> str:
    """Return what the explorer shows, and what it does not."""
    first, second = plane.dims
    rest = plane.latent - 2
    which = (
        f"Dimensions {first + 1} and {second + 1} of {plane.latent}, the two most used ({plane.measure}: "
        f"{plane.use[0]:.2f} and {plane.use[1]:.2f})"
        if rest
        else f"Both latent dimensions ({plane.measure}: {plane.use[0]:.2f} and {plane.use[1]:.2f})"
    )
    held = f"; the other {rest} are held at their mean over the images" if rest > 1 else ""
    held = "; the third is held at its mean over the images" if rest == 1 else held
    dots = "the codes" if plane.measure.endswith("code") else "the posterior means"
    model = "of the best model" + (f" (epoch {plane.epoch})" if plane.epoch else "")
    return (
        f"{which}{held}. Dots are {dots} of the first {len(plane.points)} validation images, {model}. The image at the "
        f"pointer is blended from the nearest four of {plane.cells} × {plane.cells} images that its decoder made "
        f"beforehand; midway between them a pixel is off the decoder's own by {plane.blending[0]:.2g} on average and "
        f"by {plane.blending[1]:.2g} at most, of a range of 1."
    )


def _colour(index: int) -> str:
    return _COLOURS[index] if index < len(_COLOURS) else f"hsl({index * 137 % 360} 55% 55%)"
