"""Results on disk, `results/<method>/seed-<n>.parquet` with a record beside, and every table that is a view of them.

A row is a query (see `evaluation.evaluate`). Nothing is scored here.
"""

import warnings
from contextlib import suppress
from pathlib import Path

import pandas as pd

from ..machine.files import load_table, locked, read_json, replacing, write_json, write_table
from ..machine.hashing import hash_file
from ..methods import METHODS
from ..metrics.intervals import PairedInterval, bootstrap_intervals, mean_over_queries, paired_bootstrap
from ..metrics.ranking import RANKS

HEADLINES = [f"mAP@{k}" for k in RANKS]
SUMMARY_COLUMNS = [
    "method",
    "group",
    "protocol",
    "status",
    "n_seeds",
    "n_queries",
    "coverage",
    *(f"mAP@{k}{what}" for k in RANKS for what in ("", " sd", " low", " high")),
]
CSV_COLUMNS = ["method", "protocol", "seed", *HEADLINES, "n_queries", "coverage", "revision"]
BOOTSTRAP_SEED = 0  # intervals are part of the results: the same every time
_COMMAND = "tfcovr score --method {} --benchmark DIR --out DIR"


def save_result(table: pd.DataFrame, results_dir: Path, method: str, seed: int, record: dict) -> Path:
    """Write one evaluation; it replaces an earlier one of the same split and protocol and leaves the others.

    `record` says how it was made (`profiles.provenance`); it goes to the JSON beside, under "<split> <protocol>".
    """
    path = Path(results_dir) / method / f"seed-{seed}.parquet"
    table = table.assign(revision=record["revision"])
    (key,) = table[["split", "protocol"]].drop_duplicates().itertuples(index=False, name=None)
    beside = path.with_suffix(".json")
    with locked(path):  # two runs may add to it, each another protocol
        if path.exists():
            before = load_table(path)
            table = pd.concat(
                [before[(before["split"] != key[0]) | (before["protocol"] != key[1])], table],
                ignore_index=True,
            )
        records = read_json(beside) if beside.exists() else {}
        # The record goes first and comes last, so that it never stands beside rows that it does not describe.
        if records.pop(" ".join(key), None) is not None:
            write_json(records, beside)
        write_table(table, path)
        write_json(records | {" ".join(key): record}, beside)
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
    """What `save_result` wrote of a method under these protocols, if it was made from just this and its weights are still in `folder`."""
    path = Path(results_dir) / method / f"seed-{seed}.parquet"
    if made_of is None or not path.exists() or not path.with_suffix(".json").exists():
        return None
    known = read_json(path.with_suffix(".json"))
    records = [known.get(f"{split} {protocol}", {}) for protocol in protocols]
    if any(record.get("made_of") != made_of for record in records):
        return None
    weights = {name: of for record in records for name, of in record.get("weights", {}).items()}
    if any(not (folder / name).is_file() or hash_file(folder / name) != of for name, of in weights.items()):
        return None
    table = load_table(path)
    parts = [table[(table["split"] == split) & (table["protocol"] == protocol)] for protocol in protocols]
    if not all(map(len, parts)):
        return None
    with suppress(OSError):  # where nobody may write
        path.touch()  # as good as written now, see `_read_all`
    return pd.concat(parts, ignore_index=True)


def training_curve(results_dir: Path, method: str, seed: int) -> pd.DataFrame:
    """The curve of stage 2 that a trained row's record keeps: step, epoch, lr, loss, val, seconds."""
    path = Path(results_dir) / method / f"seed-{seed}.json"
    if not (path.exists() and (records := read_json(path))):
        raise FileNotFoundError(
            f"{path} is not there or not whole; run `{_COMMAND.format(method)}` with --seed {seed}."
        )
    record = next(iter(records.values()))
    if "history" not in record:
        raise ValueError(f"{method!r} has no curve, since it trains nothing; choose a fine-tuned row.")
    return pd.DataFrame(record["history"])


