"""Verbs that make data: fetch, render, build, check, write, cut.

Verbs import what they need when they run, so that `tfcovr --help` answers at once.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from ..profiles import get_profile
from .verb import OUT, named, option, seconds, share, verb, whole

YES = option("--yes", action="store_true", help="do not ask, as in scripts")


def _fetch(name: str, options: argparse.Namespace) -> None:
    """Say what it takes, ask, and fetch."""
    from ..sources.fetching import describe, fetch

    print(describe(name, options.out))
    if not options.yes and (not sys.stdin.isatty() or input("fetch it? [y/N] ").strip().lower() != "y"):
        raise ValueError("nothing was fetched; give --yes to fetch it without a question.")
    print(f"written to {fetch(name, options.out)}")


@verb("fetch release", "download the authors' CSVs and embeddings of TF-CoVR", OUT, YES)
def fetch_release(options: argparse.Namespace) -> None:
    """Download the authors' release."""
    _fetch("release", options)


@verb("fetch poses", "download the public keypoints of FineGym's clips", OUT, YES)
def fetch_poses(options: argparse.Namespace) -> None:
    """Download keypoints."""
    _fetch("poses", options)


@verb("fetch clips", "download the public clips of FineGym", OUT, YES)
def fetch_clips(options: argparse.Namespace) -> None:
    """Download clips."""
    _fetch("clips", options)


@verb(
    "render",
    "render the clips of a benchmark; an interrupted run resumes",
    option("--profile", default="mini", help="size of the benchmark: smoke, mini or sim (306 labels: hours)"),
    option(
        "--source", choices=["mini", "twin"], default="mini", help="twin: clips of the real TF-CoVR's ids"
    ),
    option("--annotations", type=Path, help="for the twin: folder of FineGym's and FineDiving's annotations"),
    option("--share", type=share, default=1.0, help="for the twin: share of its clips, such as 0.1"),
    option("--out", type=Path, help="folder to write (default: below data/, named by profile and content)"),
    option("--seed", type=whole(0), default=0, help="seed of the rendering"),
    option("--workers", type=whole(1, 1024), default=2, help="processes that render"),
    option("--check", action="store_true", help="render nothing; compare the files with their manifest"),
)
def render(options: argparse.Namespace) -> int | None:
    """Render a benchmark, or check a rendering."""
    from ..profiles import annotations_dir
    from ..rendering.build import benchmark_dir, build, check
    from ..rendering.twin import build_twin, twin_dir

    chosen = replace(get_profile(options.profile), render_seed=options.seed)
    is_twin = options.source == "twin"
    if not options.check:
        given = annotations_dir(options.annotations), options.out, options.share, options.workers
        print(build_twin(chosen, *given) if is_twin else build(chosen, options.out, options.workers))
        return None
    found = check(options.out or (twin_dir if is_twin else benchmark_dir)(chosen))
    for fault, clip_ids in found.items():
        print(f"{fault}: {len(clip_ids)}", *clip_ids[:10])
    return int(any(found.values()))


@verb(
    "build",
    "build a benchmark's tables from annotations: pairs, instructions, splits, triplets, queries",
    option(
        "--source",
        required=True,
        metavar="NAME",
        help="whose files: mini, tfcovr, finegym, finediving, "
        "released, folder, webvid-covr, dense-webvid-covr, egocvr, cirr, fashioniq, circo",
    ),
    option(
        "--annotations",
        type=Path,
        required=True,
        help="folder of those files; of your clips: a folder or CSV",
    ),
    option("--out", type=Path, required=True, help="folder for the tables"),
    option("--seed", type=whole(0), default=0, help="seed of split, triplets and queries"),
    option("--budget", type=whole(1), default=180_000, help="most training triplets"),
    option("--all", action="store_true", help="also write every possible triplet, to triplets_all.parquet"),
    option("--clips", type=Path, help="folder of clips: keep only what can be asked of the clips there"),
    option("--decisions", type=Path, help="CSV of label pairs that a person accepted or rejected"),
    option("--modifications", type=Path, help="instructions that are accepted already, Parquet or CSV"),
    option("--json", action="store_true", help="print the counts as JSON"),
)
def build(options: argparse.Namespace) -> None:
    """Build a benchmark and print its counts."""
    started = time.perf_counter()
    counts = _build(options)
    print(json.dumps(counts, indent=1, sort_keys=True) if options.json else _readable(counts))
    print(f"built in {time.perf_counter() - started:.1f} s{_peak_memory()}", file=sys.stderr)


def _build(options: argparse.Namespace) -> dict:
    from ..benchmark import Benchmark, count
    from ..benchmark.triplets import stream_all_triplets
    from ..labels.pairing import DECISIONS_PATH
    from ..sources import COMPLETE, load_source
    from ..texts import read_table
    from ..video.hashes import clip_exists

    for path in filter(None, (options.clips, options.decisions)):
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; correct the path, or leave the option out.")
    if options.source in COMPLETE:
        benchmark = Benchmark(**COMPLETE[options.source](options.annotations))
    else:
        benchmark = Benchmark.build(
            load_source(options.source, options.annotations),
            seed=options.seed,
            budget=options.budget,
            decisions=options.decisions or DECISIONS_PATH,
            modifications=read_table(options.modifications) if options.modifications else None,
        )
    counts: dict = {"source": options.source}
    if options.clips is not None:
        paths = benchmark.clips["path"]
        here = [clip_exists(options.clips / path) for path in paths]
        if not any(here):
            raise ValueError(
                f"{options.clips} holds none of {len(paths)} clips; the first would be {paths.iloc[0]}."
            )
        complete, benchmark = benchmark, benchmark.restrict(set(benchmark.clips["clip_id"][here]))
        counts["coverage"] = benchmark.coverage(complete)
    benchmark.save(options.out)
    counts |= count(benchmark)
    if options.all:
        tables = (benchmark.clips, benchmark.pairs, benchmark.modifications)
        counts["triplets_all"] = stream_all_triplets(*tables, options.out / "triplets_all.parquet")
    return counts


