"""Tables that are views of the results in `saved`: summaries, comparisons, curves, the published CSV."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ..machine.files import replacing, write_table
from ..methods import METHODS
from ..metrics.intervals import PairedInterval, bootstrap_interval, mean_over_queries, paired_bootstrap
from ..metrics.ranking import RANKS
from .saved import methods_in, read_records, read_saved, reason_not_run, result_path, seed_of

HEADLINES = [f"mAP@{k}" for k in RANKS]
SUMMARY_COLUMNS = [
    *("method", "group", "protocol", "status", "n_seeds", "n_queries", "n_sets", "coverage"),
    *(f"mAP@{k}{what}" for k in RANKS for what in ("", " sd", " low", " high")),
]
CSV_COLUMNS = ["method", "protocol", "seed", *HEADLINES, "n_queries", "coverage", "revision"]
BOOTSTRAP_SEED = 0  # intervals are part of the results: the same every time
_COMMAND = "tfcovr score --method {} --benchmark DIR --out DIR"


def read_results(results_dir: Path, split: str = "test") -> pd.DataFrame:
    """Read all results on a split, in the order of METHODS, with the added columns `method` and `seed`."""
    results, _ = read_saved(results_dir, split)
    if results.empty:
        raise FileNotFoundError(
            f"{results_dir} has no results on {split}; make some with `{_COMMAND.format('random')}`."
        )
    return results


def training_curve(results_dir: Path, method: str, seed: int) -> pd.DataFrame:
    """Return the curve of stage 2 in a trained row's record: step, epoch, lr, loss, val, seconds."""
    path = result_path(results_dir, method, seed)
    if not (records := read_records(path)):
        raise FileNotFoundError(
            f"{path.with_suffix('.json')} does not exist or is incomplete; run `{_COMMAND.format(method)}` "
            f"with --seed {seed}."
        )
    record = next(iter(records.values()))
    if "history" not in record:
        raise ValueError(f"{method!r} has no curve, since it trains nothing; choose a fine-tuned row.")
    return pd.DataFrame(record["history"])


def training_curves(results_dir: Path, methods: Iterable[str], seed: int) -> pd.DataFrame:
    """Return curves of the rows that this seed has trained, with their name in `row`; val in per cent."""
    there = [name for name in methods if result_path(results_dir, name, seed).with_suffix(".json").exists()]
    curves = [training_curve(results_dir, name, seed).assign(row=name) for name in there]
    none = pd.DataFrame(columns=["step", "loss", "val", "row"])
    return pd.concat(curves or [none], ignore_index=True).assign(val=lambda curve: 100 * curve["val"])


def best_rows(summary: pd.DataFrame, wanted: Sequence[str]) -> list[str]:
    """Return those of the wanted rows that have run; the best others take the places of the rest."""
    ran = summary[(summary["status"] == "run") & (summary["group"] != "control")]
    best = ran.sort_values("mAP@50", ascending=False)["method"].tolist()
    found = [name for name in wanted if name in best]
    return [*found, *(name for name in best if name not in found)][: len(wanted)]


def training_cost(results_dir: Path, methods: list[str]) -> pd.DataFrame:
    """Return "stage 1 s", "stage 2 s" and "val" (best mAP@50, per cent) by method, means over seeds."""
    older = {(method, seed) for method, _, seed in read_saved(results_dir, "test")[1]}
    rows = []
    for method in methods:
        for path in sorted((Path(results_dir) / method).glob("seed-*.json")):
            seed = seed_of(path)
            if (method, seed) in older:
                continue
            curve = training_curve(results_dir, method, seed)
            stage1_s = next(iter(read_records(path).values())).get("stage1", {}).get("seconds", 0.0)
            rows.append([method, stage1_s, curve["seconds"].iloc[-1], 100 * curve["val"].max()])
    table = pd.DataFrame(rows, columns=["method", "stage 1 s", "stage 2 s", "val"])
    return table.groupby("method", sort=False).mean()


def summarise(results_dir: Path, split: str = "test", protocols: list[str] | None = None) -> pd.DataFrame:
    """Return one row for each method and protocol, in per cent; a method without results says why.

    `mAP@K` is a mean over seeds, `mAP@K sd` is over seeds (NaN for one), `mAP@K low` and `mAP@K high` are
    the 95 % interval over sets of right answers (`n_sets`) and seeds: of one seed, over sets alone.
    """
    results, older = read_saved(results_dir, split)
    if protocols is not None:
        results = results[results["protocol"].isin(protocols)]
    outdated = {method for method, protocol, _ in older if protocols is None or protocol in protocols}
    names = methods_in(results_dir)
    rows = summarise_results(results).to_dict("records")
    for name in names:
        if name not in set(results["method"]):
            why = "its results are of an older benchmark" if name in outdated else "it has no result yet"
            why = reason_not_run(results_dir, name) or f"{why}. To run it: `{_COMMAND.format(name)}`."
            rows.append({"method": name, "protocol": "", "status": f"not run: {why}", "n_seeds": 0})
    table = pd.DataFrame(rows, columns=SUMMARY_COLUMNS).astype({"n_queries": "Int64", "n_sets": "Int64"})
    table["group"] = [METHODS[name].group if name in METHODS else "" for name in table["method"]]
    return table.iloc[table["method"].map(names.index).argsort(kind="stable")].reset_index(drop=True)


