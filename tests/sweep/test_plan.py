"""What a sweep's file asks for; what is wrong with one is in the battery of bad input."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fracture_vae.sweep.folders import digest_of, run_name, told
from fracture_vae.sweep.plan import Sweep, read_sweep
from fracture_vae.sweep.space import Choices, Range
from fracture_vae.sweep.strict_yaml import read_yaml
from fracture_vae.sweep.workers import Machine

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Sweep]:
    """``read(text, bundle)`` reads a sweep of a bundle."""

    def from_text(text: str, bundle: str = "mnist_vae") -> Sweep:
        file = tmp_path / "s.yaml"
        file.write_text(f"bundle: {BUNDLES / bundle}\n{text}\n", encoding="utf-8")
        return read_sweep(file)

    return from_text


def test_a_grid_is_every_combination_and_the_last_key_runs_fastest(read: Callable[..., Sweep]) -> None:
    sweep = read("grid: {beta: [0.1, 4], latent: [2, 8, 16]}")
    assert [tuple(point.values()) for point in sweep.points()] == [
        (0.1, 2), (0.1, 8), (0.1, 16), (4, 2), (4, 8), (4, 16),
    ]  # fmt: skip


def test_the_example_is_kl_weight_by_latent_size_in_16_runs() -> None:
    sweep = read_sweep(BUNDLES / "mnist_vae" / "sweeps" / "kl_weight_by_latent.yaml")
    assert (sweep.keys, len(sweep.points())) == (("beta", "latent"), 16)
    assert sweep.bundle.samefile(BUNDLES / "mnist_vae")


def test_any_setting_of_any_bundle_can_be_swept(read: Callable[..., Sweep]) -> None:
    sweep = read("settings: {cohort: c.csv}\ngrid: {fold: [1, 2], 'train#trainer#max_epochs': [3]}", "vq3d")
    assert sweep.points()[1] == {"fold": 2, "train#trainer#max_epochs": 3}


def test_variant_and_overlays_are_merged_in_order(read: Callable[..., Sweep], tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"free_bits": 2.0}', encoding="utf-8")
    sweep = read("variant: free_bits\nconfigs: [mine.json]\ngrid: {beta: [1]}")
    assert [path.name for path in sweep.configs] == ["train.json", "free_bits.json", "mine.json"]


def test_a_search_is_of_whole_numbers_where_the_setting_is(read: Callable[..., Sweep]) -> None:
    sweep = read("""
search:
  minimise: val/total_loss
  trials: 3
  space:
    beta: {low: 1, high: 4}
    latent: {low: 2, high: 64, log: true}
    'train#trainer#max_epochs': {low: 1, high: 9}
    learning_rate: {low: 1e-4, high: 1e-2, log: true}
    hidden: {choices: [[512], [256, 128]]}
""")
    assert sweep.search is not None
    assert (sweep.search.seed, sweep.search.prune) == (0, False)
    assert dict(sweep.search.space) == {
        "beta": Range(1, 4, log=False, whole=False),
        "latent": Range(2, 64, log=True, whole=True),
        "train#trainer#max_epochs": Range(1, 9, log=False, whole=True),
        "learning_rate": Range(1e-4, 1e-2, log=True, whole=False),
        "hidden": Choices(([512], [256, 128])),
    }


@given(
    st.dictionaries(
        st.text("abcdef_#", min_size=1),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text("ab 1-:"),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
        min_size=1,
    )
)
def test_what_yaml_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, content: dict[str, object]) -> None:
    file = tmp_path_factory.mktemp("yaml") / "s.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert read_yaml(file) == content


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("1E3", 1000.0), ("-2.5e+1", -25.0), ("1e", "1e"), (".5e1", 5.0)]
)
def test_a_number_with_an_exponent_is_a_number(tmp_path: Path, text: str, value: object) -> None:
    (tmp_path / "s.yaml").write_text(f"a: {text}", encoding="utf-8")
    assert read_yaml(tmp_path / "s.yaml") == {"a": value}


def test_names_show_the_swept_values_and_are_plain() -> None:
    values = {"beta": 1 / 3, "train#trainer#max_epochs": 5, "hidden": [512, 256], "data": "a/b $c", "limit": None}
    assert told(values) == "beta=0.333333 max_epochs=5 hidden=512x256 data=a/b $c limit=null"
    assert run_name(values) == "beta=0.333333,max_epochs=5,hidden=512x256,data=a_b_c,limit=null"
    assert told({"a#x": 1, "b#x": 2}) == "a#x=1 b#x=2", "two that end alike are told apart"


@given(st.dictionaries(st.sampled_from(["beta", "a#b", "data"]), st.text() | st.floats() | st.integers(), min_size=1))
def test_any_values_make_a_name_that_is_no_path(values: dict[str, object]) -> None:
    name = run_name(values)
    assert Path(name).name == name
    assert name.isprintable()
    assert len(name) <= 100


def test_a_digest_changes_with_the_config_and_the_settings_and_not_with_their_order_or_help() -> None:
    same = {
        digest_of({"a": 1, "_help_": note}, dict(order))
        for note in "xy"
        for order in ([("b", 2), ("c", 3)], [("c", 3), ("b", 2)])
    }
    assert len(same) == 1
    assert digest_of({"a": 2}, {"b": 2, "c": 3}) not in same
    assert digest_of({"a": 1}, {"b": 2, "c": 4}) not in same


@given(st.integers(1, 64), st.integers(1, 64))
def test_jobs_never_have_more_threads_than_there_are_cores(cores: int, jobs: int) -> None:
    shares = Machine(cores, ()).shares(jobs, {})
    assert len(shares) == jobs
    assert sum(share.threads for share in shares) <= max(cores, jobs)
    assert min(share.threads for share in shares) >= 1


def test_two_jobs_on_two_cores_have_a_thread_each_and_gpus_are_dealt_out() -> None:
    assert [share.threads for share in Machine(2, ()).shares(2, {})] == [1, 1]
    assert Machine(8, ("2", "5")).shares(3, {})[2].environment()["CUDA_VISIBLE_DEVICES"] == "2"
    assert Machine(8, ("2", "5")).shares(3, {})[1].environment()["CUDA_VISIBLE_DEVICES"] == "5"
    assert "CUDA_VISIBLE_DEVICES" not in Machine(8, ("2", "5")).shares(1, {"device": "cuda:1"})[0].environment()
    assert Machine(8, ("0",)).shares(4, {})[0].environment()["OMP_NUM_THREADS"] == "2"
    assert Machine(8, (), most_threads=3).shares(1, {})[0].threads == 3


def test_jobs_are_one_a_core_or_one_a_gpu_unless_said_otherwise() -> None:
    assert Machine(8, ()).default_jobs({}) == 8
    assert Machine(8, ("0", "1")).default_jobs({}) == 2
    assert Machine(8, ("0", "1")).default_jobs({"device": "cpu"}) == 8
    assert Machine(8, ("0", "1")).default_jobs({"device": "cuda:1"}) == 1
