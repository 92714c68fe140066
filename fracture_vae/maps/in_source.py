"""Error maps of crops, pasted back into one map on each source CT's own grid."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fracture_vae.cohort.geometry import CropGeometry
from fracture_vae.cohort.nifti import description, shown_range
from fracture_vae.cohort.volumes import read_stored, read_volume, stem, write_map
from fracture_vae.errors import InputError
from fracture_vae.files import sha256, write_text
from fracture_vae.maps.paste import check_source, paste_into_source
from fracture_vae.maps.table import SCORES_FILE, read_scores
from fracture_vae.maps.writer import CAVEAT


def require_sources(items: Sequence[Mapping[str, Any]]) -> None:
    """Require that some of ``items`` were cropped from a scan, and that those scans are there.

    Raises:
        InputError: when not.
    """
    sources = [item["source_image"] for item in items if _has_source(item)]
    if not sources:
        raise InputError(
            "--in-source needs a cohort whose rows have crop and source_image: make it with fracture-vae crop"
        )
    by_source: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for item in items:
        if _has_source(item):
            if not Path(item["source_image"]).is_file():
                raise InputError(f"{item['source_image']}: no such file; --in-source needs the scans cropped from")
            by_source[item["source_image"]].append(item)
            check_source(CropGeometry.from_json(item["crop"], item["case_id"]), read_stored(item["source_image"]))
    taken = [*_names(by_source).values(), *(item["case_id"] for item in items)]
    if repeated := [name for name in taken if taken.count(name) > 1]:
        raise InputError(f"--in-source: two maps would be called {repeated[0]}; rename a scan or its case_id")


def _has_source(item: Mapping[str, Any]) -> bool:
    return bool(item.get("crop") and item.get("source_image"))


def paste_error_maps(output_dir: str | Path, items: Sequence[dict[str, Any]]) -> list[Path]:
    """Write ``<source>_error.nii.gz`` and ``<source>_valid.nii.gz`` for every source the written crops came from.

    Args:
        output_dir: the folder an inference wrote to.
        items: the datalist it ran over; items without a crop or without a written map are passed over.

    Returns:
        The error maps written.

    Raises:
        InputError: when a source is missing or not the one cropped from.
    """
    folder = Path(output_dir)
    done = {row["case_id"] for row in read_scores(folder / SCORES_FILE)}
    by_source: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for item in items:
        if _has_source(item) and item["case_id"] in done:
            by_source[item["source_image"]].append(item)
    names = _names(by_source)
    return [_paste(folder, names[source], source, cropped) for source, cropped in by_source.items()]


def _names(sources: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """Return a file name for each source: its stem, with the patient before it where two sources share a stem."""
    stems = [stem(source) for source in sources]
    return {
        source: stem(source) if stems.count(stem(source)) == 1 else f"{cropped[0]['patient_id']}_{stem(source)}"
        for source, cropped in sources.items()
    }


def _paste(folder: Path, name: str, source: str, cropped: Sequence[dict[str, Any]]) -> Path:
    maps, ranges = [], []
    for item in cropped:
        geometry = CropGeometry.from_json(item["crop"], item["case_id"])
        map_ = folder / f"{item['case_id']}_error.nii.gz"
        maps.append((read_volume(map_, allow_constant=True).array, geometry))
        ranges.append(shown_range(map_))
    pasted = paste_into_source(maps, source)
    target = folder / f"{name}_error.nii.gz"
    note = f"error maps of {len(maps)} crops; {CAVEAT}"
    write_map(target, pasted.array, pasted.stored, descrip=note, cal_min=ranges[0][0], cal_max=ranges[0][1])
    write_map(
        folder / f"{name}_valid.nii.gz",
        pasted.valid,
        pasted.stored,
        descrip=f"1 where a crop lies; {CAVEAT}",
        cal_max=1,
        dtype=np.uint8,
    )
    sidecar = {
        "source": {"path": source, "sha256": sha256(source), "description": description(Path(source))},
        "cases": [item["case_id"] for item in cropped],
        "units": "as in the cases' own sidecars; 0 where no crop lies",
        "notice": CAVEAT,
    }
    write_text(folder / f"{name}.json", json.dumps(sidecar, indent=2) + "\n")
    return target
