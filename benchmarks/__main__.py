"""All benchmarks in turn and their rows as one table: `make bench`, or

    python benchmarks [--only search triplets] [--quick] [--out DIR]

Each benchmark's rows are kept in DIR/rows/ as it ends; the table joins all that are there, so that `--only`
measures some anew. DIR gets bench.csv, bench.md with the processor and versions, and the figure bench_cost.
"""

import argparse
import importlib
import sys
from pathlib import Path

import pandas as pd
from comparing import COLUMNS, QUICK, in_words, machine

from tfcovr_utils import plots
from tfcovr_utils.machine.files import replacing
from tfcovr_utils.profiles import ROOT, code_revision

BENCHES = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def run(names: list[str], out: Path, quick: bool) -> pd.DataFrame:
    """Measure these, write their rows, and return all rows that are there."""
    paths = {name: out / "rows" / f"{name}.csv" for name in BENCHES}
    for name in names:
        module = importlib.import_module(f"bench_{name}")
        print(f"{name}: {module.__doc__.splitlines()[0]}", flush=True)
        rows = pd.DataFrame(module.measure(quick), columns=COLUMNS)
        with replacing(paths[name]) as temporary:
            rows.to_csv(temporary, index=False, lineterminator="\n")
    return pd.concat(
        [pd.read_csv(path, keep_default_na=False) for path in paths.values() if path.exists()],
        ignore_index=True,
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", choices=BENCHES, default=BENCHES, metavar="NAME", help=", ".join(BENCHES)
    )
    parser.add_argument("--quick", action="store_true", help=QUICK)
    parser.add_argument("--out", type=Path, help="default: runs/bench, or runs/bench-quick")
    options = parser.parse_args(arguments)
    out = options.out or ROOT / "runs" / ("bench-quick" if options.quick else "bench")
    table = run(options.only, out, options.quick)
    facts = [f"{machine()}; revision {code_revision()}.", *[f"**{QUICK}.**"] * options.quick]
    with replacing(out / "bench.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    (shown,) = plots.save_table(in_words(table), "bench", out, forms=("md",))
    with replacing(shown) as temporary:
        temporary.write_text(shown.read_text("utf-8") + "\n" + "\n\n".join(facts) + "\n", "utf-8")
    if curves := plots.curves_of(table):
        plots.save_figure(
            plots.cost_against_size(table), "bench_cost", table[table["what"].isin(curves)], out
        )
    print(in_words(table).to_string(index=False), *facts, sep="\n")


if __name__ == "__main__":
    sys.exit(main())
