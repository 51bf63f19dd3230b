"""The runner and the publisher, on small notebooks made here."""

import base64
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jupytext
import numpy as np
import pytest
from command import status_of
from PIL import Image

from tfcovr_utils.machine import hashing
from tfcovr_utils.profiles import ROOT, get_profile, runs_dir
from tfcovr_utils.reproduce import publish as publish_module
from tfcovr_utils.reproduce import run as reproduce
from tfcovr_utils.reproduce import steps as steps_module
from tfcovr_utils.reproduce.steps import read_declared, select_notebooks

HEADER = """# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: kernelspec,tfcovr
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

"""
GOOD = (
    HEADER
    + """# %% tags=["parameters"]
source = "mini"
lr = 1.0

# %%
import sys
print("RAN", source, lr, type(lr).__name__, sys.prefix)
"""
)


def make_notebook(folder, name, text, **declared):
    """Write a pair; `declared` goes to its metadata."""
    script = folder / f"{name}.py"
    script.write_text(text)
    notebook = jupytext.read(script)
    if declared:
        notebook.metadata["tfcovr"] = declared
    jupytext.write(notebook, script)
    jupytext.write(notebook, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def outputs(path):
    cells = json.loads(path.read_text())["cells"]
    return "".join("".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", []))


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(steps_module, "NOTEBOOKS", folder)
    monkeypatch.setattr(steps_module, "ROOT", tmp_path)
    monkeypatch.setattr(reproduce, "ROOT", tmp_path)
    monkeypatch.setattr(reproduce, "runs_dir", lambda profile, source: tmp_path / "runs" / profile.name)
    return folder


def test_parameters_reach_the_notebook_as_numbers(notebooks, tmp_path, capsys):
    make_notebook(notebooks, "00_good", GOOD)
    assert status_of("reproduce")(["--source", "smoke", "-p", "lr", "1e-4"]) == 0
    assert "RAN smoke 0.0001 float" in outputs(tmp_path / "runs" / "smoke" / "00_good.ipynb")
    assert not list((tmp_path / "runs").rglob("*.py"))  # an executed copy is not paired
    assert "injected" not in (notebooks / "00_good.ipynb").read_text()  # and the input is never written


def test_each_seed_has_a_folder(notebooks, tmp_path, capsys):
    make_notebook(
        notebooks,
        "00_good",
        GOOD.replace("lr = 1.0", "lr = 1.0\nseed = 0").replace('"RAN", source', '"RAN", seed'),
    )
    assert status_of("reproduce")(["--source", "smoke", "--seeds", "0", "2"]) == 0
    runs = tmp_path / "runs" / "smoke"
    assert "RAN 0 " in outputs(runs / "00_good.ipynb") and "RAN 2 " in outputs(
        runs / "seed-2" / "00_good.ipynb"
    )


def test_unknown_names_are_refused_before_anything_runs(notebooks, tmp_path, capsys):
    make_notebook(notebooks, "00_good", GOOD)
    assert status_of("reproduce")(["-p", "learning_rate", "1"]) == 2
    assert (
        "'learning_rate' is not declared by any chosen notebook; known are lr, source"
        in capsys.readouterr().err
    )
    assert status_of("reproduce")(["--source", "tiny"]) == 2
    assert "source 'tiny' is not known; choose one of circo, cirr" in capsys.readouterr().err
    assert status_of("reproduce")(["--only", "07"]) == 2
    assert "--only '07' matches no notebook; there are 00_good" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_failing_cell_is_told_and_those_that_do_not_need_it_go_on(notebooks, tmp_path, capsys):
    make_notebook(notebooks, "05_bad", GOOD + "\n# %%\nhalf = 1 / 0\n")
    make_notebook(notebooks, "06_later", GOOD)
    make_notebook(notebooks, "08_needs_it", GOOD, needs=["bad"])
    assert status_of("reproduce")(["--source", "smoke"]) == 1
    heard = capsys.readouterr()
    assert "05_bad" in heard.err and "ZeroDivisionError" in heard.err and "half = 1 / 0" in heard.err
    runs = tmp_path / "runs" / "smoke"
    assert "RAN smoke" in outputs(runs / "05_bad.ipynb") and "RAN smoke" in outputs(runs / "06_later.ipynb")
    assert (
        not (runs / "08_needs_it.ipynb").exists()
        and "08_needs_it: left out, since it needs 05_bad" in heard.err
    )
    assert (
        status_of("reproduce")(["--source", "smoke"]) == 1
    )  # the failed one is tried again, the good one is not
    heard = capsys.readouterr()
    assert "06_later: up to date" in heard.out and "ZeroDivisionError" in heard.err


@pytest.mark.slow
def test_a_failure_is_that_of_its_seed(notebooks, tmp_path, capsys):
    make_notebook(
        notebooks,
        "05_bad",
        GOOD.replace("lr = 1.0", "lr = 1.0\nseed = 0") + '\n# %%\nassert seed == 1, f"none of {seed}"\n',
    )
    make_notebook(notebooks, "08_needs_it", GOOD, needs=["bad"])
    assert status_of("reproduce")(["--source", "smoke", "--seeds", "0", "1", "2"]) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("05", "08"))]
    assert [line.partition(": ")[0] for line in told] == [
        "05_bad",
        "08_needs_it",
        "05_bad seed 2",
        "08_needs_it seed 2",
    ]
    assert [line.rpartition(": ")[2] for line in told] == [
        "none of 0",
        "left out, since it needs 05_bad",
        "none of 2",
        "left out, since it needs 05_bad seed 2",
    ]
    assert "RAN smoke" in outputs(tmp_path / "runs" / "smoke" / "seed-1" / "08_needs_it.ipynb")


