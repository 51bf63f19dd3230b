"""Read what notebooks left in a run's folder: exported CSVs, per-query results, the benchmark's tables."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from ..benchmark.benchmark import Benchmark
from ..evaluation.results import read_results, summarise
from ..profiles import ROOT


def figures_dir(run: Path, seed: int) -> Path:
    """Return where a notebook's figures go. Each seed has its own folder."""
    return run / f"seed-{seed}" / "figures" if seed else run / "figures"


def number_of(notebook: str) -> str:
    """Return the number of the notebook whose name contains a word."""
    (path,) = (ROOT / "notebooks").glob(f"[0-9][0-9]_*{notebook}*.py")
    return path.name[:2]


def missing(what: str, notebook: str) -> FileNotFoundError:
    """Make an error that names what is missing, and the notebook that makes it."""
    return FileNotFoundError(f"`{what}` is missing; run notebook {number_of(notebook)}.")


@dataclass(frozen=True)
class Run:
    """A run's folder, and where its clips' paths start. Errors name the notebook to run."""

    folder: Path
    clips_dir: Path
    protocol: str = "full"

    def csv(self, notebook: str, name: str) -> pd.DataFrame:
        """Read a CSV that a notebook exported, given a word of the notebook's name."""
        number = number_of(notebook)
        path = figures_dir(self.folder, 0) / f"{number}_{name}.csv"
        if not path.exists():
            raise missing(f"figures/{path.name}", notebook)
        return pd.read_csv(path)

    @cached_property
    def benchmark(self) -> Benchmark:
        """The benchmark that the run was made on."""
        if not (self.folder / "benchmark").exists():
            raise missing("benchmark/", "modification")
        return Benchmark.load(self.folder / "benchmark")

    @property
    def label_text(self) -> dict[str, str]:
        """Text by label_id."""
        return dict(zip(self.benchmark.labels["label_id"], self.benchmark.labels["text"]))

    @cached_property
    def results(self) -> pd.DataFrame:
        """Per-query results on test under the run's protocol."""
        results = read_results(self._results_dir)
        return results[results["protocol"] == self.protocol]

    @cached_property
    def summary(self) -> pd.DataFrame:
        """`results.summarise` under the run's protocol, by method; `status` says why a method did not run."""
        summary = summarise(self._results_dir, protocols=[self.protocol])
        return summary.set_index("method", drop=False).rename_axis(None)

    def methods_of(self, group: str | None = None, without: tuple[str, ...] = ()) -> list[str]:
        """List the methods of a group, or of all groups but some, in the summary's order."""
        groups = self.summary["group"]
        chosen = groups == group if group else (groups != "") & ~groups.isin(without)
        return list(self.summary.index[chosen])

    def rows(self, methods: list[str]) -> pd.DataFrame:
        """Return the summary of those methods that ran, in this order."""
        ran = self.summary.index[self.summary["status"] == "run"]
        found = [name for name in methods if name in ran]
        if not found:
            raise missing(f"results of {', '.join(methods)}", "stage2")
        return self.summary.loc[found].reset_index(drop=True)

    def record(self, method: str) -> dict:
        """Return how a method's result with the smallest seed was made."""
        records = self._records(method)
        if not records:
            raise missing(f"results/{method}", "stage2")
        return records[0]

    def seconds(self, method: str) -> float:
        """Return the seconds a method took to train, all stages, mean over seeds; 0 if nothing is trained."""
        stage1 = [record.get("stage1", {}).get("seconds", 0.0) for record in self._records(method)]
        stage2 = [record["history"][-1]["seconds"] for record in self._records(method) if "history" in record]
        return (sum(stage1) + sum(stage2)) / max(len(stage1), 1)

    def _records(self, method: str) -> list[dict]:
        paths = sorted((self._results_dir / method).glob("seed-*.json"))
        return [next(iter(json.loads(path.read_text("utf-8")).values())) for path in paths]

    @property
    def _results_dir(self) -> Path:
        if not any((self.folder / "results").glob("*/seed-*.parquet")):
            raise missing("results/", "stage2")
        return self.folder / "results"
