"""The house's own rules: who may import whom, notebooks and their pairs, no absolute paths. Each rule is also seen to fail."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parent.parent

# Rows from the ground up; within a row, right may import left. A module that is not here has no place yet.
ROWS = [
    [
        "allocator",
        "files",
        "weights",
        "workers",
        "parallel",
        "memory",
        "profiles",
        "fingerprints",
        "labels",
        "metrics",
        "intervals",
        "losses",
    ],
    [
        "video",
        "frames",
        "store",
        "galleries",
        "pairing",
        "modifications",
        "sources",
        "cutting",
        "mini",
        "splitting",
        "queries",
        "doctor",
        "counts",
        "triplets",
        "official",
        "protocols",
    ],
    [
        "pretraining",
        "encoders",
        "text_tower",
        "fusion",
        "composed",
        "checkpoints",
        "embedding",
        "describing",
        "training",
        "pretraining_blip",
    ],
    [
        "methods",
        "results",
        "recalls",
        "published",
        "qualitative",
        "submissions",
        "mteb_task",
        "evaluation",
        "rows",
    ],
    ["plots", "explorer", "report", "reproduce", "publish"],
]
PLACE = {name: (row, column) for row, names in enumerate(ROWS) for column, name in enumerate(names)}
# Libraries that one module keeps to itself.
KEPT_IN = {
    "decord": {"video"},
    "av": {"video"},
    "openai": {"modifications"},
    "ipywidgets": {"explorer"},
    "papermill": {"reproduce"},
    "faiss": {"galleries"},
}


def imported(path: Path, package: Path) -> set[tuple[str, ...]]:
    """Dotted names a file imports, relative ones resolved against its place in the package."""
    inside = ("tfcovr_utils", *path.relative_to(package).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            found |= {(*module, alias.name) for alias in node.names}
    return found


def wrong_arrows(package: Path) -> list[str]:
    """Imports that point the wrong way, and libraries outside the one module that keeps them."""
    wrong = []
    for path in sorted(package.rglob("*.py")):
        own = path.relative_to(package).with_suffix("").parts[0]
        if own == "__init__":
            continue
        if own not in PLACE:
            wrong.append(f"{own} has no place in the rows")
            continue
        for name in imported(path, package):
            if name[0] == "tfcovr_utils" and len(name) > 1 and name[1] != own:
                other = name[1]
                if other not in PLACE or PLACE[other] > PLACE[own]:
                    wrong.append(f"{own} imports {other}")
            if own not in KEPT_IN.get(name[0], {own}):
                wrong.append(f"{own} imports {name[0]}")
    return wrong


def test_imports_point_one_way():
    assert wrong_arrows(ROOT / "tfcovr_utils") == []


@pytest.mark.parametrize(
    ("module", "line", "expected"),
    [
        ("labels", "from .triplets import Benchmark", "labels imports triplets"),
        ("metrics", "from tfcovr_utils.plots import save_figure", "metrics imports plots"),
        ("pairing", "import av", "pairing imports av"),
        ("plots", "from .reproduce import main", "plots imports reproduce"),
        ("helpers", "import json", "helpers has no place in the rows"),
    ],
)
def test_a_wrong_import_is_found(tmp_path, module, line, expected):
    (tmp_path / f"{module}.py").write_text(line + "\n")
    assert wrong_arrows(tmp_path) == [expected]


def test_importing_everything_does_nothing():
    """No module sets a seed, draws, prints, warns, touches rcParams or logging by being imported."""
    script = """
import contextlib, io, importlib, logging, pkgutil, random, warnings
import numpy, torch, matplotlib
def state():
    return (random.getstate(), numpy.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist(),
            dict(matplotlib.rcParams), len(logging.getLogger().handlers), len(warnings.filters))