def _peak_memory() -> str:
    try:
        import resource  # Unix only
    except ImportError:
        return ""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return f" with at most {peak:.0f} MiB of memory"


def _readable(counts: dict, indent: str = "") -> str:
    lines = []
    for name, value in counts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", _readable(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {value}")
    return "\n".join(filter(None, lines))


@verb(
    "check",
    "examine a benchmark: name each problem, count it, say what to do",
    option("benchmark", type=Path, help="folder of the benchmark's tables"),
    option("--clips", type=Path, help="also open the clips below this folder"),
)
def check_benchmark(options: argparse.Namespace) -> int:
    """Ask the doctor."""
    from ..benchmark import Benchmark

    report = Benchmark.load(options.benchmark).check(options.clips)
    found = report[report["count"] > 0]
    print(
        found.to_string(index=False)
        if len(found)
        else f"{len(report)} kinds of problem examined, none found."
    )
    return int(len(found) > 0)


@verb(
    "write",
    "write the instruction of each label pair, by rule or by a language model",
    option("--pairs", type=Path, required=True, help="table of pairs, Parquet or CSV"),
    option("--labels", type=Path, help="table of labels (default: the one beside the pairs)"),
    option("--writer", choices=["rules", "openai"], default="rules", help="who writes"),
    option("--style", choices=["short", "dense"], default="short", help="2 to 19 words, or a paragraph"),
    option("--out", type=Path, help="table of instructions to write, Parquet or CSV"),
    option("--model", type=named, help="model to ask (default: gpt-4o)"),
    option("--base-url", help="any server that speaks OpenAI's protocol"),
    option("--batch", action="store_true", help="ask as a batch: half the price, within a day"),
    option("--dry-run", action="store_true", help="only say what would be asked, and its price"),
    option("--cache", type=Path, help="file of answers so far (default: below data/modifications/)"),
    option("--concurrency", type=whole(1, 1024), help="requests at a time"),
    option("--timeout", type=seconds, help="seconds to wait for one answer"),
    option("--poll", type=seconds, help="seconds between looks at a batch"),
)
def write(options: argparse.Namespace) -> None:
    """Write instructions and print what the checks say about them."""
    from ..texts import check_table, dry_run, make_jobs, read_table, write_by_model, write_by_rule
    from ..texts.instructions import save_table
    from ..texts.llm.bill import Asking

    if not (options.out or options.dry_run):
        raise ValueError("--out is missing; name the table to write, or give --dry-run.")
    labels = read_table(options.labels or options.pairs.with_name(f"labels{options.pairs.suffix}"))
    jobs = make_jobs(read_table(options.pairs), labels, options.style)
    given = {
        "model": options.model,
        "base_url": options.base_url,
        "batch": options.batch or None,
        "concurrency": options.concurrency,
        "timeout_s": options.timeout,
        "poll_s": options.poll,
        "cache_path": options.cache,
    }
    asking = Asking(**{name: value for name, value in given.items() if value is not None})
    if options.dry_run:
        free = f"{len(jobs)} pairs by rule; nothing to ask, nothing to pay."
        print(free if options.writer == "rules" else dry_run(jobs, asking))
        return
    by_rule = options.writer == "rules"
    table = (
        write_by_rule(jobs) if by_rule else write_by_model(jobs, asking, lambda line: print(line, flush=True))
    )
    save_table(table, options.out)
    complaints = check_table(table, labels)
    print(f"{len(table)} texts in {options.out}, {len(complaints)} complaints of the checks.")
    for row in complaints.head(10).itertuples():
        print(f"  {row.modification_id}: {row.check}: {row.message}")


@verb(
    "cut",
    "cut clips out of long videos, frame by frame exact; an interrupted run resumes",
    option("--source", default="finegym", help="whose annotations: finegym, finediving, tfcovr or folder"),
    option("--annotations", type=Path, required=True, help="folder of those files, or your CSV"),
    option("--videos", type=Path, required=True, help="folder of the long videos, named by their ids"),
    option("--out", type=Path, required=True, help="folder for the clips"),
    option("--workers", type=whole(1, 1024), default=2, help="processes that cut"),
)
def cut_clips(options: argparse.Namespace) -> int:
    """Cut clips; a clip that cannot be cut is named and the others are cut."""
    from ..sources import load_source
    from ..video.cutting import cut

    source = load_source(options.source, options.annotations)
    for note, count in source.notes.items():
        print(f"{count:6d} x {note}", file=sys.stderr)
    report = cut(source.clips, options.videos, options.out, options.workers)
    print(report)
    return int(len(report.failures) > 0 and not report.made + report.kept)
