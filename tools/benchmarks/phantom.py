"""Time the synthetic reference study from nothing to its figures: seconds, volumes a second, megabytes, memory.

    python -m tools.benchmarks.phantom FOLDER --out phantom.json

FOLDER must be new; the study stays in it. Where other programs share the cores, CPU seconds say more than the clock.
"""

import json
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import click

from fracture_vae.cohort.synthetic import make_cohort, plan_reference
from fracture_vae.evaluation.difficulty import measure_difficulty
from fracture_vae.files import write_text
from tools.benchmarks.timing import cpu_seconds


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Where to write the figures, as JSON.")
@click.option("--size", default=128, show_default=True, help="Edge of a crop in voxels.")
@click.option("--spacing", default=1.0, show_default=True, help="Voxel size of a crop in mm.")
@click.option("--seed", default=0, show_default=True, help="Of the study.")
@click.option("--processes", default=os.cpu_count(), show_default="one a core", help="Patients at a time.")
def main(folder: Path, out: Path | None, size: int, spacing: float, seed: int, processes: int) -> None:
    """Make the study in FOLDER and print what it took."""
    plan = plan_reference(size, spacing, seed)
    clock, cpu = time.perf_counter(), cpu_seconds()
    table = make_cohort(folder, plan, processes)
    seconds, used, peak = time.perf_counter() - clock, cpu_seconds() - cpu, _peak_child()
    clock, cpu = time.perf_counter(), cpu_seconds()
    difficulty = measure_difficulty(table)
    figures: dict[str, Any] = {
        "volumes": plan.vertebrae,
        "size": size,
        "spacing": spacing,
        "seed": seed,
        "processes": processes,
        "seconds": round(seconds, 1),
        "volumes_per_second": round(plan.vertebrae / seconds, 2),
        "cpu_seconds": round(used, 1),
        "peak_mb_a_process": round(peak),
        "crops_mb": _megabytes(folder, "*/*.nii.gz"),
        "sources_mb": _megabytes(folder, "*/source/*.nii.gz"),
        "difficulty_seconds": round(time.perf_counter() - clock, 1),
        "difficulty_cpu_seconds": round(cpu_seconds() - cpu, 1),
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
    }
    for name, value in figures.items():
        click.echo(f"{name:24} {value}")
    click.echo(difficulty)
    if out is not None:
        write_text(out, json.dumps(figures, indent=1) + "\n")


def _peak_child() -> float:
    """Peak resident memory of the largest child, MB (Linux counts in kB)."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3


def _megabytes(folder: Path, pattern: str) -> float:
    return round(sum(path.stat().st_size for path in folder.glob(pattern)) / 1e6)


if __name__ == "__main__":
    main()