@pytest.mark.slow
def test_what_is_up_to_date_is_left_out_and_what_changed_is_named(notebooks, tmp_path, capsys):
    text = GOOD + '\n# %%\nfrom pathlib import Path\nPath("runs/smoke/made.txt").write_text(str(lr))\n'
    make_notebook(notebooks, "00_first", text, writes=["made*"])
    make_notebook(notebooks, "04_second", GOOD)

    def run(*options):
        assert status_of("reproduce")(["--source", "smoke", *options]) == 0
        return capsys.readouterr().out

    assert "up to date" not in run()
    assert run().count("up to date") == 2
    make_notebook(notebooks, "04_second", GOOD + "\n# %%\nmore = 1\n")
    assert "00_first: up to date" in (said := run()) and "04_second: its cells changed" in said
    (tmp_path / "runs" / "smoke" / "made.txt").unlink()
    assert "00_first: made.txt is gone" in (said := run()) and "04_second: up to date" in said
    assert run("-p", "lr", "2").count("its parameters changed") == 2
    (tmp_path / "data" / "weights").mkdir(parents=True)
    (tmp_path / "data" / "weights" / "model").write_text("other")
    assert run("-p", "lr", "2").count("data/weights changed") == 2
    assert run("-p", "lr", "2", "--force").count("asked for") == 2


def test_a_notebook_is_run_again_when_one_it_reads_was(notebooks, capsys):
    make_notebook(notebooks, "05_rows", GOOD)
    make_notebook(notebooks, "06_reads_them", GOOD, reads=["rows"])
    assert status_of("reproduce")(["--source", "smoke"]) == 0
    make_notebook(notebooks, "05_rows", GOOD + "\n# %%\nmore = 1\n")
    assert status_of("reproduce")(["--source", "smoke"]) == 0
    assert "06_reads_them: 05_rows changed" in capsys.readouterr().out


def step_of(folder, name, cell, **declared):
    """A step whose notebook and run are in `folder`, so that a worker process can run it without patches."""
    folder.mkdir(exist_ok=True)
    text = HEADER + "# %%\nimport os, time\nfrom pathlib import Path\n" + cell
    notebook = make_notebook(folder, name, text, **declared)
    return steps_module.Step(notebook, {}, folder / "run", 0)


WAIT = """end = time.monotonic() + 120
while not Path({!r}).exists():
    assert time.monotonic() < end
    time.sleep(.1)
"""


CONCURRENT = {"concurrent": True}


