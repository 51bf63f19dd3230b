"""Write modification texts for label pairs.

python -m tfcovr_utils.texts --pairs DIR/pairs.parquet --writer rules --out FILE
"""

import argparse
import sys
from pathlib import Path

from .checks import check_table
from .llm.bill import OPENAI_URL, Asking
from .llm.model import dry_run, write_by_model
from .writing import make_jobs, read_table, save_table, write_by_rule


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tfcovr_utils.texts", description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True, help="table of pairs, Parquet or CSV")
    parser.add_argument("--labels", type=Path, help="table of labels; default: the one beside the pairs")
    parser.add_argument("--writer", choices=["rules", "openai"], default="rules")
    parser.add_argument("--style", choices=["short", "dense"], default="short")
    parser.add_argument("--out", type=Path, help="the table of texts to write, Parquet or CSV")
    parser.add_argument("--model", default=Asking.model)
    parser.add_argument("--base-url", default=OPENAI_URL, help="any server that speaks OpenAI's protocol")
    parser.add_argument("--batch", action="store_true", help="half the price, within a day")
    parser.add_argument("--dry-run", action="store_true", help="say what would be asked and its cost")
    parser.add_argument("--cache", type=Path, help="answers so far; default: data/modifications/")
    parser.add_argument("--concurrency", type=int, default=Asking.concurrency, help="requests at a time")
    parser.add_argument("--timeout", type=float, default=Asking.timeout_s, help="seconds for one answer")
    parser.add_argument("--poll", type=float, default=Asking.poll_s, help="seconds between looks at a batch")
    options = parser.parse_args(arguments)
    if not (options.out or options.dry_run):
        parser.error("--out is missing; name the table to write, or give --dry-run.")
    try:
        _run(options)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


def _run(options: argparse.Namespace) -> None:
    labels_path = options.labels or options.pairs.with_name(f"labels{options.pairs.suffix}")
    labels = read_table(labels_path)
    jobs = make_jobs(read_table(options.pairs), labels, options.style)
    asking = Asking(
        model=options.model,
        base_url=options.base_url,
        batch=options.batch,
        concurrency=options.concurrency,
        timeout_s=options.timeout,
        poll_s=options.poll,
        **({"cache_path": options.cache} if options.cache else {}),
    )
    if options.writer == "rules" and options.dry_run:
        print(f"{len(jobs)} pairs by rule; nothing to ask, nothing to pay.")
    elif options.dry_run:
        print(dry_run(jobs, asking))
    else:
        table = write_by_rule(jobs) if options.writer == "rules" else write_by_model(jobs, asking, _tell)
        save_table(table, options.out)
        complaints = check_table(table, labels)
        print(f"{len(table)} texts in {options.out}, {len(complaints)} complaints of the checks.")
        for row in complaints.head(10).itertuples():
            print(f"  {row.modification_id}: {row.check}: {row.message}")


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
