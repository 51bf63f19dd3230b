"""Put a run's notebooks, figures and tables where the repository shows them."""

import base64
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from PIL import Image

from ..evaluation.results import HEADLINES, summarise_results
from ..machine.files import replacing
from ..methods import METHODS
from ..plots.tables import to_markdown
from ..profiles import ROOT, default_profile, get_profile, runs_dir
from ..training.settings import paper_and_code
from .report import format_intervals
from .steps import NOTEBOOKS, NUMBERED, read_declared

MAX_BYTES = 1_000_000
TRAINED = "clip-mlp-15"  # the method whose weights are committed, to reproduce its numbers without training
MAIN_ROWS = ["random", "text-only", "clip-avg-zs", "clip-mlp-15", "tfcovr-stage2-only", "tfcovr-base"]
MAIN_ROWS += ["labels-mlp", "tfcovr-ordered"]  # those that README shows
COLOURS = 160  # of a published picture: it looks the same in less than half the bytes
# papermill leaves its cell of parameters, its metadata and empty tags; JupyterLab leaves widget state.
STRIP = ["--keep-count", "--keep-id", "--drop-tagged-cells", "injected-parameters", "--extra-keys"]
STRIP.append("metadata.widgets metadata.papermill cell.metadata.papermill cell.metadata.execution")


def publish_run(source: str) -> list[str]:
    """Put a run's notebooks, figures and tables where the repository shows them; return the notebooks."""
    run, figures = runs_dir(get_profile(default_profile(source)), source), ROOT / "figures"
    executed = sorted(run.glob(f"{NUMBERED}.ipynb"))
    if not executed:
        raise FileNotFoundError(f"{run} holds no executed notebook; run `make reproduce` first.")
    publish(executed, NOTEBOOKS)
    shutil.copytree(run / "figures", figures, dirs_exist_ok=True)
    second = run.with_name(f"{run.name}-render1")  # written by `make sweep`
    measured = (ROOT / "runs" / "bench").glob("bench*")  # written by `make bench`
    for path in (*second.glob(f"figures/results_{second.name}*"), *measured):
        shutil.copy(path, figures)
    trained, hidden = ROOT / "data" / "trained" / TRAINED, shutil.ignore_patterns(".*")
    shutil.copytree(run / "seed-0" / TRAINED, trained, dirs_exist_ok=True, ignore=hidden)
    shutil.copyfile(run / "results" / TRAINED / "seed-0.json", trained / "record.json")
    results = results_of(pd.read_parquet(figures / "results_mini_queries.parquet"))
    main = results[results["method"].str.strip("`").isin(MAIN_ROWS)]
    refresh(ROOT / "README.md", "main results of mini", main)
    refresh(ROOT / "docs" / "results.md", "results of mini", results)
    refresh(ROOT / "docs" / "paper-and-code.md", "paper and code", paper_and_code())
    return [str((NOTEBOOKS / path.name).relative_to(ROOT)) for path in executed]


def publish(executed: list[Path], notebooks: Path) -> None:
    """Copy executed notebooks over their pairs. If one did not finish or is too large, no pair is touched."""
    if unfinished := [path.name for path in executed if not _is_finished(path)]:
        names = ", ".join(unfinished)
        raise ValueError(f"{names} did not run to the end; run `make reproduce` again, then publish.")
    with TemporaryDirectory() as folder:
        copies = [Path(shutil.copy(path, folder)) for path in executed]
        for copy in copies:
            keep = ["--keep-output"] if read_declared(copy).outputs else []
            _shrink_pictures(copy)
            relative = copy.read_text("utf-8").replace(f"{ROOT}/", "")  # warnings name files by their path
            copy.write_text(relative, "utf-8")
            subprocess.run([sys.executable, "-m", "nbstripout", *keep, *STRIP, str(copy)], check=True)
        if large := [copy.name for copy in copies if copy.stat().st_size > MAX_BYTES]:
            names = ", ".join(large)
            raise ValueError(f"{names} over {MAX_BYTES:,} bytes; show fewer or smaller pictures, then rerun.")
        for copy in copies:
            shutil.copyfile(copy, notebooks / copy.name)
    # The .py is the truth; this also removes the tags that papermill added.
    scripts = [str(notebooks / f"{path.stem}.py") for path in executed]
    jupytext = [sys.executable, "-m", "jupytext", "--quiet", "--to", "ipynb", "--update"]
    subprocess.run([*jupytext, *scripts], check=True)


def refresh(document: Path, marker: str, table: pd.DataFrame) -> None:
    """Replace the table between `<!-- marker: begin -->` and `<!-- marker: end -->` in a document."""
    begin, end = f"<!-- {marker}: begin -->\n", f"<!-- {marker}: end -->"
    before, found, rest = document.read_text("utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        lines = f"{begin.strip()} and {end}"
        raise ValueError(f"{document.name} lacks a marker; put {lines} each on a line around the table.")
    with replacing(document) as temporary:
        temporary.write_text(before + begin + to_markdown(table) + end + after, "utf-8")


def results_of(results: pd.DataFrame) -> pd.DataFrame:
    """Build the results table: the registered methods that ran, protocol `full`."""
    summary = summarise_results(results[(results["protocol"] == "full") & results["method"].isin(METHODS)])
    columns = {
        "method": "`" + summary["method"] + "`",
        "group": [METHODS[m].group for m in summary["method"]],
    }
    columns |= {name: summary[name] for name in HEADLINES} | {"interval": format_intervals(summary)}
    columns |= {"s.d. over seeds": summary["mAP@50 sd"], "seeds": summary["n_seeds"]}
    return pd.DataFrame(columns | {"answer sets": summary["n_sets"]})


def _is_finished(path: Path) -> bool:
    """Whether every code cell ran; papermill saves a notebook after each cell, also after a failing one."""
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    executed = all(cell["execution_count"] for cell in cells if "".join(cell["source"]).strip())
    return executed and not any(output["output_type"] == "error" for output in outputs)


def _shrink_pictures(path: Path) -> None:
    """Reduce the pictures of a notebook to a few colours."""
    notebook = json.loads(path.read_text("utf-8"))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    for output in outputs:
        if "image/png" in output.get("data", {}):
            png = base64.b64decode(output["data"]["image/png"])
            small, smaller = Image.open(io.BytesIO(png)).convert("RGB"), io.BytesIO()
            small.quantize(COLOURS, dither=Image.Dither.NONE).save(smaller, "PNG", optimize=True)
            output["data"]["image/png"] = base64.b64encode(smaller.getvalue()).decode()
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")
