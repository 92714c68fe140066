"""Rows of the battery for sweeps: files that must be refused before a run starts."""
# ruff: noqa: E501 - a row is a line

from pathlib import Path
from typing import Any

from tests.bad_inputs import Bad, Kit, Maker, both, folder, nothing, text

SWEEP = "sweep s.yaml --out out"


def sweep(content: str, bundle: str = "mnist_vae") -> Maker:
    """A sweep of a sound bundle that goes on with this."""

    def make(place: Path, kit: Kit) -> None:
        text("s.yaml", f"bundle: {kit[bundle]}\n{content}\n")(place, kit)

    return make


def searching(space: str = "{latent: {low: 2, high: 8}}", **changes: Any) -> Maker:
    """A search over this, some of its keys changed; None leaves one out."""
    keys = {"minimise": "val/total_loss", "trials": 2, "space": space, **changes}
    return sweep("search: {" + ", ".join(f"{key}: {value}" for key, value in keys.items() if value is not None) + "}")


GRIDS = {
    "an unknown key": ("{betaa: [1]}", "s.yaml: grid: betaa: the config has no key 'betaa'; did you mean 'beta'?"),
    "an unknown key below a section": ("{'train#trianer#max_epochs': [1]}", "no key 'train#trianer'; did you mean 'train#trainer'?"),
    "an empty list": ("{beta: []}", "s.yaml: grid: beta: an empty list"),
    "a value for a list": ("{beta: 1}", "s.yaml: grid: beta: 1 is no list"),
    "no keys": ("{}", "s.yaml: grid: give keys with values"),
    "a list of keys": ("[beta]", "s.yaml: grid: give keys with values"),
    "a value twice": ("{beta: [1, 2, 1]}", "s.yaml: grid: beta: 1 is given twice"),
    "a value of another kind": ("{beta: [1, high]}", "s.yaml: grid: beta: 'high' is not a number; the config has 1.0"),
    "a date": ("{data: [2020-01-01]}", "s.yaml: grid: data: datetime.date(2020, 1, 1) is no number, text, list"),
    "an infinity": ("{beta: [.inf]}", "s.yaml: grid: beta: inf is no number"),
    "where the sweep's runs go": ("{run_name: [a, b]}", "s.yaml: grid: run_name: a sweep decides where its runs go"),
    "too many runs": ("{beta: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], latent: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], seed: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}", "s.yaml: grid: 1100 runs; at most 1000"),
    "a key twice": ("{beta: [1], beta: [2]}", "s.yaml: line 2: 'beta' is given twice"),
    "a key that is no text": ("{1: [2]}", "s.yaml: line 2: a key that is no text"),
    "an alias": ("{beta: &a [1], latent: *a}", "s.yaml: line 2: an alias (*)"),
    "a tag": ("{beta: !!python/object/apply:os.getcwd []}", "s.yaml: line 2: could not determine a constructor for the tag"),
}  # fmt: skip

SPACES = {
    "low above high": ("{latent: {low: 8, high: 2}}", "search: space: latent: low 8 is not below high 2"),
    "low as high": ("{latent: {low: 8, high: 8}}", "search: space: latent: low 8 is not below high 8"),
    "a bound that is no number": ("{beta: {low: small, high: 2}}", "search: space: beta: low: 'small' is no number"),
    "a bound that is infinite": ("{beta: {low: 0, high: .inf}}", "search: space: beta: high: inf is no number"),
    "a logarithm of zero": ("{beta: {low: 0, high: 2, log: true}}", "search: space: beta: low 0 has no logarithm"),
    "a log that is no switch": ("{beta: {low: 1, high: 2, log: 10}}", "search: space: beta: log: 10 is not true or false"),
    "a bound too few": ("{beta: {low: 0}}", "search: space: beta: write {low: 0.1, high: 10, log: true} or"),
    "bounds and choices": ("{beta: {low: 0, high: 1, choices: [2]}}", "search: space: beta: write {low:"),
    "a misspelt bound": ("{beta: {low: 0, hihg: 1}}", "search: space: beta: no 'hihg' here; did you mean 'high'?"),
    "a list for a range": ("{beta: [0, 1]}", "search: space: beta: write {low:"),
    "no choices": ("{beta: {choices: []}}", "search: space: beta: choices: [] is no list of values"),
    "a choice twice": ("{beta: {choices: [1, 1]}}", "search: space: beta: choices: a value is given twice"),
    "a choice that is a date": ("{data: {choices: [2020-01-01]}}", "search: space: data: choices:"),
    "an unknown key": ("{betaa: {low: 0, high: 1}}", "search: space: betaa: the config has no key 'betaa'; did you mean 'beta'?"),
    "a choice of another kind": ("{beta: {choices: [a]}}", "search: space: beta: 'a' is not a number"),
    "nothing": ("{}", "search: space: give keys with values"),
}  # fmt: skip