def training_cost(results_dir: Path, methods: list[str]) -> pd.DataFrame:
    """What rows took to train, and how they stood where choices are made, means over seeds: by method, "stage 1 s" (of what
    was trained from labels, 0 for none), "stage 2 s", "val" (mAP@50 of the step chosen, in per cent)."""
    left_over = {(method, seed) for method, _, seed in _read_all(results_dir, "test")[1]}
    rows = []
    for method in methods:
        for path in sorted((Path(results_dir) / method).glob("seed-*.json")):
            if (
                method,
                _seed(path),
            ) in left_over:  # trained on an earlier benchmark, as may be what the record says
                continue
            curve = training_curve(results_dir, method, _seed(path))
            record = next(iter(read_json(path).values()))
            rows.append(
                {
                    "method": method,
                    "stage 1 s": record.get("stage1", {}).get("seconds", 0.0),
                    "stage 2 s": curve["seconds"].iloc[-1],
                    "val": 100 * curve["val"].max(),
                }
            )
    return (
        pd.DataFrame(rows, columns=["method", "stage 1 s", "stage 2 s", "val"])
        .groupby("method", sort=False)
        .mean()
    )


def save_not_run(results_dir: Path, method: str, reason: str) -> None:
    """Write why a method could not run, so that its row stands in the table. Earlier results are left."""
    write_json({"reason": reason}, _not_run_path(results_dir, method))


def read_results(results_dir: Path, split: str = "test") -> pd.DataFrame:
    """All results on a split, in the order of METHODS, with columns `method` and `seed` more.

    Left-overs of an earlier benchmark are left out with a warning: what answers other queries or another gallery than the
    result that was written last, or found again as what it would be. So they are in all that reads a folder.
    """
    results, _ = _read_all(results_dir, split)
    if results.empty:
        raise FileNotFoundError(
            f"{results_dir} has no results on {split}; make some with `{_COMMAND.format('random')}`."
        )
    return results


def summarise(results_dir: Path, split: str = "test", protocols: list[str] | None = None) -> pd.DataFrame:
    """One row a method and protocol, in per cent; a method without results has a row that says why.

    Columns: method, group, protocol, status ("run", or "not run: " and why), n_seeds, n_queries, coverage, and for
    each K `mAP@K` (mean over seeds), `mAP@K sd` (over seeds; NaN for one seed), `mAP@K low` and `mAP@K high` (95 %
    percentile interval over queries of the per-query means over seeds).
    """
    results, left_over = _read_all(results_dir, split)
    if protocols is not None:
        results = results[results["protocol"].isin(protocols)]
    rows = summarise_results(results).to_dict("records")
    run = set(results["method"])
    absent = [name for name in _methods_in(results_dir) if name not in run]
    earlier = {method for method, protocol, _ in left_over if protocols is None or protocol in protocols}
    rows += [
        {
            "method": name,
            "protocol": "",
            "status": f"not run: {_why_not_run(results_dir, name, name in earlier)}",
            "n_seeds": 0,
        }
        for name in absent
    ]
    table = pd.DataFrame(rows, columns=SUMMARY_COLUMNS).astype({"n_queries": "Int64"})
    table["group"] = [METHODS[name].group if name in METHODS else "" for name in table["method"]]
    order = table["method"].map({name: place for place, name in enumerate(_methods_in(results_dir))})
    return table.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def summarise_results(results: pd.DataFrame) -> pd.DataFrame:
    """`summarise` of a table of `read_results`: of what was run alone, in the table's order."""
    rows = []
    for (method, protocol), part in results.groupby(["method", "protocol"], sort=False):
        row = {
            "method": method,
            "protocol": protocol,
            "status": "run",
            "n_seeds": part["seed"].nunique(),
            "coverage": part["coverage"].mean(),
        }
        if part["ap@50"].isna().all():  # ranked for a server that keeps the answers
            rows.append(row | {"n_queries": 0})
            continue
        values = pd.concat([per_query(part, f"ap@{k}") for k in RANKS], axis=1)
        for k, interval in zip(RANKS, bootstrap_intervals(100 * values, BOOTSTRAP_SEED)):
            by_seed = 100 * part.groupby("seed")[f"ap@{k}"].mean()
            row |= {
                f"mAP@{k}": interval.mean,
                f"mAP@{k} sd": by_seed.std(),
                f"mAP@{k} low": interval.low,
                f"mAP@{k} high": interval.high,
            }
        rows.append(row | {"n_queries": interval.num_queries})
    return pd.DataFrame(rows, columns=[name for name in SUMMARY_COLUMNS if name != "group"])