def summarise_results(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `summarise` for a table of `read_results`, in the table's order."""
    rows = []
    for (method, protocol), part in results.groupby(["method", "protocol"], sort=False):
        row = {"method": method, "protocol": protocol, "status": "run", "n_queries": 0, "n_sets": 0}
        row |= {"n_seeds": part["seed"].nunique(), "coverage": part["coverage"].mean()}
        rows.append(row)
        if part["ap@50"].isna().all():  # ranked for a server that keeps the answers
            continue
        for k in RANKS:
            values, sets = by_seed(part, f"ap@{k}")
            interval = bootstrap_interval(values, BOOTSTRAP_SEED, sets)
            row |= {f"mAP@{k}": interval.mean, f"mAP@{k} sd": values.mean(axis=1).std()}
            row |= {f"mAP@{k} low": interval.low, f"mAP@{k} high": interval.high}
            row |= {"n_queries": interval.num_queries, "n_sets": interval.num_sets}
    return pd.DataFrame(rows, columns=[name for name in SUMMARY_COLUMNS if name != "group"])


def by_seed(results: pd.DataFrame, metric: str = "ap@50") -> tuple[pd.DataFrame, pd.Series]:
    """Return one method's metric under one protocol, in per cent (S, Q), and the queries' answer sets (Q,).

    A query that one seed leaves undefined is so in all, as it has no mean over the same seeds as the others.
    """
    kinds = results[["method", "protocol"]].drop_duplicates()
    if len(kinds) != 1:
        raise ValueError(
            f"results hold {len(kinds)} methods and protocols; choose one method under one protocol."
        )
    values = 100 * results.pivot(index="seed", columns="query_id", values=metric).astype(float)
    values.loc[:, values.isna().any()] = float("nan")
    return values, results.drop_duplicates("query_id").set_index("query_id")["answer_set"][values.columns]


def compare(results_a: pd.DataFrame, results_b: pd.DataFrame, metric: str = "ap@50") -> PairedInterval:
    """Bootstrap the difference a - b, in per cent, over queries that both define, and over seeds."""
    tasks = pd.concat([results_a, results_b])["task"].unique()
    if len(tasks) != 1:
        raise ValueError(
            f"the results answer {len(tasks)} different sets of questions; "
            "compare methods under one protocol of one benchmark."
        )
    (a, sets), (b, _) = by_seed(results_a, metric), by_seed(results_b, metric)
    for values in (a, b):
        values.loc[:, a.isna().any() | b.isna().any()] = float("nan")
    return paired_bootstrap(a, b, BOOTSTRAP_SEED, sets, same_seeds=a.index.equals(b.index))


def by_kind(results: pd.DataFrame) -> pd.DataFrame:
    """Return mAP in per cent by kind of change: method, protocol, kind, n_queries, mAP@5/10/25/50."""
    keys = ["method", "protocol", "kind"]
    table = 100 * results.groupby(keys, sort=False)[[f"ap@{k}" for k in RANKS]].mean().set_axis(
        HEADLINES, axis=1
    )
    table.insert(0, "n_queries", results[results["ap@50"].notna()].groupby(keys)["query_id"].nunique())
    return table.reset_index()


def by_factor(results: pd.DataFrame) -> pd.DataFrame:
    """Return results by attribute, in per cent, of the queries whose modification changes the factor.

    missed_changed: share of these whose first clip has the factor wrong; missed_kept: of the other queries.
    """
    known = results[results["missed"].notna() & (results["changed"] != "")]
    changed, missed = (known[name].str.split(",").map(set) for name in ("changed", "missed"))
    rows = []
    for factor in sorted(set().union(*changed)):
        table = known.assign(
            asked=changed.map(lambda names, factor=factor: factor in names),
            wrong=missed.map(lambda names, factor=factor: factor in names),
        )
        for (method, protocol), part in table.groupby(["method", "protocol"], sort=False):
            asked, kept = part[part["asked"]], part[~part["asked"]]
            numbers = asked["ap@50"].mean(), asked["wrong"].mean(), kept["wrong"].mean()
            n_queries = asked["query_id"].nunique()
            rows.append([method, protocol, factor, n_queries, *(100 * number for number in numbers)])
    shares = ["missed_changed", "missed_kept"]
    return pd.DataFrame(rows, columns=["method", "protocol", "factor", "n_queries", "mAP@50", *shares])


def results_table(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each method, protocol and seed, as in `results_mini.csv`; per cent, unrounded."""
    rows = []
    for key, part in results.groupby(["method", "protocol", "seed"], sort=False):
        mean, undefined = mean_over_queries(part[[f"ap@{k}" for k in RANKS]].astype(float))
        (revision,) = part["revision"].unique()
        coverage = part["coverage"].astype(float).mean()
        rows.append([*key, *(100 * mean), len(part) - undefined, coverage, revision])
    return pd.DataFrame(rows, columns=CSV_COLUMNS)


def format_results(table: pd.DataFrame) -> pd.DataFrame:
    """Format `results_table` for the CSV: mAP with two decimals, coverage with four."""
    shown = {name: table[name].map("{:.2f}".format) for name in HEADLINES}
    return table.assign(**shown, coverage=table["coverage"].map("{:.4f}".format))


def write_results_csv(results_dir: Path, path: Path, split: str = "test") -> pd.DataFrame:
    """Write `results_mini.csv`, and beside it the per-query parquet from which it can be recomputed."""
    queries = read_results(results_dir, split).drop(columns=["retrieved", "scores"])
    queries = queries.astype({name: "float32" for name in queries.select_dtypes("float64")})
    write_table(queries, path.with_name(f"{path.stem}_queries.parquet"))
    shown = format_results(results_table(queries))
    with replacing(path) as temporary:
        shown.to_csv(temporary, index=False, lineterminator="\n")
    return shown
