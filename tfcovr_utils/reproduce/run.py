"""Run the notebooks in order with papermill, each into `runs/<profile>/`, never onto itself.

A notebook is left out while nothing changed that it was made from: its cells, its parameters, the package's code, the
committed files it reads, what earlier notebooks gave it. Beside each executed notebook a JSON file says what that was. One that
fails is told at the end, and those that do not need it go on. Those that no training waits for run at the same time as the others,
behind them.
"""

import ast
import json
import multiprocessing
import os
import re
import signal
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ..machine.files import locked, write_json
from ..machine.hashing import PACKAGE, hash_files_below, hash_rooms, hash_text, versions
from ..machine.workers import make_pool
from ..profiles import ROOT, annotations_dir, get_profile, runs_dir
from .report import write_report

NOTEBOOKS = ROOT / "notebooks"
NOT_READ = {"explorer", "reproduce", "cli"}  # rooms whose code decides no notebook's results
COMMITTED = ("modifications", "paper", "weights")  # of data/, what notebooks read
# What of earlier notebooks' results and figures one reads too, by number; and without which it cannot do.
READS = {
    "06": ("05",),
    "07": ("05", "06"),
    "08": ("05",),
    "09": ("05",),
    "10": ("01", "02", "03", "04", "05", "06", "07", "08"),
}
NEEDS = {"08": ("05",)}
# What only 10 reads, or nothing: each runs from the one named on, with what the others leave of the processors.
BESIDE = {"01": "00", "02": "00", "03": "00", "08": "05", "09": "05"}
FOLDERS = {
    "benchmark": "03"
}  # of a run: whose files they hold; those elsewhere bear a number, or are of a notebook that is not beside
JOINED = ("05", "06", "07", "10")  # these show the means over all seeds that are there
ENDED = "its process was ended from outside, mostly for want of memory."


@dataclass(frozen=True)
class Step:
    """One notebook to run."""

    notebook: Path
    parameters: dict
    folder: Path  # of the run: `runs/mini`
    seed: int

    @property
    def out(self) -> Path:
        return (self.folder / f"seed-{self.seed}" if self.seed else self.folder) / self.notebook.name

    @property
    def name(self) -> str:
        return self.notebook.stem

    @property
    def full_name(self) -> str:
        """Its name and its seed, as they are told: no other step has both."""
        return self.name + (f" seed {self.seed}" if self.seed else "")

    @property
    def record(self) -> dict:
        """What is known of its last whole run; empty where there is none."""
        path = self.out.with_suffix(".json")
        return json.loads(path.read_text("utf-8")) if path.exists() else {}


