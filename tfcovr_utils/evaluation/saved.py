"""Results on disk: `results/<method>/seed-<n>.parquet`, a row for each query, with a JSON record beside it.

`results/benchmark.json` names the benchmark scored last, by split and protocol; older results are skipped.
"""

import warnings
from pathlib import Path

import pandas as pd

from ..machine.files import load_table, locked, read_json, write_json, write_table
from ..machine.hashing import hash_file
from ..methods import METHODS

BENCHMARK_FILE = "benchmark.json"


def save_result(table: pd.DataFrame, results_dir: Path, method: str, seed: int, record: dict) -> Path:
    """Write one evaluation in place of an earlier one of the same split and protocol; keep the others.

    `record`: how it was made (`profiles.provenance`), on which benchmark; kept under "<split> <protocol>".
    """
    path = result_path(results_dir, method, seed)
    table = table.assign(revision=record["revision"])
    split, protocol, task = table[["split", "protocol", "task"]].iloc[0]
    key = f"{split} {protocol}"
    with locked(path):  # two runs may add to it, each another protocol
        records = read_records(path)
        # The old record goes first and the new one comes last, so a record never describes other rows.
        if records.pop(key, None) is not None:
            write_json(records, path.with_suffix(".json"))
        if path.exists():
            before = load_table(path)
            others = before[(before["split"] != split) | (before["protocol"] != protocol)]
            table = pd.concat([others, table], ignore_index=True)
        write_table(table, path)
        write_json(records | {key: record}, path.with_suffix(".json"))
    _make_current(results_dir, key, record, task)
    _not_run_path(results_dir, method).unlink(missing_ok=True)
    return path


def find_result(
    results_dir: Path,
    method: str,
    seed: int,
    split: str,
    protocols: list[str],
    made_of: dict | None,
    folder: Path | None = None,
) -> pd.DataFrame | None:
    """Return the saved rows if they were made from just this, and the weights in `folder` are unchanged."""
    path = result_path(results_dir, method, seed)
    if made_of is None or not path.exists():
        return None
    records = [read_records(path).get(f"{split} {protocol}", {}) for protocol in protocols]
    if any(record.get("made_of") != made_of for record in records):
        return None
    weights = {name: digest for record in records for name, digest in record.get("weights", {}).items()}
    if any(not (folder / name).is_file() or hash_file(folder / name) != weights[name] for name in weights):
        return None
    table = load_table(path)
    parts = [table[(table["split"] == split) & (table["protocol"] == protocol)] for protocol in protocols]
    if not all(map(len, parts)):
        return None
    for part, protocol, record in zip(parts, protocols, records):
        _make_current(results_dir, f"{split} {protocol}", record, part["task"].iloc[0])
    return pd.concat(parts, ignore_index=True)


def save_not_run(results_dir: Path, method: str, reason: str) -> None:
    """Write why a method could not run, for its row in the summary. Earlier results stay."""
    write_json({"reason": reason}, _not_run_path(results_dir, method))


def reason_not_run(results_dir: Path, method: str) -> str | None:
    """Return what `save_not_run` wrote, if anything."""
    return _read_if_there(_not_run_path(results_dir, method)).get("reason")


def read_saved(results_dir: Path, split: str) -> tuple[pd.DataFrame, list[tuple[str, str, int]]]:
    """Return a split's results on the current benchmark, and (method, protocol, seed) of older results."""
    current = _read_if_there(Path(results_dir) / BENCHMARK_FILE)
    names = methods_in(results_dir)
    parts, older = [], []
    paths = Path(results_dir).glob("*/seed-*.parquet")
    for path in sorted(paths, key=lambda path: (names.index(path.parent.name), seed_of(path))):
        table, records, method = load_table(path), read_records(path), path.parent.name
        for protocol, part in table[table["split"] == split].groupby("protocol", sort=False):
            key = f"{split} {protocol}"
            made_on = _benchmark_of(records.get(key, {}), part["task"].iloc[0])
            if made_on == current.get(key) and "answer_set" in part:
                parts.append(part.assign(method=method, seed=seed_of(path)))
            else:
                older.append((method, protocol, seed_of(path)))
    if older:
        named = ", ".join(f"{method}/seed-{seed} ({protocol})" for method, protocol, seed in older)
        # Python shows a warning once for each line of code: a notebook shows this one once, not in each cell.
        warnings.warn(
            f"{named} in {results_dir} are results of an older benchmark and are skipped; "
            "score these rows again, or remove their files.",
            stacklevel=1,
        )
    empty = pd.DataFrame(columns=["method", "protocol", "seed", "task"])
    return pd.concat(parts or [empty], ignore_index=True), older


def result_path(results_dir: Path, method: str, seed: int) -> Path:
    """Return where the rows of a method and seed are."""
    return Path(results_dir) / method / f"seed-{seed}.parquet"


def seed_of(path: Path) -> int:
    """Return the seed in the name of a result's file."""
    return int(path.stem.removeprefix("seed-"))


def read_records(path: Path) -> dict:
    """Read the records of a result's file, by "<split> <protocol>"."""
    return _read_if_there(path.with_suffix(".json"))


def methods_in(results_dir: Path) -> list[str]:
    """List every registered method, then the variants that only the folder knows."""
    there = {path.parent.name for path in Path(results_dir).glob("*/*.*")}
    return [*METHODS, *sorted(there - set(METHODS))]


def _not_run_path(results_dir: Path, method: str) -> Path:
    return Path(results_dir) / method / "not-run.json"


def _read_if_there(path: Path) -> dict:
    return read_json(path) if path.exists() else {}


def _benchmark_of(record: dict, task: str) -> dict:
    return {"benchmark": record.get("benchmark"), "task": task}


def _make_current(results_dir: Path, key: str, record: dict, task: str) -> None:
    """Name the benchmark whose results count from now on, for a split and protocol."""
    path = Path(results_dir) / BENCHMARK_FILE
    named = {key: _benchmark_of(record, task)}
    if _read_if_there(path).items() >= named.items():
        return  # nothing to write, so a folder without write permission can be read
    with locked(path):
        write_json(_read_if_there(path) | named, path)