@pytest.mark.slow
def test_concurrent_notebooks_run_at_the_same_time_and_claim_only_their_own_files(tmp_path, capfd):
    at = {name: str(tmp_path / "run" / name) for name in ("01_figure.csv", "weights.bin")}
    made = tmp_path / "run" / "benchmark" / "clips.csv"
    counts = f"Path({at['01_figure.csv']!r}).write_text('1')\n" + WAIT.format(at["weights.bin"])
    makes = f"Path({str(made)!r}).parent.mkdir(); Path({str(made)!r}).write_text('1')"
    trains = WAIT.format(at["01_figure.csv"]) + f"Path({at['weights.bin']!r}).write_text('1')"
    reads = f"print(Path({str(tmp_path / 'run' / '01_counts.json')!r}).exists())"
    steps = [
        step_of(tmp_path, "00_first", ""),
        step_of(tmp_path, "01_counts", counts, **CONCURRENT),
        step_of(tmp_path, "02_fails", "half = 1 / 0", **CONCURRENT),
        step_of(tmp_path, "03_makes", makes, writes=["benchmark/*"], **CONCURRENT),
        step_of(tmp_path, "04_trains", trains, writes=["*.bin"]),
        step_of(tmp_path, "10_last", reads, reads=["counts", "fails"]),
    ]
    failed = reproduce.run_all(steps)
    assert list(failed) == ["02_fails"] and "ZeroDivisionError" in failed["02_fails"]
    assert outputs(steps[-1].out) == "True\n"
    assert [step.record.get("wrote") for step in steps[1:5]] == [
        ["01_counts.ipynb", "01_figure.csv"],
        None,
        ["03_makes.ipynb", "benchmark/clips.csv"],
        ["04_trains.ipynb", "weights.bin"],
    ]
    capfd.readouterr()
    assert list(reproduce.run_all(steps)) == ["02_fails"]
    assert capfd.readouterr().out.count("up to date") == 5


def test_a_concurrent_notebook_starts_after_those_it_reads(tmp_path):
    steps = [
        step_of(tmp_path, "00_first", ""),
        step_of(tmp_path, "01_rows", ""),
        step_of(tmp_path, "02_more", ""),
        step_of(tmp_path, "03_shows", "", reads=["rows"], **CONCURRENT),
        step_of(tmp_path, "04_asks", "", **CONCURRENT),
    ]
    names = [step.name for _, step in reproduce._in_order(steps)]
    assert names == ["00_first", "04_asks", "01_rows", "03_shows", "02_more"]


@pytest.mark.slow
def test_when_a_concurrent_notebook_is_killed_the_others_go_on(tmp_path):
    at = str(tmp_path / "worker")
    kill = f"Path({at!r}).write_text(str(os.getppid()))\nos.kill(os.getppid(), 9)"
    running = f"Path('/proc', Path({at!r}).read_text()).exists()"
    wait = WAIT.format(at) + f"while {running}:\n    assert time.monotonic() < end\n    time.sleep(.1)"
    steps = [
        step_of(tmp_path, "01_killed", kill, **CONCURRENT),
        step_of(tmp_path, "05_trains", wait),
        step_of(tmp_path, "08_later", "", needs=["trains"], **CONCURRENT),
        step_of(tmp_path, "10_last", "", reads=["killed", "later"]),
    ]
    assert reproduce.run_all(steps) == dict.fromkeys(["01_killed", "08_later"], reproduce.KILLED)
    assert [bool(step.record) for step in steps] == [False, True, False, True]


def test_declarations_of_the_notebooks_name_each_an_earlier_one():
    notebooks = select_notebooks([], ROOT / "notebooks")
    for place, notebook in enumerate(notebooks):
        declared = read_declared(notebook)
        for part in (*declared.reads, *declared.needs):
            assert sum(part in path.stem for path in notebooks[:place]) == 1, (notebook.stem, part)
            assert sum(part in path.stem for path in notebooks) == 1, (notebook.stem, part)
        assert set(declared.joins) <= {"seeds", "renderings"}


def test_a_misspelt_declaration_is_named(tmp_path):
    notebook = make_notebook(tmp_path, "00_x", HEADER + "# %%\n1", raeds=["05"])
    with pytest.raises(ValueError, match="00_x.ipynb declares 'raeds'; expected some of reads, needs"):
        read_declared(notebook)


