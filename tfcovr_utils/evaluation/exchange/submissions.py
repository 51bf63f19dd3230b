"""Files for the servers of CIRR and CIRCO, which keep the answers of their test queries; and a check of such files.

tfcovr export submission --benchmark DIR --results RUN/results --method NAME --out DIR
tfcovr export submission --benchmark DIR --check FILE ...
"""

import json
from pathlib import Path

import pandas as pd

from ...benchmark.benchmark import Benchmark
from ...benchmark.protocols import Task, make_task
from ...machine.files import write_json

MAX_BYTES = 5 * 10**6  # of CIRR's server
# Metric in CIRR's file -> our protocol, and how many pictures its server takes.
CIRR_METRICS = {"recall": ("full", 50), "recall_subset": ("subset", 3)}
CIRCO_DEPTH = 50


def owner_id(query_id: str) -> str:
    """The number that the owners know a query by, as in their files."""
    return str(int(query_id.rsplit("-", 1)[1]))


def cirr_submission(results: pd.DataFrame, metric: str, version: str = "rc2") -> dict:
    """What CIRR's server takes for "recall" or "recall_subset": pair id -> picture names, best first."""
    protocol, depth = CIRR_METRICS[metric]
    return {"version": version, "metric": metric} | _best(results, protocol, depth)


def circo_submission(results: pd.DataFrame) -> dict:
    """What CIRCO's server takes: query id -> numbers of 50 pictures, best first."""
    return {
        query_id: [int(clip_id) for clip_id in clips]
        for query_id, clips in _best(results, "full", CIRCO_DEPTH).items()
    }


def check_submission(content: dict, benchmark: Benchmark, split: str = "test") -> list[str]:
    """What the server would refuse in a file's content, or score as wrong, a sentence each; [] where nothing is amiss."""
    source = _server_of(benchmark)
    if not isinstance(content, dict):
        return [f"the file holds a {type(content).__name__}; expected an object of query ids."]
    protocol, depth, ranked, faults = "full", CIRCO_DEPTH, dict(content), []
    if source == "cirr":
        version, metric = ranked.pop("version", None), ranked.pop("metric", None)
        if metric not in CIRR_METRICS:
            return [f"metric is {metric!r}; expected one of {', '.join(CIRR_METRICS)}."]
        if version != benchmark.choices["version"]:
            faults.append(
                f"version is {version!r}; expected {benchmark.choices['version']!r}, which the annotations are of."
            )
        if len(json.dumps(content)) > MAX_BYTES:
            faults.append(
                f"the file has more than {MAX_BYTES:,} bytes; give no more than {depth} pictures a query."
            )
        protocol, depth = CIRR_METRICS[metric]
    task = make_task(benchmark, protocol, split)
    rows = {owner_id(query_id): row for row, query_id in enumerate(task.queries["query_id"])}
    absent, strange = [key for key in rows if key not in ranked], [key for key in ranked if key not in rows]
    if absent:
        faults.append(
            f"{len(absent)} of {len(rows)} queries are missing, such as {absent[0]}; answer all of them."
        )
    if strange:
        faults.append(f"{len(strange)} keys are no query of {split}, such as {strange[0]!r}; leave them out.")
    known = set(task.gallery)
    for key, clips in ranked.items():
        if key in rows and (fault := _fault(clips, depth, source, task, rows[key], known)):
            faults.append(f"query {key}: {fault}")
    return faults


def _server_of(benchmark: Benchmark) -> str:
    source = benchmark.choices.get("source")
    if source not in ("cirr", "circo"):
        raise ValueError(
            f"a benchmark from {source!r} has no server that takes submissions; choose one from cirr or circo."
        )
    return source


def _fault(clips, depth: int, source: str, task: Task, row: int, known: set[str]) -> str | None:
    """The first thing wrong with one query's answer."""
    kind = int if source == "circo" else str
    if not isinstance(clips, list) or len(clips) != depth:
        return f"expected a list of {depth} pictures, best first, and got {len(clips) if isinstance(clips, list) else clips!r}."
    if wrong := [clip for clip in clips if type(clip) is not kind]:
        return f"{wrong[0]!r} is no {'number' if kind is int else 'name'} of a picture."
    clips = list(map(str, clips))
    if len(set(clips)) < depth:
        return "some picture stands there twice."
    if strange := [clip for clip in clips if clip not in known or not task.is_searched(row, clip)]:
        return f"{strange[0]} is not among the pictures that this query searches."
    if task.queries["query_clip"].iloc[row] in clips:
        return "the query picture itself stands there, and cannot be right."
    return None


def write_submissions(
    results: pd.DataFrame, benchmark: Benchmark, method: str, folder: Path, split: str = "test"
) -> list[Path]:
    """Write what the server of `benchmark` takes of one method and seed, checked; return the paths."""
    if _server_of(benchmark) == "cirr":
        there = [
            metric
            for metric, (protocol, _) in CIRR_METRICS.items()
            if (results["protocol"] == protocol).any()
        ] or [*CIRR_METRICS]
        files = {
            f"{method}-{metric}.json": cirr_submission(results, metric, benchmark.choices["version"])
            for metric in there
        }
    else:
        files = {f"{method}-circo.json": circo_submission(results)}
    for name, content in files.items():
        if faults := check_submission(content, benchmark, split):
            raise ValueError(f"{name} would be refused for {len(faults)} reasons, the first: {faults[0]}")
    for name, content in files.items():
        write_json(content, Path(folder) / name)
    return [Path(folder) / name for name in files]


def _best(results: pd.DataFrame, protocol: str, depth: int) -> dict[str, list[str]]:
    table = results[results["protocol"] == protocol]
    if table.empty:
        raise ValueError(
            f"the results hold nothing under {protocol!r}; evaluate with --protocol {protocol} --split test first."
        )
    return {
        owner_id(query_id): list(clips)[:depth]
        for query_id, clips in zip(table["query_id"], table["retrieved"])
    }
