"""The rules of the house: imports, names, sizes, notebooks and their pairs, no absolute paths.

A test provokes each rule, so that none passes by never being asked.
"""

import ast
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parent.parent

PACKAGE = ROOT / "tfcovr_utils"
# Rooms in order: each may import only from those before it. `study` is the front door.
ROOMS = [
    "profiles",
    "machine",
    "video",
    "labels",
    "sources",
    "texts",
    "benchmark",
    "metrics",
    "rendering",
    "encoders",
    "embedding",
    "training",
    "methods",
    "evaluation",
    "plots",
    "study",
    "explorer",
    "reproduce",
    "cli",
]
LOOSE = {"__init__", "__main__", "study", "profiles"}  # modules outside a room
REPEATED = {"__init__", "__main__", "base"}  # names that more than one file may have
# Libraries that one room, or one folder of it, keeps to itself.
KEPT_IN = {
    "decord": "video",
    "av": "video",
    "openai": "texts/llm",
    "ipywidgets": "explorer",
    "papermill": "reproduce",
    "faiss": "embedding",
}
MOST_LINES, MOST_FUNCTION_LINES, MOST_PACKAGE_LINES = 300, 60, 23_905  # the last may only be lowered
LONG_FUNCTIONS: dict[str, str] = {}  # function -> why it is over MOST_FUNCTION_LINES; at most five


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


def faults_of(package: Path) -> list[str]:
    """Everything in which a package breaks the rules of the house."""
    paths = sorted(package.rglob("*.py"))
    stems = [path.stem for path in paths]
    faults = [
        f"{name} is the name of {stems.count(name)} files"
        for name in sorted(set(stems) - REPEATED)
        if stems.count(name) > 1
    ]
    for path in paths:
        own, where = path.relative_to(package).with_suffix("").parts[0], path.relative_to(package).as_posix()
        if path.parent == package and own not in LOOSE:
            faults.append(f"{own} is a loose module")
        if own not in ROOMS:
            if path.parent != package:
                faults.append(f"{own} has no place among the rooms")
            continue
        for name in imported(path, package):
            inside = name[0] == "tfcovr_utils" and len(name) > 1 and name[1] in ROOMS
            if inside and ROOMS.index(name[1]) > ROOMS.index(own):
                faults.append(f"{where} imports {name[1]}")
            if name[0] in KEPT_IN and not where.startswith(KEPT_IN[name[0]]):
                faults.append(f"{where} imports {name[0]}")
        text = path.read_text()
        if len(text.splitlines()) > MOST_LINES:
            faults.append(f"{where} has {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > MOST_FUNCTION_LINES and node.name not in LONG_FUNCTIONS:
                    faults.append(f"{where}: {node.name} has {lines} lines")
    return faults


def test_the_house_keeps_its_rules():
    assert faults_of(PACKAGE) == []
    assert len(LONG_FUNCTIONS) <= 5


def test_the_package_is_small_and_seen_at_once():
    assert sum(len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")) < MOST_PACKAGE_LINES
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= 22


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("labels/a.py", "from ..benchmark import Benchmark", "labels/a.py imports benchmark"),
        ("metrics/a.py", "from tfcovr_utils.plots import save_figure", "metrics/a.py imports plots"),
        ("labels/a.py", "import av", "labels/a.py imports av"),
        ("texts/a.py", "import openai", "texts/a.py imports openai"),
        ("helpers.py", "import json", "helpers is a loose module"),
        ("attic/a.py", "import json", "attic has no place among the rooms"),
        ("plots/a.py", "#\n" * 301, "plots/a.py has 301 lines"),
        ("plots/a.py", "def draw():\n" + "    1\n" * 60, "plots/a.py: draw has 61 lines"),
    ],
)
def test_a_broken_rule_is_found(tmp_path, path, content, expected):
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(content)
    assert faults_of(tmp_path) == [expected]


def test_a_repeated_name_is_found(tmp_path):
    for path in ("plots/tables.py", "texts/tables.py", "plots/base.py", "texts/base.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    assert faults_of(tmp_path) == ["tables is the name of 2 files"]


@pytest.mark.slow
def test_importing_everything_does_nothing():
    """No module sets a seed, draws, prints, warns, touches rcParams or logging by being imported."""
    script = """
import contextlib, io, importlib, logging, pkgutil, random, warnings
import numpy, torch, matplotlib
def state():
    return (random.getstate(), numpy.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist(),
            dict(matplotlib.rcParams), len(logging.getLogger().handlers), len(warnings.filters))
import pandas, pyarrow, openai, papermill, seaborn, av, cv2, tqdm, huggingface_hub, timm, torchvision
import transformers.modeling_utils
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


def imports_of_tests(path: Path) -> list[str]:
    """The test files that a file of tests imports; what they share belongs into a helper or conftest.py."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    return [name for name in names if name.rpartition(".")[2].startswith(("test_", "conftest"))]


def test_no_test_imports_another():
    found = {path.name: imports_of_tests(path) for path in sorted((ROOT / "tests").rglob("*.py"))}
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "line", ["import test_x", "from test_x import y", "def f():\n    from tests.test_x import y"]
)
def test_a_test_that_imports_another_is_found(tmp_path, line):
    (tmp_path / "test_a.py").write_text(f"import json\n{line}\n")
    assert len(imports_of_tests(tmp_path / "test_a.py")) == 1


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

SET_UP = "study = open_study(source, seed, profile, render_seed, annotations, clips)"

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
    assert code[2].source.splitlines()[0] == SET_UP
    lengths = [len(cell.source.splitlines()) for cell in code]
    assert statistics.median(lengths) <= 6 and max(lengths) <= 15, lengths
    for cell in code:
        tree = ast.parse(cell.source)
        assert not any(
            isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Try)) for node in ast.walk(tree)
        ), cell.source
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
    """tqdm.auto stores a widget that freezes at 0 %; `jupytext --sync` lets the newest file win over the
    .py."""
    for path in committed_files():
        text = path.read_text()
        if path.suffix == ".py":
            assert "tqdm.auto" not in text and "tqdm.notebook" not in text, path
        if path.name in ("Makefile", "run"):
            assert "jupytext --sync" not in text, path