def test_what_is_written_to_be_renamed_is_no_result_and_may_vanish(tmp_path, monkeypatch):
    step = step_of(tmp_path, "04_trains", "", writes=["*"])

    def write(*_):
        for name in (
            "weights.bin",
            "seed-1/weights.bin",
            ".clips.0f/clips.npy",
            ".clips.0f.npy",
            "gone/clips.npy",
            "gone.npy",
        ):
            (step.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (step.folder / name).write_text("1")

    def missing_what_is_gone(look):
        return lambda path, **options: look(
            Path("nowhere") if Path(path).name.startswith("gone") else path, **options
        )

    monkeypatch.setattr(reproduce, "run_notebook", write)
    monkeypatch.setattr(os, "scandir", missing_what_is_gone(os.scandir))
    monkeypatch.setattr(Path, "stat", missing_what_is_gone(Path.stat))
    reproduce.run_step(step)
    assert step.record["wrote"] == ["seed-1/weights.bin", "weights.bin"]


@pytest.mark.slow
def test_ctrl_c_ends_the_concurrent_ones_too(tmp_path):
    began = [tmp_path / name for name in ("01", "04")]
    wait = "Path({!r}).write_text(str(os.getpid()))\ntime.sleep(600)"
    steps = [
        step_of(tmp_path, "01_waits", wait.format(str(began[0])), **CONCURRENT),
        step_of(tmp_path, "02_never", f"Path({str(tmp_path / '02')!r}).write_text('1')", **CONCURRENT),
        step_of(tmp_path, "04_waits", wait.format(str(began[1]))),
    ]
    code = (
        "import sys; from pathlib import Path; from tfcovr_utils.reproduce.run import Step, run_all; "
        "run_all([Step(path, {}, path.parent / 'run', 0) for path in map(Path, sys.argv[1:])])"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, *(str(step.notebook) for step in steps)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a shell's background jobs ignore it
    )
    wait_until(lambda: all(path.exists() and path.read_text() for path in began))
    os.killpg(run.pid, signal.SIGINT)
    assert "KeyboardInterrupt" in run.communicate(timeout=60)[1]
    wait_until(lambda: not any(is_alive(int(path.read_text())) for path in began))
    assert not (tmp_path / "02").exists()


def wait_until(holds):
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.2)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_notebook_runs_again_when_the_second_rendering_that_it_shows_has_changed(
    notebooks, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(
        reproduce,
        "runs_dir",
        lambda profile, source: tmp_path / "runs" / (profile.name + "-render1" * profile.render_seed),
    )
    text = GOOD.replace("lr = 1.0", "lr = 1.0\nrender_seed = 0")
    make_notebook(notebooks, "05_rows", text, joins=["renderings"])
    said = []
    for arguments in ([], ["-p", "render_seed", "1"], [], []):
        assert status_of("reproduce")(["--source", "smoke", *arguments]) == 0
        said.append(capsys.readouterr().out.splitlines()[0])
    assert [line.removeprefix("[1/1] 05_rows") for line in said[:3]] == [
        "",
        "",
        f": {os.path.join('..', 'smoke-render1', '05_rows')} changed",
    ]
    assert "up to date" in said[3]


def test_comments_and_the_explorer_do_not_change_the_package_entry(notebooks, tmp_path, monkeypatch):
    step = steps_module.Step(make_notebook(notebooks, "00_good", GOOD), {}, notebooks, 0)
    package = shutil.copytree(hashing.PACKAGE, tmp_path / "package")
    for module in (hashing, steps_module):
        monkeypatch.setattr(module, "PACKAGE", package)
    monkeypatch.setattr(hashing, "_hash_code", hashing._hash_code.__wrapped__)
    monkeypatch.setattr(steps_module, "hash_rooms", hashing.hash_rooms.__wrapped__)

    def read_changed(name: str, old: str, new: str) -> str:
        text = (package / name).read_text()
        assert old in text
        (package / name).write_text(text.replace(old, new, 1))
        return steps_module.read_inputs(step)["the package"]

    now = read_changed("profiles.py", "\n", "\n")
    assert now == read_changed("profiles.py", "@dataclass", "# why\n@dataclass")
    assert now == read_changed("metrics/ranking.py", '"""', '"""Another docstring: ')
    assert now == read_changed("explorer/index.py", "def find_folder", "def find_a_folder")
    assert now != read_changed("metrics/ranking.py", "RANKS = (", "RANKS = (1, ")


def test_a_parameter_of_another_type_is_refused(notebooks, capsys):
    make_notebook(notebooks, "00_good", GOOD)
    assert status_of("reproduce")(["-p", "lr", "fast"]) == 2
    assert "parameter 'lr' is 'fast'; expected a float, such as 1.0" in capsys.readouterr().err


@pytest.mark.slow
def test_the_kernel_is_this_environments_own(notebooks, tmp_path, monkeypatch):
    """Somebody's home may hold a kernel of the same name that points elsewhere."""
    kernel = tmp_path / "home" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": ["not-a-python", "{connection_file}"], "display_name": "x", "language": "python"})
    )
    make_notebook(notebooks, "00_good", GOOD)
    script = (
        "import sys; from pathlib import Path; from tfcovr_utils.reproduce.run import run_notebook; "
        "run_notebook(Path(sys.argv[1]), Path(sys.argv[2]), {})"
    )
    out = tmp_path / "out.ipynb"
    subprocess.run(
        [sys.executable, "-c", script, str(notebooks / "00_good.ipynb"), str(out)],
        check=True,
        env={**os.environ, "JUPYTER_DATA_DIR": str(tmp_path / "home")},
        cwd=ROOT,
    )
    assert sys.prefix in outputs(out)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("1e-4", 1e-4), ("true", True), ("None", None), ("mini", "mini"), ("[0, 0.5]", [0, 0.5])],
)
def test_values_from_the_command_line(text, value):
    assert steps_module.parse_value(text) == value and type(steps_module.parse_value(text)) is type(value)


