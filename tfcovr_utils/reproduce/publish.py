"""Put executed notebooks, and the figures they drew, where the repository shows them, without what a run leaves behind."""

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
from ..profiles import ROOT, get_profile, runs_dir
from ..training.settings import paper_and_code
from .run import NOTEBOOKS

MAX_BYTES = 1_000_000
TRAINED = "clip-mlp-15"  # the row whose weights are committed, so that its numbers can be had again without training
COLOURS = 160
WITHOUT_OUTPUTS = ("09_",)  # the explorer's outputs are widgets, which a code-hosting page cannot show
# papermill leaves its cell of parameters, its metadata and empty tags; JupyterLab leaves widget state.
STRIP = [
    "--keep-count",
    "--keep-id",
    "--drop-tagged-cells",
    "injected-parameters",
    "--extra-keys",
    "metadata.widgets metadata.papermill cell.metadata.papermill cell.metadata.execution",
]


def publish(executed: list[Path], notebooks: Path) -> None:
    """Copy executed notebooks over their pairs. A notebook that would be too large leaves every pair as it was."""
    unfinished = [path.name for path in executed if not _ran_to_its_end(path)]
    if unfinished:
        raise ValueError(
            f"{', '.join(unfinished)} did not run to the end; run `make reproduce` again, then publish."
        )
    with TemporaryDirectory() as folder:
        copies = [Path(shutil.copy(path, folder)) for path in executed]
        for copy in copies:
            _shrink_pictures(copy)
            copy.write_text(
                copy.read_text("utf-8").replace(f"{ROOT}/", ""), "utf-8"
            )  # a warning names its file by where it lies here
            keep = [] if copy.name.startswith(WITHOUT_OUTPUTS) else ["--keep-output"]
            subprocess.run([sys.executable, "-m", "nbstripout", *keep, *STRIP, str(copy)], check=True)
        large = [copy.name for copy in copies if copy.stat().st_size > MAX_BYTES]
        if large:
            raise ValueError(
                f"{', '.join(large)} over {MAX_BYTES:,} bytes; show fewer or smaller pictures, then run again."
            )
        for copy in copies:
            shutil.copyfile(copy, notebooks / copy.name)
    # The .py is the truth; this also takes off the tags that papermill added.
    scripts = [str(notebooks / f"{path.stem}.py") for path in executed]
    subprocess.run(
        [sys.executable, "-m", "jupytext", "--quiet", "--to", "ipynb", "--update", *scripts], check=True
    )


def refresh_readme(readme: Path, queries: Path) -> None:
    """Write README's tables anew between their markers."""
    text = readme.read_text("utf-8")
    for name, table in (
        ("results of mini", results_of(pd.read_parquet(queries))),
        ("paper and code", paper_and_code()),
    ):
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(
                f"{readme.name} has lost a marker; put back {begin.strip()} and {end}, each on a line, where the table belongs."
            )
        text = before + begin + to_markdown(table) + end + after
    with replacing(readme) as temporary:
        temporary.write_text(text, "utf-8")


def results_of(results: pd.DataFrame) -> pd.DataFrame:
    """Registered rows that were run, protocol `full`, as README shows them."""
    summary = summarise_results(results[(results["protocol"] == "full") & results["method"].isin(METHODS)])
    interval = [
        f"[{low:.2f}, {high:.2f}]" for low, high in zip(summary["mAP@50 low"], summary["mAP@50 high"])
    ]
    shown = summary[["method", *HEADLINES]].assign(
        **{"interval": interval, "s.d. over seeds": summary["mAP@50 sd"], "seeds": summary["n_seeds"]}
    )
    shown.insert(1, "group", [METHODS[name].group for name in shown["method"]])
    return shown.assign(method="`" + shown["method"] + "`")


def _ran_to_its_end(path: Path) -> bool:
    """Whether every code cell was executed; papermill saves a notebook after each cell, a failed or running one too."""
    cells = [
        cell
        for cell in json.loads(path.read_text())["cells"]
        if cell["cell_type"] == "code" and "".join(cell["source"]).strip()
    ]
    outputs = [output for cell in cells for output in cell["outputs"]]
    return all(cell["execution_count"] for cell in cells) and not any(
        output["output_type"] == "error" for output in outputs
    )


def _shrink_pictures(path: Path) -> None:
    """Keep the pictures of a notebook in few colours each: nothing to the eye, and less than half the bytes."""
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" not in output.get("data", {}):
                continue
            picture = Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))).convert("RGB")
            smaller = io.BytesIO()
            picture.quantize(COLOURS, dither=Image.Dither.NONE).save(smaller, "PNG", optimize=True)
            output["data"]["image/png"] = base64.b64encode(smaller.getvalue()).decode()
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def publish_run(profile: str) -> list[str]:
    """Put a run's executed notebooks, figures and tables where the repository shows them; return the notebooks."""
    run = runs_dir(get_profile(profile))
    executed = sorted(run.glob("[0-9][0-9]_*.ipynb"))
    if not executed:
        raise FileNotFoundError(f"{run} holds no executed notebook; run `make reproduce` first.")
    publish(executed, NOTEBOOKS)
    shutil.copytree(run / "figures", ROOT / "figures", dirs_exist_ok=True)
    second = run.with_name(f"{run.name}-render1")  # written by `make sweep`
    for scores in second.glob(f"figures/results_{second.name}*"):
        shutil.copy(scores, ROOT / "figures")
    trained = ROOT / "data" / "trained" / TRAINED
    hidden = shutil.ignore_patterns(".*")
    shutil.copytree(run / "seed-0" / TRAINED, trained, dirs_exist_ok=True, ignore=hidden)
    shutil.copyfile(run / "results" / TRAINED / "seed-0.json", trained / "record.json")
    for measured in (ROOT / "runs" / "bench").glob("bench*"):  # written by `make bench`
        shutil.copy(measured, ROOT / "figures")
    refresh_readme(ROOT / "README.md", ROOT / "figures" / "results_mini_queries.parquet")
    return [str((NOTEBOOKS / path.name).relative_to(ROOT)) for path in executed]