def per_query(results: pd.DataFrame, metric: str = "ap@50") -> pd.Series:
    """The mean over seeds of a metric of one method under one protocol: by query_id (Q,)."""
    kinds = results[["method", "protocol"]].drop_duplicates()
    if len(kinds) != 1:
        raise ValueError(
            f"results hold {len(kinds)} methods and protocols; choose one method under one protocol."
        )
    values = results.pivot(index="query_id", columns="seed", values=metric)
    # A query that one seed leaves undefined has no mean over the same seeds as the others.
    return values.mean(axis=1, skipna=False)


def compare(results_a: pd.DataFrame, results_b: pd.DataFrame, metric: str = "ap@50") -> PairedInterval:
    """Paired bootstrap over queries of a - b in points of per cent, each averaged over its seeds first.

    Of queries that one of the two leaves undefined neither counts.
    """
    tasks = pd.concat([results_a, results_b])["task"].unique()
    if len(tasks) != 1:
        raise ValueError(
            f"the results answer {len(tasks)} different sets of questions; compare methods under one protocol of one benchmark."
        )
    a, b = per_query(results_a, metric).align(per_query(results_b, metric))
    undefined = a.isna() | b.isna()
    return paired_bootstrap(100 * a.mask(undefined), 100 * b.mask(undefined), BOOTSTRAP_SEED)


def by_kind(results: pd.DataFrame) -> pd.DataFrame:
    """mAP in per cent by kind of change: method, protocol, kind, n_queries, mAP@5/10/25/50 (means over seeds)."""
    keys = ["method", "protocol", "kind"]
    groups = results.groupby(keys, sort=False)
    table = 100 * groups[[f"ap@{k}" for k in RANKS]].mean().set_axis(HEADLINES, axis=1)
    table.insert(0, "n_queries", results[results["ap@50"].notna()].groupby(keys)["query_id"].nunique())
    return table.reset_index()


def by_factor(results: pd.DataFrame) -> pd.DataFrame:
    """What goes wrong where, by attribute, in per cent: method, protocol, factor, n_queries, mAP@50 and two shares.

    n_queries and mAP@50 are of the queries whose modification changes the factor. `missed_changed` is the share of
    those whose first-ranked clip has it wrong, `missed_kept` the share among queries that leave it as it is.
    """
    known = results[results["missed"].notna() & (results["changed"] != "")]
    changed, missed = (known[name].str.split(",").map(set) for name in ("changed", "missed"))
    rows = []
    for factor in sorted(set().union(*changed)):
        changes = changed.map(lambda names: factor in names)
        wrong = missed.map(lambda names: factor in names)
        for (method, protocol), part in known.groupby(["method", "protocol"], sort=False):
            asked = changes[part.index]
            rows.append(
                {
                    "method": method,
                    "protocol": protocol,
                    "factor": factor,
                    "n_queries": part.loc[asked, "query_id"].nunique(),
                    "mAP@50": 100 * part.loc[asked, "ap@50"].mean(),
                    "missed_changed": 100 * wrong[part.index][asked].mean(),
                    "missed_kept": 100 * wrong[part.index][~asked].mean(),
                }
            )
    return pd.DataFrame(rows)


