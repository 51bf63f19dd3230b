"""The benchmarks run, in their quick form; what they measure then is not looked at, only that rows have the
common form."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def bench():
    """The folder's own modules, as `python benchmarks` sees them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(ROOT / "benchmarks")
        import importlib.util

        import comparing

        spec = importlib.util.spec_from_file_location("benchmarks_main", ROOT / "benchmarks" / "__main__.py")
        whole = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(whole)
        yield comparing, whole


def make(size):
    return (np.ones(size),)


def double(numbers):
    return float(np.concatenate([numbers, numbers]).sum())


def total(numbers):
    return float(numbers.sum())


def test_designs_are_timed_in_processes_of_their_own(bench):
    """A design's peak is its own: 160 MB for one that copies twice, next to nothing for one that only
    reads."""
    found = bench[0].compare({"ours": total, "plain": double}, make, 10**7, repeats=2, quick=False)
    assert found["ours"].values == [1e7] * 2 and found["plain"].values == [2e7] * 2
    assert 140 < found["plain"].peak_mib < 260 and found["ours"].peak_mib < 20
    row = bench[0].row("adding", "once", "twice", 10**7, "numbers", found["ours"], found["plain"])
    assert list(row) == bench[0].COLUMNS and row["ratio"] == row["plain seconds"] / row["seconds"] > 0


def test_all_benchmarks_give_rows_of_the_common_form(bench, tmp_path, capsys):
    comparing, whole = bench
    whole.main(["--quick", "--out", str(tmp_path)])
    printed, table = capsys.readouterr().out, pd.read_csv(tmp_path / "bench.csv", keep_default_na=False)
    assert list(table) == comparing.COLUMNS
    assert {path.stem for path in (tmp_path / "rows").iterdir()} == set(whole.BENCHES) and len(
        whole.BENCHES
    ) >= 8
    for name in whole.BENCHES:
        rows = pd.read_csv(tmp_path / "rows" / f"{name}.csv", keep_default_na=False)
        numbers = rows[["size", "seconds", "plain seconds", "ratio"]].to_numpy(float)
        assert len(rows) and np.isfinite(numbers).all() and (numbers > 0).all(), name
        memory = rows[["peak MiB", "plain peak MiB"]].to_numpy(float)
        assert np.isfinite(memory).all() and (memory >= 0).all(), name
        assert (rows[["what", "design", "against", "of"]] != "").all(axis=None), name
    assert comparing.QUICK in printed and all(line in printed for line in table["design"])
    shown = (tmp_path / "bench.md").read_text()
    assert (
        shown.count("\n| ") == len(table) + 1
        and comparing.machine() in shown
        and str(Path.home()) not in shown
    )
    assert {path.name for path in tmp_path.glob("bench_cost.*")} == {
        f"bench_cost.{kind}" for kind in ("pdf", "svg", "png", "csv")
    }


def test_one_benchmark_joins_what_was_measured_before(bench, tmp_path):
    (tmp_path / "rows").mkdir()
    before = dict(
        zip(bench[0].COLUMNS, ["an epoch", "ours", "plain", 5, "triplets", 1.0, 2.0, 2.0, 3.0, 4.0, "kept"])
    )
    pd.DataFrame([before]).to_csv(tmp_path / "rows" / "stage2.csv", index=False)
    bench[1].main(["--quick", "--only", "metrics", "--out", str(tmp_path)])
    table = pd.read_csv(tmp_path / "bench.csv")
    assert table["what"].iloc[-1] == "an epoch" and table["what"].str.startswith("AP@").sum() == 2
