"""Run the notebooks in order with papermill, each into `runs/<profile>/`, never onto itself."""
import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import papermill
from papermill.exceptions import PapermillExecutionError

from .profiles import ROOT, get_profile, runs_dir

NOTEBOOKS = ROOT / "notebooks"


def select_notebooks(only: list[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """Notebooks in order; `only` names some by their number or a part of their name."""
    notebooks = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    for wanted in only:
        if not any(wanted in path.stem for path in notebooks):
            raise ValueError(f"--only {wanted!r} matches no notebook; there are {', '.join(path.stem for path in notebooks)}.")
    return [path for path in notebooks if not only or any(wanted in path.stem for wanted in only)]


def resolve_parameters(notebooks: list[Path], given: dict, always: dict) -> dict[Path, dict]:
    """Parameters each notebook gets. papermill only warns of an unknown one; here it is refused before any run."""
    declared = {path: set(papermill.inspect_notebook(str(path))) for path in notebooks}
    known = set().union(*declared.values())
    for name in given:
        if name not in known:
            raise ValueError(f"parameter {name!r} is not declared by any chosen notebook; known are {', '.join(sorted(known))}.")
    return {path: {name: value for name, value in {**always, **given}.items() if name in declared[path]} for path in notebooks}


def parse_value(text: str):
    """A command line's value as the literal a parameters cell would hold: 1e-4 is a number here (in YAML it is not)."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False, "none": None}.get(text.lower(), text)


def run_notebook(notebook: Path, out: Path, parameters: dict) -> None:
    """Execute one notebook; a failing cell raises PapermillExecutionError with the cell in it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    # Kernel `python3` must be this environment's, not one of the same name in somebody's home folder.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    papermill.execute_notebook(str(notebook), str(out), parameters=parameters, kernel_name="python3", cwd=str(ROOT),
                               progress_bar=False, start_timeout=180)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tfcovr_utils.reproduce", description=__doc__)
    parser.add_argument("--profile", default="mini")
    parser.add_argument("--seeds", "--seed", dest="seeds", type=int, nargs="+", default=[0],
                        help="of the training; each but 0 goes to a folder seed-N of its own")
    parser.add_argument("--only", nargs="+", default=[], metavar="NN")
    parser.add_argument("-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    options = parser.parse_args(arguments)
    try:
        profile = get_profile(options.profile)
        notebooks = select_notebooks(options.only)
        given = {name: parse_value(value) for name, value in options.parameters}
        plan = [(notebook, parameters, seed) for seed in options.seeds
                for notebook, parameters in resolve_parameters(notebooks, given, {"profile": profile.name, "seed": seed}).items()]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    folder = runs_dir(replace(profile, render_seed=given.get("render_seed", 0)), given.get("source", "mini"))
    for number, (notebook, parameters, seed) in enumerate(plan, 1):
        out = (folder / f"seed-{seed}" if seed else folder) / notebook.name
        print(f"[{number}/{len(plan)}] {notebook.stem} {parameters}", flush=True)
        start = time.monotonic()
        try:
            run_notebook(notebook, out, parameters)
        except PapermillExecutionError as error:
            print(f"{notebook.stem}: cell {error.cell_index} failed with {error.ename}: {error.evalue}\n{error.source}\n"
                  f"The run so far is in {os.path.relpath(out)}.", file=sys.stderr)
            return 1
        print(f"      {time.monotonic() - start:.0f} s -> {os.path.relpath(out)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
