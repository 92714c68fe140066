"""A search by Optuna, kept in a journal of JSON lines, so that it goes on where it was stopped."""

import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fracture_vae.errors import InputError, nearest
from fracture_vae.report.sweep.figures import course, read_metrics
from fracture_vae.sweep.plan import Search
from fracture_vae.sweep.source import Point
from fracture_vae.sweep.space import Choices, Dimension


def require_optuna() -> None:
    """Require the optional package a search needs.

    Raises:
        InputError: when it is not installed.
    """
    if find_spec("optuna") is None:
        raise InputError("search: needs Optuna, which is not installed: pip install fracture-vae[search]")


class Study:
    """Points that Optuna's TPE sampler (Bergstra et al. 2011) chooses from what the runs before have reached.

    What is drawn for a trial follows from the seed and the trial's number, so that a search that goes on does not
    draw the same again. A trial whose run died or failed is the first to be run when the search goes on.

    Args:
        search: what to look for.
        journal: the file the study is kept in; other studies may lie there too.
        name: of the study in it; the same settings must give the same name.

    Raises:
        InputError: when Optuna is not installed, or the journal is damaged.
    """

    def __init__(self, search: Search, journal: Path, name: str) -> None:
        require_optuna()
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.search = search
        self.watches = search.prune
        self._states = optuna.trial.TrialState
        self._distributions = {key: _distribution(dimension) for key, dimension in search.space.items()}
        self._running: dict[int, Any] = {}
        self._reported: dict[int, int] = {}
        try:
            self._study = optuna.create_study(
                study_name=name,
                storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal))),
                pruner=optuna.pruners.MedianPruner() if search.prune else optuna.pruners.NopPruner(),
                load_if_exists=True,
            )
            self.left = self._go_on()
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            raise InputError(
                f"{journal}: damaged, it is no journal of Optuna's; remove it (whole runs are not run again)"
            ) from error

    def ask(self) -> Point | None:
        """Return the next point, or None where all trials are run."""
        import optuna

        if not self.left:
            return None
        self.left -= 1
        self._study.sampler = optuna.samplers.TPESampler(seed=self.search.seed + len(self._trials()))
        trial = self._study.ask(self._distributions)
        self._running[trial.number] = trial
        return Point(trial.number, self._values(trial.params))

    def tell(self, point: Point, run: Path | None) -> None:
        """Hear of the run of a point.

        Raises:
            InputError: when the run has no such metric.
        """
        value = None
        if run is not None:
            value = self._course(run)[-1][1]
            if self.search.prune:
                self._report(point, run)
        state = None if value is not None and math.isfinite(value) else self._states.FAIL
        self._study.tell(self._running.pop(point.number), value if state is None else None, state)

    def pruned(self, point: Point, run: Path) -> bool:
        """Report what a run at work has reached, and return whether the median of the others is better."""
        if not (run / "metrics.csv").is_file():
            return False
        self._report(point, run)
        if not self._running[point.number].should_prune():
            return False
        self._study.tell(self._running.pop(point.number), state=self._states.PRUNED)
        return True

    def done(self) -> list[Mapping[str, Any]]:
        """Return the values of all trials that came to their end, the best first."""
        complete = [trial for trial in self._trials() if trial.state == self._states.COMPLETE]
        return [self._values(trial.params) for trial in sorted(complete, key=lambda trial: trial.value)]

    def _report(self, point: Point, run: Path) -> None:
        """Report the epochs that a run has come to since the last time."""
        for epoch, value in course(read_metrics(run), self.search.minimise):
            if epoch > self._reported.get(point.number, 0):
                self._running[point.number].report(value, epoch)
                self._reported[point.number] = epoch

    def _go_on(self) -> int:
        """Queue anew what died or failed, and return how many trials are left to run."""
        for trial in self._trials():
            if trial.state == self._states.RUNNING:
                self._study.tell(trial.number, state=self._states.FAIL)
        kept = [t for t in self._trials() if t.state in (self._states.COMPLETE, self._states.PRUNED)]
        waiting = [t for t in self._trials() if t.state == self._states.WAITING]
        settled = [trial.params for trial in kept] + [t.system_attrs.get("fixed_params") for t in waiting]
        for trial in self._trials():
            if trial.state == self._states.FAIL and trial.params and trial.params not in settled:
                self._study.enqueue_trial(trial.params)
                settled.append(trial.params)
        return max(0, self.search.trials - len(kept))

    def _trials(self) -> list[Any]:
        return self._study.get_trials(deepcopy=False)

    def _values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {key: dimension.decode(params[key]) for key, dimension in self.search.space.items()}

    def _course(self, run: Path) -> list[tuple[int, float]]:
        rows = read_metrics(run)
        found = course(rows, self.search.minimise)
        if not found:
            known = sorted({name for row in rows for name, value in row.items() if value and "/" in name})
            raise InputError(
                f"search: minimise: {run.name} has no '{self.search.minimise}', but {', '.join(known)}"
                f"{nearest(self.search.minimise, known)}"
            )
        return found


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choices):
        return CategoricalDistribution(dimension.encoded())
    kind = IntDistribution if dimension.whole else FloatDistribution
    return kind(dimension.low, dimension.high, log=dimension.log)