import pandas, pyarrow, openai, papermill, seaborn, av, cv2, tqdm, huggingface_hub, timm, torchvision, transformers.modeling_utils
before, heard = state(), io.StringIO()
import tfcovr_utils
with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
    for found in pkgutil.walk_packages(tfcovr_utils.__path__, "tfcovr_utils."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
after = state()
assert heard.getvalue() == "", heard.getvalue()
assert [a == b for a, b in zip(before, after)] == [True] * 6, [a == b for a, b in zip(before, after)]
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


ABSOLUTE = re.compile(r"""["'\s(=:](/(?:home|Users|root|tmp|work|mnt|data|var)/[\w.]|[A-Z]:\\\\?Users)""")


def absolute_paths(text: str) -> list[str]:
    return [line.strip()[:120] for line in text.splitlines() if ABSOLUTE.search(line)]


def committed_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = [
        name
        for name in listed.stdout.decode().split("\0")
        if name.endswith((".py", ".ipynb", ".md", ".toml", ".yml", ".txt", ".cff", ".csv", "run", "Makefile"))
    ]
    if not names:
        pytest.skip("not a git clone, so what is committed cannot be listed")
    return [ROOT / name for name in names if (ROOT / name).exists() and name != "tests/test_house.py"]


def test_no_absolute_paths():
    found = {
        str(path.relative_to(ROOT)): lines
        for path in committed_files()
        if (lines := absolute_paths(path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line", ['open("/home/ann/clips")', "path = '/Users/ann/x'", "see (/tmp/x)", 'r"C:\\Users\\ann"']
)
def test_an_absolute_path_is_found(line):
    assert absolute_paths("fine = 1\n" + line) == [line]


# ---- notebooks

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))


def out_of_sync(script: Path) -> bool:
    """Whether the .ipynb beside a .py holds other cells than the .py. Times of the files play no part."""
    pair = script.with_suffix(".ipynb")
    if not pair.exists():
        return True

    def cells(path):
        return [
            (cell.cell_type, cell.source.strip(), tuple(cell.metadata.get("tags", ())))
            for cell in jupytext.read(path).cells
        ]

    return cells(script) != cells(pair)


@pytest.mark.parametrize("script", NOTEBOOKS, ids=lambda path: path.stem)
def test_pair_is_in_sync(script):
    assert not out_of_sync(script), f"run `make notebooks`: {script.stem}.ipynb differs from its .py"


def test_a_pair_out_of_sync_is_found(tmp_path):
    script = tmp_path / "00_x.py"
    script.write_text("# %%\n1 + 1\n")
    assert out_of_sync(script)  # no .ipynb yet
    jupytext.write(jupytext.read(script), script.with_suffix(".ipynb"))
    assert not out_of_sync(script)
    script.write_text("# %%\n1 + 2\n")
    assert out_of_sync(script)


@pytest.mark.parametrize("script", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_built_as_all_are(script):
    notebook = jupytext.read(script)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    parameters = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.cells[0].source.startswith(f"# {script.stem[:2]} ") and "?" in notebook.cells[0].source
    assert len(parameters) == 1
    for statement in ast.parse(
        parameters[0].source
    ).body:  # papermill injects after this cell: only literals are safe in it
        assert isinstance(statement, ast.Assign) and ast.literal_eval(statement.value) is not ...
    for cell in code:
        tree = ast.parse(cell.source)
        assert not any(
            isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Try)) for node in ast.walk(tree)
        ), cell.source
        assert len(cell.source.splitlines()) <= 25, cell.source
    assert len(script.read_text().splitlines()) < 300


@pytest.mark.parametrize("script", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook_holds_no_traces_of_a_run(script):
    raw = script.with_suffix(".ipynb").read_text()
    notebook = json.loads(raw)
    assert len(raw.encode()) <= 1_000_000
    assert "papermill" not in notebook["metadata"] and "widgets" not in notebook["metadata"]
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert not any(output["output_type"] == "error" for output in outputs)
    assert "injected-parameters" not in raw and "<video" not in raw


def test_progress_bars_are_plain_and_nothing_syncs_by_time():
    """tqdm.auto stores a widget that freezes at 0 %; `jupytext --sync` lets the newest file win over the .py."""
    for path in committed_files():
        text = path.read_text()
        if path.suffix == ".py":
            assert "tqdm.auto" not in text and "tqdm.notebook" not in text, path
        if path.name in ("Makefile", "run"):
            assert "jupytext --sync" not in text, path
