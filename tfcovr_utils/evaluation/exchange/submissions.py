"""Files for the servers of CIRR and CIRCO, which keep the answers of their test queries, and their checks."""

import json
from pathlib import Path

import pandas as pd

from ...benchmark import Benchmark, Task, make_task
from ...machine.files import write_json

MAX_BYTES = 5 * 10**6  # of CIRR's server
# Metric in CIRR's file -> our protocol, and the number of pictures that its server takes.
CIRR_METRICS = {"recall": ("full", 50), "recall_subset": ("subset", 3)}
CIRCO_DEPTH = 50


def owner_id(query_id: str) -> str:
    """Return the number of a query in the owners' files.

    >>> owner_id("test-000012")
    '12'
    """
    return str(int(query_id.rsplit("-", 1)[1]))


def cirr_submission(results: pd.DataFrame, metric: str, version: str = "rc2") -> dict:
    """Return what CIRR's server takes for a metric of `CIRR_METRICS`: pair id -> pictures, best first."""
    return {"version": version, "metric": metric} | _best(results, *CIRR_METRICS[metric])


def circo_submission(results: pd.DataFrame) -> dict:
    """Return what CIRCO's server takes: query id -> numbers of 50 pictures, best first."""
    return {query: list(map(int, clips)) for query, clips in _best(results, "full", CIRCO_DEPTH).items()}


def write_submissions(
    results: pd.DataFrame, benchmark: Benchmark, method: str, folder: Path, split: str = "test"
) -> list[Path]:
    """Write what the server of `benchmark` takes of one method and seed, checked; return the paths."""
    if _server_of(benchmark) == "cirr":
        scored = set(results["protocol"])
        metrics = [name for name, (protocol, _) in CIRR_METRICS.items() if protocol in scored] or CIRR_METRICS
        version = benchmark.choices["version"]
        files = {f"{method}-{name}.json": cirr_submission(results, name, version) for name in metrics}
    else:
        files = {f"{method}-circo.json": circo_submission(results)}
    for name, content in files.items():
        if faults := check_submission(content, benchmark, split):
            raise ValueError(f"{name} would be refused for {len(faults)} reasons, the first: {faults[0]}")
    for name, content in files.items():
        write_json(content, Path(folder) / name)
    return [Path(folder) / name for name in files]


def check_submission(content: dict, benchmark: Benchmark, split: str = "test") -> list[str]:
    """Return what the server would refuse in a file's content: a sentence each."""
    source = _server_of(benchmark)
    if not isinstance(content, dict):
        return [f"the file holds a {type(content).__name__}; expected an object of query ids."]
    protocol, depth, ranked, faults = "full", CIRCO_DEPTH, dict(content), []
    if source == "cirr":
        version, metric = ranked.pop("version", None), ranked.pop("metric", None)
        if metric not in CIRR_METRICS:
            return [f"metric is {metric!r}; expected one of {', '.join(CIRR_METRICS)}."]
        protocol, depth = CIRR_METRICS[metric]
        if version != (expected := benchmark.choices["version"]):
            faults.append(f"version is {version!r}; expected {expected!r}, the version of the annotations.")
        if len(json.dumps(content)) > MAX_BYTES:
            faults.append(
                f"the file has more than {MAX_BYTES:,} bytes; give at most {depth} pictures a query."
            )
    task = make_task(benchmark, protocol, split)
    rows = {owner_id(query_id): row for row, query_id in enumerate(task.queries["query_id"])}
    absent, strange = [key for key in rows if key not in ranked], [key for key in ranked if key not in rows]
    if absent:
        faults.append(f"{len(absent)} of {len(rows)} queries are missing, such as {absent[0]}; answer all.")
    if strange:
        faults.append(f"{len(strange)} keys are no query of {split}, such as {strange[0]!r}; leave them out.")
    known, kind = set(task.gallery), int if source == "circo" else str
    for key, clips in ranked.items():
        if key in rows and (fault := _fault(clips, depth, kind, task, rows[key], known)):
            faults.append(f"query {key}: {fault}")
    return faults


def _fault(clips, depth: int, kind: type, task: Task, row: int, known: set[str]) -> str | None:
    """The first fault in one query's answer."""
    if not isinstance(clips, list) or len(clips) != depth:
        given = len(clips) if isinstance(clips, list) else repr(clips)
        return f"expected a list of {depth} pictures, best first, and got {given}."
    if wrong := [clip for clip in clips if type(clip) is not kind]:
        return f"{wrong[0]!r} is no {'number' if kind is int else 'name'} of a picture."
    clips = list(map(str, clips))
    if len(set(clips)) < depth:
        return "a picture is listed twice."
    if strange := [clip for clip in clips if clip not in known or not task.is_searched(row, clip)]:
        return f"{strange[0]} is not among the pictures that this query searches."
    return None  # the query picture may be listed, as in CIRCO's own example: it is only never right


def _server_of(benchmark: Benchmark) -> str:
    source = benchmark.choices.get("source")
    if source not in ("cirr", "circo"):
        raise ValueError(
            f"a benchmark from {source!r} has no server that takes submissions; choose cirr or circo."
        )
    return source


def _best(results: pd.DataFrame, protocol: str, depth: int) -> dict[str, list[str]]:
    table = results[results["protocol"] == protocol]
    if table.empty:
        raise ValueError(
            f"the results hold nothing under {protocol!r}; score with --protocol {protocol} --split test."
        )
    ranked = zip(table["query_id"], table["retrieved"])
    return {owner_id(query_id): list(clips)[:depth] for query_id, clips in ranked}