@pytest.mark.slow
def test_publishing_leaves_no_trace_of_the_run(notebooks, tmp_path):
    make_notebook(notebooks, "00_good", GOOD)
    before = (notebooks / "00_good.py").read_text()
    status_of("reproduce")(["--source", "smoke", "-p", "lr", "2"])
    executed = tmp_path / "runs" / "smoke" / "00_good.ipynb"
    assert "injected-parameters" in executed.read_text() and '"papermill"' in executed.read_text()
    publish_module.publish([executed], notebooks)
    published = (notebooks / "00_good.ipynb").read_text()
    assert "injected-parameters" not in published and '"papermill"' not in published
    assert "RAN smoke 2" in outputs(notebooks / "00_good.ipynb")  # the outputs are kept
    assert (notebooks / "00_good.py").read_text() == before
    source = [cell.source for cell in jupytext.read(notebooks / "00_good.ipynb").cells]
    assert source == [cell.source for cell in jupytext.read(notebooks / "00_good.py").cells]


def test_a_notebook_too_large_is_not_published(notebooks, tmp_path, monkeypatch):
    path = make_notebook(notebooks, "00_good", GOOD)
    executed = tmp_path / "00_good.ipynb"
    notebook = json.loads(path.read_text())
    for cell in notebook["cells"]:
        cell["execution_count"] = 1
    notebook["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["x" * 2_000_000]}]
    executed.write_text(json.dumps(notebook))
    with pytest.raises(ValueError, match="00_good.ipynb over 1,000,000 bytes"):
        publish_module.publish([executed], notebooks)
    assert len((notebooks / "00_good.ipynb").read_text()) < 10_000


@pytest.mark.slow
def test_published_pictures_are_smaller_and_look_the_same(notebooks, tmp_path):
    draw = """
# %%
import io, numpy as np
from PIL import Image
from IPython.display import Image as Shown
ramp = np.add.outer(np.arange(128), np.arange(128))
noise = np.random.default_rng(0).integers(0, 9, (128, 128, 3))
png = io.BytesIO()
Image.fromarray((ramp[..., None] // 2 + noise).astype(np.uint8)).save(png, 'PNG')
Shown(png.getvalue())
"""
    make_notebook(notebooks, "00_good", GOOD + draw)
    status_of("reproduce")(["--source", "smoke"])
    executed = tmp_path / "runs" / "smoke" / "00_good.ipynb"
    publish_module.publish([executed], notebooks)
    before, after = (
        next(
            output["data"]["image/png"]
            for cell in json.loads(path.read_text())["cells"]
            for output in cell.get("outputs", [])
            if "image/png" in output.get("data", {})
        )
        for path in (executed, notebooks / "00_good.ipynb")
    )
    assert len(after) < 0.7 * len(before)
    pixels = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"), float)
        for png in (before, after)
    ]
    assert np.abs(pixels[0] - pixels[1]).mean() < 4


def test_what_is_published_for_a_profile_is_never_another_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("TFCOVR_RUNS", str(tmp_path))
    mini = get_profile("mini")
    folders = [
        runs_dir(mini),
        runs_dir(mini, "tfcovr"),
        runs_dir(replace(mini, render_seed=1)),
        runs_dir(get_profile("smoke")),
    ]
    assert [folder.name for folder in folders] == ["mini", "tfcovr", "mini-render1", "smoke"]


def test_a_run_that_failed_or_still_goes_on_is_not_published(notebooks, tmp_path):
    make_notebook(notebooks, "00_bad", GOOD + "\n# %%\nhalf = 1 / 0\n\n# %%\nnever = 1\n")
    before = (notebooks / "00_bad.ipynb").read_text()
    assert status_of("reproduce")(["--source", "smoke"]) == 1
    with pytest.raises(ValueError, match="00_bad.ipynb did not run to the end"):
        publish_module.publish([tmp_path / "runs" / "smoke" / "00_bad.ipynb"], notebooks)
    assert (notebooks / "00_bad.ipynb").read_text() == before
