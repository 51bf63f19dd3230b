"""Run the notebooks in order with papermill, each into `runs/<source>/`, never onto itself.

What is up to date is left out: beside each executed notebook, a JSON file says what it was made from.
A failing notebook is named at the end, and those that do not need it go on. Notebooks that declare
`concurrent` run at the same time as the others, at low priority.
"""

import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ..machine.files import locked, write_json
from ..machine.workers import make_pool
from ..profiles import ROOT, default_profile, get_profile, runs_dir
from ..rendering.opening import NotGiven
from ..sources import check_source
from .report import write_report
from .steps import (
    Step,
    parse_value,
    read_earlier,
    read_inputs,
    resolve_parameters,
    select_notebooks,
    why_again,
)

KILLED = "its process was killed from outside, most likely for lack of memory."
LOWER_PRIORITY = "from tfcovr_utils.machine.workers import lower_priority; lower_priority()"


def reproduce(
    source: str, seeds: list[int], only: list[str], parameters: dict[str, str], force: bool = False
) -> dict[str, str]:
    """Run notebooks and write the report; return what failed, by name, with the reason."""
    check_source(source)
    notebooks = select_notebooks(only)
    given = {name: parse_value(value) for name, value in parameters.items()}
    profile = get_profile(given.get("profile") or default_profile(source))
    folder = runs_dir(replace(profile, render_seed=given.get("render_seed", 0)), source)
    steps = []
    for seed in seeds:
        resolved = resolve_parameters(notebooks, given, {"source": source, "seed": seed})
        steps += [Step(notebook, values, folder, seed) for notebook, values in resolved.items()]
    with locked(folder / "report.html"):  # a second run in one folder waits
        failed = run_all(steps, force)
        print(f"report: {os.path.relpath(write_report(folder))}")
    return failed


def run_all(steps: list[Step], force: bool = False) -> dict[str, str]:
    """Run what is not up to date; return what failed or was left out, by name, with the reason."""
    failed: dict[str, str] = {}
    running: dict[str, Future] = {}
    all_concurrent = all(step.declared.concurrent for step in steps)
    with make_pool(1) as pool:
        try:
            for place, step in _in_order(steps):
                title = f"[{place}/{len(steps)}] {step.name}"
                if any(step.reads(one.notebook.stem) and one.declared.concurrent for one in steps):
                    failed |= _wait_for(running)
                if missing := _failed_needs(step, steps, failed):
                    failed[step.name] = f"left out, since it needs {missing}"
                    print(f"{title}: {failed[step.name]}", flush=True)
                elif (why := "asked for" if force else why_again(step)) is None:
                    print(f"{title}: up to date ({step.record['seconds']:.0f} s when it ran)", flush=True)
                elif step.declared.concurrent and not all_concurrent:
                    try:
                        running[step.name] = pool.submit(_attempt_concurrently, step, title, why)
                    except BrokenProcessPool:  # the worker died with an earlier notebook
                        failed[step.name] = KILLED
                        print(f"{title}: {KILLED}", flush=True)
                elif failure := attempt(step, title, why):
                    failed[step.name] = failure
            return failed | _wait_for(running)
        except KeyboardInterrupt:
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def _in_order(steps: list[Step]) -> list[tuple[int, Step]]:
    """Number the steps; a concurrent one starts right after the last that it reads, or after the first."""

    def start(numbered: tuple[int, Step]) -> tuple[int, int, int]:
        place, step = numbered
        if not step.declared.concurrent:
            return step.seed, place, place
        peers = [(at, one) for at, one in enumerate(steps, 1) if one.seed == step.seed]
        read = [at for at, one in peers if step.reads(one.notebook.stem)]
        return step.seed, max(read, default=peers[0][0]), place

    return sorted(enumerate(steps, 1), key=start)


def _failed_needs(step: Step, steps: list[Step], failed: dict[str, str]) -> str | None:
    for one in steps:
        needed = any(part in one.notebook.stem for part in step.declared.needs)
        if needed and one.seed == step.seed and one.name in failed:
            return one.name
    return None


def _wait_for(running: dict[str, Future]) -> dict[str, str]:
    """Wait for the concurrent notebooks; return what failed, with the reason."""
    failed = {}
    for name, future in running.items():
        why = KILLED if isinstance(future.exception(), BrokenProcessPool) else future.result()
        failed |= {name: why} if why else {}
    return failed


def _attempt_concurrently(step: Step, title: str, why: str) -> str | None:
    """`attempt` in a worker; if the worker is terminated, its kernel ends first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    # Two threads of the kernel that wait for each other would take a processor from the other notebooks.
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        return attempt(step, title, why, low_priority=True)
    except SystemExit:
        os._exit(1)  # otherwise the pool would give this worker its next notebook


def attempt(step: Step, title: str, why: str, low_priority: bool = False) -> str | None:
    """Run a notebook and print why; return why it failed, or None."""
    print(title if why == "new" else f"{title}: {why}", flush=True)
    started, failed, out = time.monotonic(), None, os.path.relpath(step.out)
    try:
        run_step(step, "" if low_priority else title, low_priority)
    except PapermillExecutionError as error:
        if error.ename == NotGiven.__name__:
            print(f"      left out: {error.evalue}", flush=True)
            return None
        failed = f"cell {error.cell_index} failed with {error.ename}: {error.evalue}\n{error.source}"
    except DeadKernelError as error:
        failed = f"its kernel died ({error}), most likely for lack of memory."
    print(f"      {time.monotonic() - started:.0f} s {'failed' if failed else '->'} {out}", flush=True)
    return failed and f"{failed}\nThe run so far is in {out}."


def run_step(step: Step, bar: str = "", low_priority: bool = False) -> None:
    """Run a notebook and record what it was made from and wrote; `bar` is a progress bar's title."""
    inputs, earlier, kept = read_inputs(step), read_earlier(step), step.record.get("wrote", [])
    started = time.time()
    run_notebook(step.notebook, step.out, step.parameters, bar, low_priority)
    written = [path for path in _written_since(started, step.folder) if step.owns(path)]
    wrote = {path.relative_to(step.folder).as_posix() for path in written}
    wrote |= {name for name in kept if (step.folder / name).exists()}
    record = {"inputs": inputs, "before": earlier, "wrote": sorted(wrote), "parameters": step.parameters}
    record["seconds"] = round(time.time() - started, 1)
    write_json(record, step.out.with_suffix(".json"))


def run_notebook(
    notebook: Path, out: Path, parameters: dict, bar: str = "", low_priority: bool = False
) -> None:
    """Execute one notebook; a failing cell raises PapermillExecutionError, which names the cell."""
    out.parent.mkdir(parents=True, exist_ok=True)
    # Kernel `python3` must be this environment's, not one of the same name in somebody's home folder.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    arguments = ["--IPKernelApp.log_level=40"]
    if low_priority:
        arguments.append(f"--IPKernelApp.exec_lines={LOWER_PRIORITY}")
    options = {"kernel_name": "python3", "cwd": str(ROOT), "start_timeout": 180, "extra_arguments": arguments}
    options["progress_bar"] = {"desc": bar, "leave": False, "disable": None} if bar else False
    papermill.execute_notebook(str(notebook), str(out), parameters, **options)


def _written_since(started: float, folder: Path) -> list[Path]:
    """List files below a folder that were written since then, but no hidden ones: those are temporary."""
    written = []
    for parent, folders, files in os.walk(folder):  # rglob fails if another process removes a folder
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(parent, name) for name in files if not name.startswith(".")):
            with suppress(FileNotFoundError):  # another process removed it
                if path.stat().st_mtime >= started:
                    written.append(path)
    return written
