"""From the command to the end of the first training step.

    python -m tools.benchmarks.startup --out docs/results_startup.json

``fracture-vae train`` is started as a user starts it and watched through its progress bar: without compilation;
compiled with an empty cache, as the first time on a machine; and compiled with the cache that left.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import torch

from fracture_vae.errors import InputError
from fracture_vae.files import write_text
from tools.benchmarks.study import CONFIGS, write_study
from tools.benchmarks.timing import machine, median_of

FIRST_STEP = re.compile(rb"epoch [^\r]*\| *[1-9]\d*/\d+ \[")
"""The progress bar once a step is done."""


def first_step(cohort: Path, project: Path, cache: Path, compile: bool) -> float:
    """Return the seconds from starting the command to the end of its first step; the command is stopped then."""
    command = [sys.executable, "-m", "fracture_vae.cli", "train", str(CONFIGS.parent), "--cohort", str(cohort)]
    command += ["--variant", "reconstruction", "--fold", "1"]
    command += ["--set", f"project_dir={project}", "--set", f"compile={str(compile).lower()}"]
    environment = {**os.environ, "FRACTURE_VAE_CACHE": str(cache)}
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stderr is not None
        said = b""
        while chunk := os.read(process.stderr.fileno(), 4096):
            said += chunk
            if FIRST_STEP.search(said):
                process.kill()
                return time.perf_counter() - began
    raise InputError(f"the training stopped before its first step: {said.decode(errors='replace')[-500:]}")


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--size", default=128, show_default=True, help="Edge of a volume in voxels.")
@click.option("--volumes", default=32, show_default=True, help="Volumes that are read first.")
@click.option("--repeats", default=5, show_default=True)
def main(out: Path | None, size: int, volumes: int, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cohort = write_study(folder / "study", volumes, 4, size)

        def cold() -> None:
            shutil.rmtree(folder / "cache", ignore_errors=True)
            first_step(cohort, folder, folder / "cache", compile=True)
            shutil.rmtree(folder / "warm", ignore_errors=True)
            shutil.copytree(folder / "cache", folder / "warm")

        kinds = {
            "plain": lambda: first_step(cohort, folder, folder / "cache", compile=False),
            "compiled, empty cache": cold,
            "compiled, cache of an earlier run": lambda: first_step(cohort, folder, folder / "warm", compile=True),
        }
        cold()
        timed = median_of(kinds, repeats, warm_up=0)
    result: dict[str, Any] = {
        "machine": machine(),
        "torch": torch.__version__,
        "size": size,
        "volumes": volumes,
        "times": {kind: timing.record() for kind, timing in timed.items()},
    }
    click.echo(json.dumps(result, indent=2))
    if out is not None:
        write_text(out, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
