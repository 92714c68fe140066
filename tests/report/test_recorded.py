"""Settings of runs: which are told, and which differ."""

from fracture_vae.report.recorded import differing, settings


def test_settings_are_told_where_the_runs_that_have_them_differ() -> None:
    runs = [
        {"seed": 0, "beta": 1.0, "latent": 2, "hidden": [8]},
        {"seed": 0, "beta": 4.0, "latent": 2, "hidden": [8, 4]},
        {"seed": 0, "latent": 16, "quantizer": "vq"},
    ]
    assert differing(runs) == ["beta", "latent", "hidden"]


def test_places_machines_and_wiring_are_no_settings() -> None:
    config = {
        "project_dir": "runs", "device": "cpu", "save_weights": True, "_help_": {"a": "b"}, "beta": 2.0,
        "optimizer_def": {"_target_": "x", "lr": "@lr"}, "study": "$open()", "data": "mnist",
        "network_def": {"_target_": "y.build_network", "name": "vae"}, "objective": {"_target_": "z.ELBO"},
    }  # fmt: skip
    told = {"beta": 2.0, "network": "vae", "objective": "ELBO"}
    assert settings(config) == {**told, "data": "mnist"}
    assert settings(config, {"name": "digits"}) == {**told, "data": "digits"}, "what was at hand"