def select_notebooks(only: list[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """Notebooks in order; `only` names some by their number or a part of their name."""
    notebooks = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    for wanted in only:
        if not any(wanted in path.stem for path in notebooks):
            raise ValueError(
                f"--only {wanted!r} matches no notebook; there are {', '.join(path.stem for path in notebooks)}."
            )
    return [path for path in notebooks if not only or any(wanted in path.stem for wanted in only)]


def resolve_parameters(notebooks: list[Path], given: dict, always: dict) -> dict[Path, dict]:
    """Parameters each notebook gets. papermill only warns of an unknown one; here it is refused before any run, as is one of another type."""
    declared = {path: papermill.inspect_notebook(str(path)) for path in notebooks}
    known = set().union(*declared.values())
    for name, value in given.items():
        if name not in known:
            raise ValueError(
                f"parameter {name!r} is not declared by any chosen notebook; known are {', '.join(sorted(known))}."
            )
        for path in notebooks:
            if name in declared[path]:
                _check_type(name, value, ast.literal_eval(declared[path][name]["default"]))
    return {
        path: {name: value for name, value in {**always, **given}.items() if name in declared[path]}
        for path in notebooks
    }


def _check_type(name: str, value, default) -> None:
    kinds = (int, float) if isinstance(default, float) else type(default)
    if None not in (value, default) and (
        not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool)
    ):
        raise ValueError(
            f"parameter {name!r} is {value!r}; expected a {type(default).__name__}, such as {default!r}."
        )


def parse_value(text: str):
    """A command line's value as the literal a parameters cell would hold; lists as JSON. 1e-4 is a number here (in YAML it is not)."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    if text.startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError(f'{text!r} is no list; write it as JSON, such as [0, 0.5] or ["aim"].') from None
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def read_inputs(step: Step) -> dict[str, str]:
    """Hashes of what a notebook is made from, by what a person would call it."""
    cells = nbformat.read(step.notebook, as_version=4).cells
    rooms = sorted({path.name for path in PACKAGE.iterdir()} - NOT_READ)
    inputs = {
        "its cells": hash_text(str([cell.source for cell in cells])),
        "its parameters": hash_text(str(step.parameters)),
        "the libraries": hash_text(str(versions())),
        "the package": hash_rooms(*rooms),
    }
    inputs |= {f"data/{name}": hash_text(str(hash_files_below(ROOT / "data" / name))) for name in COMMITTED}
    if step.parameters.get("source", "mini") != "mini":
        inputs["the annotations"] = hash_text(
            str(hash_files_below(annotations_dir(step.parameters.get("annotations"))))
        )
    return inputs


def read_before(step: Step) -> dict[str, str]:
    """Hashes of the inputs of those whose results a notebook reads: earlier ones, and where it joins seeds the other seeds' too."""
    number = step.name[:2]
    of_seed = list(step.out.parent.glob("[0-9][0-9]_*.json"))
    joined = (
        []
        if step.seed or number not in JOINED
        else [path for path in step.folder.glob("seed-*/[0-9][0-9]_*.json") if path.parent != step.out.parent]
    )
    paths = [path for path in of_seed if path.name[:2] in READS.get(number, ())] + [
        path for path in joined if path.name[:2] in JOINED
    ]
    first = step.folder.with_name(step.folder.name.partition("-render")[0])
    if (
        number == "05" and step.folder != first
    ):  # what is chosen on the first rendering is trained on this one too
        paths += first.glob("**/05_*.json")
    elif number == "05" and not step.seed:  # and this one shows both
        paths += first.with_name(f"{first.name}-render1").glob("**/05_*.json")
    return {
        os.path.relpath(path.with_suffix(""), step.folder): hash_text(
            str(json.loads(path.read_text("utf-8"))["inputs"])
        )
        for path in sorted(paths)
    }


def why_again(step: Step) -> str | None:
    """Why a notebook is to be run, in words; None where its last run stands."""
    record = step.record
    if not record or not step.out.exists():
        return "new"
    now = {**read_inputs(step), **read_before(step)}
    then = {**record["inputs"], **record["before"]}
    changed = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    gone = [name for name in record["wrote"] if not (step.folder / name).exists()]
    if not changed and not gone:
        return None
    return f"{changed[0]} changed" if changed else f"{gone[0]} is gone"


def run_notebook(
    notebook: Path, out: Path, parameters: dict, bar: dict | bool = False, behind: bool = False
) -> None:
    """Execute one notebook, `behind` what else runs; a failing cell raises PapermillExecutionError with the cell in it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    # Kernel `python3` must be this environment's, not one of the same name in somebody's home folder.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    first = (
        ["--IPKernelApp.exec_lines=from tfcovr_utils.machine.workers import lower_priority; lower_priority()"]
        if behind
        else []
    )
    papermill.execute_notebook(
        str(notebook),
        str(out),
        parameters=parameters,
        kernel_name="python3",
        cwd=str(ROOT),
        progress_bar=bar,
        start_timeout=180,
        extra_arguments=["--IPKernelApp.log_level=40", *first],
    )


def run_step(step: Step, bar: dict | bool = False, behind: bool = False) -> None:
    """Run a notebook and write beside it what it was made from."""
    inputs, before, earlier = read_inputs(step), read_before(step), step.record.get("wrote", [])
    started = time.time()
    run_notebook(step.notebook, step.out, step.parameters, bar, behind)
    wrote = {
        path.relative_to(step.folder).as_posix()
        for path in _written_since(started, step.folder)
        if _is_of(step, path)
    }
    wrote |= {name for name in earlier if (step.folder / name).exists()}
    write_json(
        {
            "inputs": inputs,
            "before": before,
            "wrote": sorted(wrote),
            "seconds": round(time.time() - started, 1),
            "parameters": step.parameters,
        },
        step.out.with_suffix(".json"),
    )


def _written_since(started: float, folder: Path) -> list[Path]:
    """Files below a folder that were written to since then, but none that is hidden or in a hidden folder: those are temporary."""
    written = []
    for parent, folders, files in os.walk(
        folder
    ):  # which, unlike rglob, passes over a folder that those beside have just removed
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(parent, name) for name in files if not name.startswith(".")):
            with suppress(FileNotFoundError):  # removed as well
                if path.stat().st_mtime >= started:
                    written.append(path)
    return written


def _is_of(step: Step, path: Path) -> bool:
    """Whether a file that appeared while a notebook ran is its own, not of one that ran at the same time."""
    numbered = re.match(r"\d\d(?=_)", path.name)
    number = numbered[0] if numbered else FOLDERS.get(path.parent.name)
    return number == step.name[:2] if number else step.name[:2] not in BESIDE


def attempt(step: Step, title: str, why: str, behind: bool = False) -> str | None:
    """Run a notebook, saying so and why; return why it failed, or None."""
    print(title if why == "new" else f"{title}: {why}", flush=True)
    started, failed = time.monotonic(), None
    try:
        run_step(step, False if behind else {"desc": title, "leave": False, "disable": None}, behind)
    except PapermillExecutionError as error:
        failed = f"cell {error.cell_index} failed with {error.ename}: {error.evalue}\n{error.source}\nThe run so far is in {os.path.relpath(step.out)}."
    except DeadKernelError as error:
        failed = f"its kernel died ({error}); mostly for want of memory. The run so far is in {os.path.relpath(step.out)}."
    print(
        f"      {time.monotonic() - started:.0f} s {'failed' if failed else '->'} {os.path.relpath(step.out)}",
        flush=True,
    )
    return failed


def _attempt_beside(step: Step, title: str, why: str) -> str | None:
    """`attempt` in a worker, whose kernel it ends first when it is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    os.environ["OMP_NUM_THREADS"] = (
        "1"  # of the kernel: two threads that wait for each other, while others run, wait with all they have
    )
    try:
        return attempt(step, title, why, behind=True)
    except SystemExit:
        os._exit(1)  # or the pool would give this worker its next notebook


def run_all(steps: list[Step], force: bool = False) -> dict[str, str]:
    """Run what is not up to date, a line each; return what failed or was left out, by its full name, with the reason."""
    failed: dict[str, str] = {}
    beside: list[tuple[str, Future]] = []
    some_in_order = any(step.name[:2] not in BESIDE for step in steps)
    with make_pool(1) as pool:
        try:
            for place, step in sorted(
                enumerate(steps, 1),
                key=lambda one: (one[1].seed, BESIDE.get(one[1].name[:2], one[1].name[:2]), one[0]),
            ):
                number, title = step.name[:2], f"[{place}/{len(steps)}] {step.full_name}"
                if set(READS.get(number, ())) & set(BESIDE):
                    failed |= _end_of(beside)
                lacking = [
                    one.full_name
                    for one in steps
                    if one.seed == step.seed
                    and one.name[:2] in NEEDS.get(number, ())
                    and one.full_name in failed
                ]
                if lacking:
                    failed[step.full_name] = f"left out, since it needs {lacking[0]}"
                    print(f"{title}: {failed[step.full_name]}", flush=True)
                elif (why := "asked for" if force else why_again(step)) is None:
                    print(f"{title}: up to date ({step.record['seconds']:.0f} s when it ran)", flush=True)
                elif number in BESIDE and some_in_order:
                    try:
                        beside.append((step.full_name, pool.submit(_attempt_beside, step, title, why)))
                    except (
                        BrokenProcessPool
                    ):  # with an earlier one; those that waited behind that one end so, too
                        failed[step.full_name] = ENDED
                        print(f"{title}: {ENDED}", flush=True)
                elif failure := attempt(step, title, why):
                    failed[step.full_name] = failure
            return failed | _end_of(beside)
        except KeyboardInterrupt:
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def _end_of(beside: list[tuple[str, Future]]) -> dict[str, str]:
    """Wait for the notebooks beside; return what failed, with the reason."""
    failed = {}
    for name, future in beside:
        try:
            if why := future.result():
                failed[name] = why
        except BrokenProcessPool:
            failed[name] = ENDED
    return failed


def reproduce(
    profile: str, seeds: list[int], only: list[str], parameters: dict[str, str], force: bool = False
) -> dict[str, str]:
    """Run notebooks and write the report; return what failed, by name, with the reason."""
    chosen = get_profile(profile)
    notebooks = select_notebooks(only)
    given = {name: parse_value(value) for name, value in parameters.items()}
    rendered = replace(chosen, render_seed=given.get("render_seed", 0))
    folder = runs_dir(rendered, given.get("source", "mini"))
    steps = [
        Step(notebook, resolved, folder, seed)
        for seed in seeds
        for notebook, resolved in resolve_parameters(
            notebooks, given, {"profile": chosen.name, "seed": seed}
        ).items()
    ]
    with locked(folder / "report.html"):  # a second run in one folder waits
        failed = run_all(steps, force)
        print(f"report: {os.path.relpath(write_report(folder))}")
    return failed