SEARCHES: dict[str, tuple[dict[str, Any], str]] = {
    "no trials": ({"trials": 0}, "search: trials: 0; give a whole number from 1 to 1000"),
    "trials that are no number": ({"trials": "many"}, "search: trials: 'many'; give a whole number"),
    "trials not given": ({"trials": None}, "search: trials: missing; give a whole number"),
    "half a seed": ({"seed": 0.5}, "search: seed: 0.5; give a whole number from 0"),
    "no metric": ({"minimise": None}, "search: minimise: missing; give text, such as val/total_loss"),
    "a metric of neither part": ({"minimise": "total_loss"}, "search: minimise: 'total_loss' is no column of metrics.csv"),
    "a prune that is no switch": ({"prune": 3}, "search: prune: 3 is not true or false"),
    "an unknown key": ({"trails": 3}, "search: no 'trails' here, but minimise, trials, seed, prune, space; did you mean 'trials'?"),
}  # fmt: skip

FILES = [
    Bad("sweep: no file", nothing, SWEEP, ("s.yaml: no such file",)),
    Bad("sweep: a folder", folder("s.yaml"), SWEEP, ("s.yaml: no such file",)),
    Bad("sweep: no YAML", text("s.yaml", "grid: [1,"), SWEEP, ("s.yaml: line 1:",)),
    Bad("sweep: no text", text("s.yaml", "\udcff\udcfe"), SWEEP, ("s.yaml: is no text in UTF-8",)),
    Bad("sweep: nested without end", text("s.yaml", "[" * 20000), SWEEP, ("s.yaml: is no YAML",)),
    Bad("sweep: two documents", text("s.yaml", "bundle: a\n---\nbundle: b\n"), SWEEP, ("s.yaml: line 2:",)),
    Bad("sweep: an empty file", text("s.yaml", ""), SWEEP, ("s.yaml: give keys with values",)),
    Bad("sweep: a list", text("s.yaml", "- grid"), SWEEP, ("s.yaml: give keys with values",)),
    Bad("sweep: no bundle", text("s.yaml", "grid: {beta: [1]}"), SWEEP, ("s.yaml: bundle: missing; give text, such as bundles/mnist_vae",)),
    Bad("sweep: a bundle that is not there", text("s.yaml", "bundle: none\ngrid: {beta: [1]}"), SWEEP, ("none: not a bundle",)),
    Bad("sweep: an unknown section", sweep("gird: {beta: [1]}"), SWEEP, ("s.yaml: no 'gird' here, but bundle, variant, configs, settings, grid, search; did you mean 'grid'?",)),
    Bad("sweep: neither grid nor search", sweep("settings: {beta: 1}"), SWEEP, ("s.yaml: give either grid",)),
    Bad("sweep: grid and search", sweep("grid: {beta: [1]}\nsearch: {trials: 1}"), SWEEP, ("s.yaml: give either grid",)),
    Bad("sweep: an unknown variant", sweep("variant: free_bit\ngrid: {beta: [1]}"), SWEEP, ("no variant 'free_bit'", "did you mean 'free_bits'?")),
    Bad("sweep: a variant that is a number", sweep("variant: 3\ngrid: {beta: [1]}"), SWEEP, ("s.yaml: variant: 3; give text",)),
    Bad("sweep: an overlay that is not there", sweep("configs: [none.json]\ngrid: {beta: [1]}"), SWEEP, ("none.json: no such config file",)),
    Bad("sweep: overlays that are no list", sweep("configs: none.json\ngrid: {beta: [1]}"), SWEEP, ("s.yaml: configs: 'none.json' is no list",)),
    Bad("sweep: an unknown fixed key", sweep("settings: {betaa: 1}\ngrid: {latent: [1]}"), SWEEP, ("s.yaml: settings: betaa: the config has no key 'betaa'; did you mean 'beta'?",)),
    Bad("sweep: a fixed value of another kind", sweep("settings: {beta: x}\ngrid: {latent: [1]}"), SWEEP, ("s.yaml: settings: beta: 'x' is not a number",)),
    Bad("sweep: a key both fixed and swept", sweep("settings: {beta: 1}\ngrid: {beta: [1]}"), SWEEP, ("s.yaml: 'beta' is both fixed under settings and swept",)),
    Bad("sweep: the same key in its two spellings", sweep("settings: {'train#trainer#max_epochs': 1}\ngrid: {'train::trainer::max_epochs': [1]}"), SWEEP, ("is both fixed under settings and swept",)),
    Bad("sweep: where its runs go, fixed", sweep("settings: {project_dir: a}\ngrid: {beta: [1]}"), SWEEP, ("s.yaml: settings: project_dir: a sweep decides",)),
    Bad("sweep: out is a file", both(sweep("grid: {beta: [1]}"), text("out")), SWEEP, ("out: ", "is a file; give a folder")),
]  # fmt: skip

SWEEP_ROWS = [
    *FILES,
    *(Bad(f"sweep: grid: {name}", sweep(f"grid: {grid}"), SWEEP, (says,)) for name, (grid, says) in GRIDS.items()),
    *(Bad(f"sweep: space: {name}", searching(space), SWEEP, (says,)) for name, (space, says) in SPACES.items()),
    *(Bad(f"sweep: search: {name}", searching(**keys), SWEEP, (says,)) for name, (keys, says) in SEARCHES.items()),
]
