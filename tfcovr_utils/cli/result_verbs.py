"""Verbs that give results: score, ask, search, and export to other projects' formats."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from ..profiles import SPLITS, get_profile
from .verb import BENCHMARK, CLIPS, OUT, SEED, named, option, profile, verb, whole

SPLIT = option("--split", choices=SPLITS[1:], default="test", help="whose queries are asked")


@verb(
    "score",
    "fit rows of the tables where they need it, score them, keep one result a query",
    BENCHMARK,
    CLIPS,
    option("--method", nargs="+", required=True, help="row names; `all` takes every row, `list` prints them"),
    option("--checkpoint", type=Path, help="score this trained row in place of training"),
    option(
        "--as",
        dest="peer",
        choices=("covr", "ecde", "bse-covr", "tf-covr"),
        default="",
        help="test as this peer's released code does; the row is named ROW-as-PEER",
    ),
    option(
        "--weights",
        nargs="+",
        default=[],
        metavar="ENCODER=WEIGHTS",
        help="in place of the profile's, such as blip=webvid-covr.ckpt; aim=FILE replaces stage 1",
    ),
    option(
        "--protocol", nargs="+", default=["full"], help="official, capped or full; global, local or subset"
    ),
    SPLIT,
    profile(),
    option("--frames", type=whole(1, 4096), help="frames a clip, in place of the profile's; 1 for pictures"),
    SEED,
    option(
        "--recalls", action="store_true", help="also write recalls.json and query_feat.npy, as BSE-CoVR does"
    ),
    option("--out", type=Path, required=True, help="a run's folder: results/ and checkpoints go below it"),
)
def score(options: argparse.Namespace) -> None:
    """Score methods on a benchmark and print their mAP."""
    from ..benchmark import Benchmark
    from ..evaluation.results import summarise
    from ..evaluation.rows import run
    from ..methods import METHODS, Setting, get_method
    from ..methods.peers import check_peer

    if options.method == ["list"]:
        print(*(f"{name}: {one.about}" for name, one in METHODS.items()), sep="\n")
        return
    methods = [get_method(name) for name in ([*METHODS] if options.method == ["all"] else options.method)]
    if options.peer:
        for method in methods:
            check_peer(options.peer, method.name)
        methods = [replace(method, name=f"{method.name}-as-{options.peer}") for method in methods]
    benchmark, results_dir = Benchmark.load(options.benchmark), options.out / "results"
    chosen = get_profile(options.profile)
    chosen = replace(chosen, frames=options.frames or chosen.frames)
    weights = {name or "clip": value for name, _, value in (text.rpartition("=") for text in options.weights)}
    for method in methods:
        folder = options.out / f"seed-{options.seed}" / method.name
        setting = Setting(
            benchmark,
            options.clips or options.benchmark,
            chosen,
            options.seed,
            folder,
            options.checkpoint,
            weights,
            peer=options.peer,
        )
        recalls_dir = folder if options.recalls else None
        run(method, setting, options.protocol, results_dir, options.split, recalls_dir)
    table = summarise(results_dir, options.split, options.protocol)
    print(_scores(table[table["method"].isin([method.name for method in methods])], options, benchmark))


def _scores(table, options: argparse.Namespace, benchmark) -> str:
    """The rows as text; below them what the benchmark's own field reports, where that is another measure."""
    from ..evaluation.recalls import MEASURES, field_table
    from ..evaluation.results import HEADLINES, read_results

    shown = ["method", "protocol", "n_seeds", "n_queries", "coverage", *HEADLINES, "status"]
    text = table[shown].to_string(index=False, float_format="%.2f", na_rep="")
    source = benchmark.choices.get("source")
    if source not in MEASURES or not (table["status"] == "run").any():
        return text
    results = read_results(options.out / "results", options.split)
    scores = field_table(results[results["method"].isin(table["method"])], source, benchmark.queries)
    return f"{text}\n\n{scores.to_string(float_format='%.2f', na_rep='')}"


