"""What the benchmarks share: designs timed in turn, each in a process of its own, and rows of one form.

A row says what was done, by which design and against which plain one, at what size; the median seconds of
both and their ratio; and how far the memory of each rose above its inputs. Ratios carry over to other
machines, seconds do not. Linux and macOS.
"""

import argparse
import multiprocessing
import platform
import resource
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch

COLUMNS = [
    "what",
    "design",
    "against",
    "size",
    "of",
    "seconds",
    "plain seconds",
    "ratio",
    "peak MiB",
    "plain peak MiB",
    "note",
]
LIBRARIES = ("torch", "numpy", "pandas", "pyarrow", "transformers", "decord", "av", "faiss-cpu")
QUICK = "quick: small sizes, all designs in one process, machine not at rest; these are no figures to quote"
_inputs: dict[int, tuple] = {}  # of the designs that run in this process


@dataclass(frozen=True)
class Measured:
    """One design's runs, without the warm-up."""

    seconds: float  # median
    peak_mib: float  # above the inputs, the warm-up included
    values: list  # what each run returned


def compare(
    designs: dict[str, Callable],
    make: Callable[..., tuple],
    *given: Any,
    repeats: int,
    quick: bool,
    warm_up: int = 1,
) -> dict[str, Measured]:
    """Run each design on what `make(*given)` returns, in turn (ours, plain, ours, plain, ...), after
    `warm_up` runs that do not count.

    Each design lives in a fresh process, with inputs of its own, and waits while others run: so peaks do
    not mix, and what else the machine does meets all. With `quick` all run in this process.
    """
    seconds, values = ({name: [] for name in designs} for _ in range(2))
    with ExitStack() as stack:
        pools = {}
        for name in designs:
            pool = (
                ThreadPoolExecutor(1)
                if quick
                else ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
            )
            pools[name] = stack.enter_context(pool)
        before = {
            name: pools[name].submit(_prepare, place, make, given).result()
            for place, name in enumerate(designs)
        }
        for repeat in range(warm_up + repeats):
            for place, (name, design) in enumerate(designs.items()):
                took, value = pools[name].submit(_run, place, design).result()
                if repeat >= warm_up:
                    seconds[name].append(took)
                    values[name].append(value)
        peaks = {name: pools[name].submit(_peak_mib).result() - before[name] for name in designs}
        _inputs.clear()
    return {
        name: Measured(statistics.median(seconds[name]), max(peaks[name], 0.0), values[name])
        for name in designs
    }


def _prepare(place: int, make: Callable, given: tuple) -> float:
    _inputs[place] = make(*given)
    return _reset_peak_mib()


def _run(place: int, design: Callable) -> tuple[float, Any]:
    start = perf_counter()
    value = design(*_inputs[place])
    return perf_counter() - start, value


def _version(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return f"no {library}"


def _reset_peak_mib() -> float:
    """Memory now, from which on a peak counts."""
    with suppress(OSError):  # Linux: the peak starts anew, else making the inputs might hide the run
        Path("/proc/self/clear_refs").write_text("5")
    return _peak_mib()


def _peak_mib() -> float:
    try:
        # Not ru_maxrss, which a process inherits from the one that started it.
        line = next(
            line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
        )
        return int(line.split()[1]) / 2**10
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )


def row(
    what: str, design: str, against: str, size: int, of: str, ours: Measured, plain: Measured, note: str = ""
) -> dict:
    """A row of the common form. Equal `what` at several sizes is a curve."""
    values = (ours.seconds, plain.seconds, plain.seconds / ours.seconds, ours.peak_mib, plain.peak_mib)
    return dict(zip(COLUMNS, (what, design, against, size, of, *values, note)))


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """The table as it is read: three digits of each number."""

    def say(value: float) -> str:
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

    shown = table.assign(size=table["size"].map("{:,}".format) + " " + table["of"]).drop(columns="of")
    numbers = table.select_dtypes("float").columns
    return shown.assign(**{name: table[name].map(say) for name in numbers}).fillna("")


def machine() -> str:
    """The processor, threads and versions that the seconds belong to; nothing that names the machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        models = []
    found = [_version(name) for name in LIBRARIES]
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{models[0] if models else platform.machine()}, {torch.get_num_threads()} threads{gpu}; "
        f"{platform.system()}, Python {platform.python_version()}, {', '.join(found)}"
    )


def main(measure: Callable[[bool], list[dict]], about: str) -> None:
    """Run one benchmark by itself and print its rows."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=QUICK)
    quick = parser.parse_args().quick
    table = pd.DataFrame(measure(quick), columns=COLUMNS)
    print(in_words(table).to_string(index=False), machine(), *[QUICK] * quick, sep="\n")