def results_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row a method, protocol and seed, with the columns of `results_mini.csv`; per cent, unrounded."""
    rows = []
    for (method, protocol, seed), part in results.groupby(["method", "protocol", "seed"], sort=False):
        mean, undefined = mean_over_queries(part[[f"ap@{k}" for k in RANKS]].astype(float))
        (revision,) = part["revision"].unique()
        rows.append(
            [
                method,
                protocol,
                seed,
                *(100 * mean),
                len(part) - undefined,
                part["coverage"].astype(float).mean(),
                revision,
            ]
        )
    return pd.DataFrame(rows, columns=CSV_COLUMNS)


def write_results_csv(results_dir: Path, path: Path, split: str = "test") -> pd.DataFrame:
    """Write `results_mini.csv`, mAP with two decimals, coverage with four; and beside it what it is computed from, a row a query.

    `results_mini_queries.parquet` has the columns of `read_results` but the ranked clips and their scores, which are bulky.
    """
    queries = read_results(results_dir, split).drop(columns=["retrieved", "scores"])
    queries = queries.astype({name: "float32" for name in queries.select_dtypes("float64")})
    write_table(queries, path.with_name(f"{path.stem}_queries.parquet"))
    shown = format_results(results_table(queries))
    with replacing(path) as temporary:
        shown.to_csv(temporary, index=False, lineterminator="\n")
    return shown


def format_results(table: pd.DataFrame) -> pd.DataFrame:
    """`results_table` as the CSV has it."""
    return table.assign(
        **{name: table[name].map("{:.2f}".format) for name in HEADLINES},
        coverage=table["coverage"].map("{:.4f}".format),
    )


def _read_all(results_dir: Path, split: str) -> tuple[pd.DataFrame, list[tuple[str, str, int]]]:
    """Results on a split that answer one task a protocol, that of the file written last, and (method, protocol, seed) of the others."""
    parts = [pd.DataFrame(columns=["method", "protocol", "seed", "task", "written"])]
    for path in sorted(Path(results_dir).glob("*/seed-*.parquet"), key=_in_order):
        written = path.stat().st_mtime_ns
        table = load_table(path)
        parts.append(
            table[table["split"] == split].assign(method=path.parent.name, seed=_seed(path), written=written)
        )
    results = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    by_time = results[["protocol", "task", "written"]].sort_values("written", kind="stable")
    last = by_time.drop_duplicates("protocol", keep="last").set_index("protocol")["task"]
    is_left_over = results["task"] != results["protocol"].map(last)
    left_over = [
        *results.loc[is_left_over, ["method", "protocol", "seed"]]
        .drop_duplicates()
        .itertuples(index=False, name=None)
    ]
    if left_over:
        named = ", ".join(f"{method}/seed-{seed} ({protocol})" for method, protocol, seed in left_over)
        # At this place, not at its callers: so a notebook that reads a folder in ten cells is told once.
        warnings.warn(
            f"{named} in {results_dir} answer other queries or another gallery than what was written last, and are left out; "
            "give the command that made them again, or remove them.",
            stacklevel=1,
        )
    return results[~is_left_over].drop(columns="written").reset_index(drop=True), left_over


def _not_run_path(results_dir: Path, method: str) -> Path:
    return Path(results_dir) / method / "not-run.json"


def _why_not_run(results_dir: Path, method: str, has_earlier: bool) -> str:
    path = _not_run_path(results_dir, method)
    if path.exists():
        return read_json(path)["reason"]
    why = "its results are of an earlier benchmark" if has_earlier else "nobody asked for it yet"
    return f"{why}. To run it: `{_COMMAND.format(method)}`."


def _methods_in(results_dir: Path) -> list[str]:
    """Every registered method, and variants that only the folder knows, in order."""
    there = {path.parent.name for path in Path(results_dir).glob("*/*.*")}
    return [*METHODS, *sorted(there - set(METHODS))]


def _in_order(path: Path) -> tuple[int, str, int]:
    names = [*METHODS]
    method = path.parent.name
    return names.index(method) if method in names else len(names), method, _seed(path)


def _seed(path: Path) -> int:
    return int(path.stem.removeprefix("seed-"))
