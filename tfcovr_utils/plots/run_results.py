"""What notebooks left of a run: CSVs beside their figures, per-query results, the benchmark's tables."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from ..benchmark.benchmark import Benchmark
from ..evaluation.results import read_results, summarise


def figures_dir(run: Path, seed: int) -> Path:
    """Where a notebook's figures go. Seeds other than 0 have folders of their own: a run's figures are those of one seed, its own pages'."""
    return run / f"seed-{seed}" / "figures" if seed else run / "figures"


@dataclass(frozen=True)
class Run:
    """A run's folder below runs/, and where the paths of its clips begin.

    What is not there raises FileNotFoundError, which says which notebook makes it.
    """

    folder: Path
    clips_dir: Path

    def csv(self, name: str) -> pd.DataFrame:
        """A CSV that a notebook exported."""
        path = figures_dir(self.folder, 0) / f"{name}.csv"
        if not path.exists():
            raise FileNotFoundError(f"`figures/{path.name}` is not there; run notebook {name[:2]}.")
        return pd.read_csv(path)

    @cached_property
    def benchmark(self) -> Benchmark:
        if not (self.folder / "benchmark").exists():
            raise FileNotFoundError("`benchmark/` is not there; run notebook 03.")
        return Benchmark.load(self.folder / "benchmark")

    @cached_property
    def results(self) -> pd.DataFrame:
        """Per-query results on test under protocol `full`."""
        results = read_results(self._results_dir)
        return results[results["protocol"] == "full"]

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Rows of `results.summarise` under protocol `full`, by method; those that did not run have their reason in `status`."""
        return (
            summarise(self._results_dir, protocols=["full"]).set_index("method", drop=False).rename_axis(None)
        )

    def rows(self, methods: list[str]) -> pd.DataFrame:
        """Those rows of the summary that ran, in this order."""
        there = [
            name
            for name in methods
            if name in self.summary.index and self.summary.loc[name, "status"] == "run"
        ]
        if not there:
            raise FileNotFoundError(f"there are no results of {', '.join(methods)}; run notebook 05.")
        return self.summary.loc[there].reset_index(drop=True)

    def record(self, method: str) -> dict:
        """How a method's result with the smallest seed was made."""
        path = min((self._results_dir / method).glob("seed-*.json"), default=None)
        if path is None:
            raise FileNotFoundError(f"`results/{method}` is not there; run notebook 05.")
        return next(iter(json.loads(path.read_text("utf-8")).values()))

    def seconds(self, method: str) -> float:
        """What a row took to train, all stages, mean over seeds; 0 for one that trains nothing."""
        spent = []
        for path in sorted((self._results_dir / method).glob("seed-*.json")):
            record = next(iter(json.loads(path.read_text("utf-8")).values()))
            spent.append(
                record.get("stage1", {}).get("seconds", 0.0)
                + (record["history"][-1]["seconds"] if "history" in record else 0.0)
            )
        return sum(spent) / max(len(spent), 1)

    @property
    def _results_dir(self) -> Path:
        if not any((self.folder / "results").glob("*/seed-*.parquet")):
            raise FileNotFoundError("`results/` is not there; run notebook 05.")
        return self.folder / "results"