@verb(
    "ask",
    "ask one question: which clips show what a clip and an instruction ask for?",
    option("--source", default="mini", help="which benchmark: mini, smoke, sim"),
    option("--clip", required=True, help="clip_id of the query clip"),
    option("--text", type=named, required=True, help="what should be different"),
    option("--method", default="clip-avg-zs", help="row that answers"),
    option("--k", type=whole(1), default=12, help="clips to print"),
    profile(None),
    SEED,
)
def ask(options: argparse.Namespace) -> None:
    """Ask a source's test clips and print the ranking."""
    from ..study import open_study

    study = open_study(options.source, options.seed, profile=options.profile)
    ranking = study.ask(options.clip, options.text, options.k, options.method)
    print(ranking.to_string(index=False, float_format="%.3f"))


@verb(
    "search",
    "search a gallery on disk with query embeddings, exactly or by a FAISS index",
    option("gallery", type=Path, help="folder of rows.npy and clips.parquet, see docs/your-own.md"),
    option(
        "--queries", type=Path, required=True, help="(Q, D) .npy, such as query_feat.npy of `score --recalls`"
    ),
    option("--k", type=whole(1), default=50, help="clips a query"),
    option(
        "--index",
        nargs="?",
        const="",
        metavar="FACTORY",
        help="answer by FAISS and print its recall; a FACTORY string builds the index anew",
    ),
    option("--out", type=Path, required=True, help="Parquet of query, rank, clip_id, score"),
)
def search(options: argparse.Namespace) -> None:
    """Search a gallery and write the ranked clips."""
    from ..embedding.galleries import search_files
    from ..machine.files import write_table

    ranked, summary = search_files(options.gallery, options.queries, options.k, options.index)
    write_table(ranked, options.out)
    print(summary)


@verb(
    "export release",
    "write a benchmark as the authors' code reads it: CSVs, and embeddings in both of their layouts",
    BENCHMARK,
    option("--gallery", default="capped", help="whose targets are written"),
    option("--embeddings", type=Path, help=".pkl stream, or a folder of .pth or .npy"),
    OUT,
)
def export_release(options: argparse.Namespace) -> None:
    """Export to the authors' layout."""
    from ..benchmark import Benchmark
    from ..benchmark.export import export

    export(Benchmark.load(options.benchmark), options.out, options.gallery, options.embeddings)
    print(f"written to {options.out}")


@verb(
    "export mteb",
    "write a benchmark as a task of the library mteb",
    BENCHMARK,
    CLIPS,
    option("--protocol", default="full", help="whose gallery and answers: official, capped or full"),
    SPLIT,
    option("--name", type=named, default="TFCoVR", help="name of the task"),
    OUT,
)
def export_mteb(options: argparse.Namespace) -> None:
    """Export to mteb."""
    from ..benchmark import Benchmark
    from ..evaluation.exchange.mteb_task import export_task

    benchmark, clips = Benchmark.load(options.benchmark), options.clips or options.benchmark
    print(export_task(benchmark, clips, options.out, options.protocol, options.split, options.name))


@verb(
    "export submission",
    "write rankings for the servers of CIRR and CIRCO, or check such files",
    option("--benchmark", type=Path, required=True, help="folder of the tables of cirr or circo"),
    option("--check", type=Path, nargs="+", metavar="FILE", help="check these files and write none"),
    option("--results", type=Path, help="a run's results/"),
    option("--method", help="row whose rankings are written"),
    SEED,
    SPLIT,
    option("--out", type=Path, help="folder to write"),
)
def export_submission(options: argparse.Namespace) -> int | None:
    """Write submissions, or check them."""
    from ..benchmark import Benchmark
    from ..evaluation.exchange.submissions import check_submission, write_submissions
    from ..evaluation.results import read_results
    from ..sources.published_files import read_json

    if not options.check and not (options.results and options.method and options.out):
        raise ValueError("give --check FILE, or --results, --method and --out.")
    benchmark = Benchmark.load(options.benchmark)
    if options.check:
        contents = {path: read_json(path, dict) for path in options.check}
        faults = [
            f"{path}: {fault}"
            for path, content in contents.items()
            for fault in check_submission(content, benchmark, options.split)
        ]
        if faults:
            print(*faults, sep="\n", file=sys.stderr)
        return int(bool(faults))
    results = read_results(options.results, options.split)
    results = results[(results["method"] == options.method) & (results["seed"] == options.seed)]
    for path in write_submissions(results, benchmark, options.method, options.out, options.split):
        print(path)
    return None
