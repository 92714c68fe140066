"""Write the tables of docs/performance.md anew from the benchmarks' JSON files.

    python -m tools.benchmarks.performance_tables

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; what is between them is replaced.
"""

import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click

from fracture_vae.errors import InputError
from fracture_vae.files import write_text
from tools.benchmarks.training import EPOCHS, FOLDS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def training(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of training.py."""
    epoch, step = result["epoch"], result["step"]
    size, threads, memory = result["size"], result["machine"]["threads"], result["peak_memory_gb"]
    return [
        ("machine", f"{threads} threads of {result['machine']['cpu']}, PyTorch {result['torch']}"),
        ("running on", epoch["runs_on"]),
        (f"epoch of {epoch['volumes']} volumes of {size}³, seconds", _times(epoch["fracture_vae"])),
        *(
            row
            for name, timing in epoch["monai"].items()
            for row in (
                (f"MONAI's VQVAE, {name}, seconds", _times(timing)),
                ("times faster, median [range of the rounds]", "**{}** [{}, {}]".format(*epoch["times_faster"][name])),
            )
        ),
        (f"step of batch {step['batch']} ({step['gflop']} GFLOP), seconds", _times(step["times"]["step"])),
        ("rate of a step, GFLOP/s", f"{step['step_gflops']}"),
        ("rate of a matrix product of the same precision, GFLOP/s", f"{step['product_gflops']}"),
        ("the step's share of the product's rate", f"**{step['share_of_product_rate']:.0%}**"),
        ("the quantizer's share of a step", f"{step['quantizer_share']:.1%}"),
        ("the optimizer's share of a step", f"{step['optimizer_share']:.1%}"),
        (
            f"peak memory, {result['resident_volumes']} volumes held, GB, median [range of {len(memory)} processes]",
            f"**{median(memory)}** [{memory[0]}, {memory[-1]}]",
        ),
        ("volumes a second", f"{epoch['volumes_per_second']}"),
        ("five folds of 200 epochs on 514 volumes, hours (extrapolated)", f"{epoch['five_folds_hours']}"),
    ]


def augmentation(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of augmentation.py."""
    rows = []
    for kind in ("every one applied", "at their probabilities"):
        one = result[kind]
        low, high = one["times_faster_range"]
        rows += [
            (f"batch of {result['batch']}, {kind}, seconds", _times(one["fracture_vae"])),
            (f"MONAI's chain, {kind}, seconds", _times(one["monai"])),
            ("times faster, median [range of the rounds]", f"**{one['times_faster']}** [{low}, {high}]"),
        ]
    return rows


def startup(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of startup.py."""
    return [(f"{kind}, seconds", _times(one)) for kind, one in result["times"].items()]


def precision(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of precision.py."""
    (first, loss), (second, other) = result["means"].items()
    return [
        ("data, epochs", f"{result['data']}, {result['epochs']}"),
        ("optimizer, learning rate", f"{result['optimizer']}, {result['learning_rate']:g}"),
        (f"validation loss in {first}, mean of {len(result['each_seed'])} seeds", f"{loss:.5f}"),
        (f"in {second}", f"{other:.5f}"),
        (f"{second} / {first}", f"**{result['second_over_first']}**"),
        ("of each seed", ", ".join(map(str, result["each_seed"]))),
        (f"standard deviation of the seeds in {first}, of the mean", f"{result['spread_of_seeds']:.1%}"),
    ]


def batch_size(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of batch_size.py."""
    found: dict[tuple[str, int, str, float, bool, int], list[float]] = {}
    for row in result["rows"]:
        channels = "-".join(map(str, row["channels"]))
        key = channels, row["batch_size"], row["optimizer"], row["learning_rate"], bool(row["overlays"]), row["epochs"]
        found.setdefault(key, []).append(row["loss"])
    machines = " and ".join(dict.fromkeys(row["cpu"] for row in result["rows"]))
    return [("data", result["data"]), ("machines", machines)] + [
        (
            f"validation loss, channels {channels}, batch of {size}, {optimizer} at {rate:g}"
            f"{', `large_batch.json`' * scaled}, {epochs} epochs",
            _spread(losses),
        )
        for (channels, size, optimizer, rate, scaled, epochs), losses in sorted(found.items())
    ]


def _spread(values: Sequence[float]) -> str:
    listed = ", ".join(f"{value:.5f}" for value in values)
    return f"{statistics.fmean(values):.5f} ({listed})" if len(values) > 1 else f"{listed} (one seed)"


def scaling(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of scaling.py."""
    return [
        (f"seconds an epoch against {key}, R² of the line", f"**{result[key]['line']['r2']:.4f}**")
        for key in ("volumes", "voxels")
    ]


def inference(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of inference.py."""
    rows = []
    for name, timing in result["timings"].items():
        each = result["seconds_a_volume"][name]
        rows.append((f"{name}, {result['volumes']} volumes, seconds", f"{_times(timing)}; {each:.3f} a volume"))
        for other, faster in result["times_faster"].get(name, {}).items():
            rows.append((f"times faster than {other}, median [range]", "**{}** [{}, {}]".format(*faster)))
    far = result["error_map_minus_fp32"]
    rows.append(("error map against float32, one by one", f"mean {far['mean']:.2g}, largest {far['max']:.2g}"))
    return rows


def inference_memory(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of inference.py --memory."""
    tenths = ", ".join(f"{value:.0f}" for value in result["resident_after_tenths_mib"])
    return [
        (f"resident after each tenth of {result['volumes']} volumes of {result['size'][0]}³, MiB", tenths),
        ("growth after the second tenth, MiB", f"**{result['growth_mib']}**"),
    ]


def five_folds(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of five_folds.py, of one file a study; five folds of 200 epochs are extrapolated from a fold's epochs."""
    rows: list[tuple[str, str]] = []
    for study, run in result.items():
        fold = run["folds"][0]
        whole = FOLDS * (fold["seconds_to_the_second_epoch"] + (EPOCHS - 1) * fold["seconds_an_epoch"]) / 60
        rows += [
            ("GPU", f"{run['machine']['gpu']}, PyTorch {run['torch']}"),
            ("study", f"{study}: {fold['training_volumes']} volumes train, {fold['validation_volumes']} validate"),
            (f"epochs measured, batch of {run['batch_size']}", f"{fold['epochs']}, in {fold['seconds']:.0f} s in all"),
            (
                "until the second epoch, with reading and compilation, seconds",
                f"{fold['seconds_to_the_second_epoch']:.1f}",
            ),
            ("an epoch with validation, log, pictures and checkpoints, seconds", f"{fold['seconds_an_epoch']:.3f}"),
            ("of that the steps, with data and augmentation, seconds", f"{fold['seconds_an_epoch_in_steps']:.3f}"),
            ("volumes a second in steps", f"**{fold['volumes_a_second_in_steps']:.0f}**"),
            (
                "peak GPU memory, GB (held by PyTorch's allocator)",
                f"**{fold['peak_gpu_gb']:.2f}** ({fold['peak_gpu_reserved_gb']:.2f})",
            ),
            (f"five folds of {EPOCHS} epochs, minutes (extrapolated)", f"**{whole:.1f}**"),
        ]
    return rows


def family_speed(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of family_speed.py."""
    same = result["seconds_to_the_same_loss"]
    low, high = result["times_faster_range"]

    def seconds(times: Sequence[float]) -> str:
        return f"{median(times):.2f} [{min(times)}, {max(times)}], {len(times)} epochs"

    return [
        ("images, parameters", f"{result['images']}, {result['parameters']}"),
        ("running on", result["runs_on"]),
        ("`mnist_vae`, seconds an epoch", seconds(result["fracture_vae_s"])),
        ("pythae's trainer, seconds an epoch", seconds(result["pythae_s"])),
        ("times faster, median [range of the rounds]", f"**{result['times_faster']}** [{low}, {high}]"),
        (
            f"seconds until the loss is {same['loss']} nats an image",
            f"{same['fracture_vae']}; pythae's {same['pythae']}",
        ),
    ]


TABLES: dict[str, Callable[[Mapping[str, Any]], list[tuple[str, str]]]] = {
    "training": training,
    "training_without_bf16": training,
    "augmentation": augmentation,
    "inference": inference,
    "inference_memory": inference_memory,
    "startup": startup,
    "precision": precision,
    "batch_size": batch_size,
    "scaling": scaling,
    "five_folds": five_folds,
    "family_speed": family_speed,
}


def filled(text: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return ``text`` with each table that ``results`` has rows for written anew.

    Raises:
        InputError: when ``text`` has no place for a table.
    """
    for name, result in results.items():
        rows = ["| | |", "| --- | --- |", *(f"| {what} | {value} |" for what, value in TABLES[name](result))]
        text = placed(text, name, rows)
    return text


def placed(text: str, name: str, lines: Sequence[str]) -> str:
    """Return ``text`` with what stands at the place of the table ``name`` replaced by ``lines``.

    Raises:
        InputError: when there is no such place.
    """
    place = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not place.search(text):
        raise InputError(f"no place for the table '{name}': add <!-- table: {name} --> and <!-- end -->")
    return place.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], text)


def _times(timing: Mapping[str, Any]) -> str:
    return f"{timing['median_s']:.3f} [{timing['min_s']:.3f}, {timing['max_s']:.3f}], {timing['runs']} runs"


@click.command(help=__doc__)
@click.option("--docs", type=click.Path(exists=True, path_type=Path), default=DOCS, show_default=True)
def main(docs: Path) -> None:
    files = {name: docs / f"results_{name}.json" for name in TABLES}
    results = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.is_file()}
    page = docs / "performance.md"
    write_text(page, filled(page.read_text(encoding="utf-8"), results))
    click.echo(f"{page}: {', '.join(results)}")


if __name__ == "__main__":
    main()
