"""One notebook to run: its parameters, what it declares, what it is made from, and why it must run again."""

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

import nbformat
import papermill

from ..machine.files import read_json
from ..machine.hashing import PACKAGE, hash_files_below, hash_rooms, hash_text, versions
from ..profiles import ROOT, annotations_dir, clips_dir
from ..study import RENDERED
from ..video.hashes import version_if_any
from ..video.listing import list_videos

NOTEBOOKS = ROOT / "notebooks"
NUMBERED = "[0-9][0-9]_*"
UNREAD_ROOMS = {"explorer", "reproduce", "cli"}  # their code decides no notebook's results
COMMITTED = ("modifications", "paper", "weights")  # folders of data/ that notebooks read


@dataclass(frozen=True)
class Declared:
    """What a notebook declares in its metadata, under `tfcovr`. A part of a name names other notebooks."""

    reads: list[str] = ()  # notebooks whose results it shows: if they change, it runs again
    needs: list[str] = ()  # notebooks that it also reads, and cannot run without
    writes: list[str] = ()  # patterns of its files in the run's folder, beside those with its number
    joins: list[str] = ()  # "seeds", "renderings": it also shows those of the notebooks it reads and its own
    concurrent: bool = False  # it may run at the same time as others, once those that it reads have run
    outputs: bool = True  # its outputs are published; those of widgets cannot be shown


def read_declared(notebook: Path) -> Declared:
    """Read what a notebook declares."""
    metadata = nbformat.read(notebook, as_version=4).metadata.get("tfcovr", {})
    if unknown := set(metadata) - set(Declared.__dataclass_fields__):
        known = ", ".join(Declared.__dataclass_fields__)
        raise ValueError(f"{notebook.name} declares {min(unknown)!r}; expected some of {known}.")
    return Declared(**metadata)


@dataclass(frozen=True)
class Step:
    """One notebook to run."""

    notebook: Path
    parameters: dict
    folder: Path  # of the run: `runs/mini`
    seed: int

    @property
    def out(self) -> Path:
        """The executed notebook."""
        return (self.folder / f"seed-{self.seed}" if self.seed else self.folder) / self.notebook.name

    @property
    def name(self) -> str:
        """Its name and its seed; no other step of a run has both."""
        return self.notebook.stem + (f" seed {self.seed}" if self.seed else "")

    @property
    def record(self) -> dict:
        """What its last complete run was made from and wrote; empty if there is none."""
        path = self.out.with_suffix(".json")
        return read_json(path) if path.exists() else {}

    @cached_property
    def declared(self) -> Declared:
        """What its metadata declares."""
        return read_declared(self.notebook)

    def reads(self, notebook: str) -> bool:
        """Whether it reads the results of a notebook."""
        return any(part in notebook for part in (*self.declared.reads, *self.declared.needs))

    def owns(self, path: Path) -> bool:
        """Whether a file of the run is this notebook's, by its number or by what is declared."""
        if fnmatch(path.name, NUMBERED):
            return path.name[:3] == self.notebook.name[:3]
        relative = path.relative_to(self.folder).as_posix()
        return any(fnmatch(relative, pattern) for pattern in self.declared.writes)


def select_notebooks(only: list[str], folder: Path | None = None) -> list[Path]:
    """List notebooks in order; `only` names some by their number or a part of their name."""
    notebooks = sorted((folder or NOTEBOOKS).glob(f"{NUMBERED}.ipynb"))
    for part in only:
        if not any(part in path.stem for path in notebooks):
            known = ", ".join(path.stem for path in notebooks)
            raise ValueError(f"--only {part!r} matches no notebook; there are {known}.")
    return [path for path in notebooks if not only or any(part in path.stem for part in only)]


def resolve_parameters(notebooks: list[Path], given: dict, always: dict) -> dict[Path, dict]:
    """Return each notebook's parameters. Unknown names and wrong types are errors; papermill only warns."""
    declared = {path: papermill.inspect_notebook(str(path)) for path in notebooks}
    known = set().union(*declared.values())
    for name, value in given.items():
        if name not in known:
            names = ", ".join(sorted(known))
            raise ValueError(f"parameter {name!r} is not declared by any chosen notebook; known are {names}.")
        for parameters in declared.values():
            if name in parameters:
                _check_type(name, value, ast.literal_eval(parameters[name]["default"]))
    values = always | given
    return {
        path: {name: value for name, value in values.items() if name in parameters}
        for path, parameters in declared.items()
    }


def _check_type(name: str, value, default) -> None:
    if value is None or default is None:
        return
    expected = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, expected) or isinstance(value, bool) != isinstance(default, bool):
        kind = type(default).__name__
        raise ValueError(f"parameter {name!r} is {value!r}; expected a {kind}, such as {default!r}.")


def parse_value(text: str):
    """Read a command line's value as the literal that a parameters cell would hold; other texts stay texts.

    >>> parse_value("1e-4"), parse_value("true"), parse_value("mini"), parse_value("[0, 0.5]")
    (0.0001, True, 'mini', [0, 0.5])
    """
    try:
        return ast.literal_eval(text.capitalize() if text.lower() in ("true", "false", "none") else text)
    except (ValueError, SyntaxError):
        return text


def read_inputs(step: Step) -> dict[str, str]:
    """Hash what a notebook is made from, by the name that a message gives it."""
    cells = nbformat.read(step.notebook, as_version=4).cells
    rooms = sorted({path.name for path in PACKAGE.iterdir()} - UNREAD_ROOMS)
    inputs = {
        "its cells": hash_text(str([cell.source for cell in cells])),
        "its parameters": hash_text(str(step.parameters)),
        "the libraries": hash_text(str(versions())),
        "the package": hash_rooms(*rooms),
    }
    inputs |= {f"data/{name}": hash_text(str(hash_files_below(ROOT / "data" / name))) for name in COMMITTED}
    if step.parameters.get("source", "mini") not in RENDERED:
        annotations = hash_files_below(annotations_dir(step.parameters.get("annotations")))
        inputs["the annotations"] = hash_text(str(annotations))
        videos = list_videos(clips_dir(step.parameters.get("clips")))
        inputs["the clips"] = hash_text(str([(str(path), version_if_any(path)) for path in videos]))
    return inputs


def read_earlier(step: Step) -> dict[str, str]:
    """Hash the inputs of the notebooks that one reads, also of the seeds and renderings that it joins."""
    own = step.notebook.stem
    records = [path for path in step.out.parent.glob(f"{NUMBERED}.json") if step.reads(path.stem)]
    for folder in _joined_folders(step):
        records += [p for p in folder.glob(f"{NUMBERED}.json") if p.stem == own or step.reads(p.stem)]
    names = {path: os.path.relpath(path.with_suffix(""), step.folder) for path in sorted(records)}
    return {name: hash_text(str(read_json(path)["inputs"])) for path, name in names.items()}


def _joined_folders(step: Step) -> Iterator[Path]:
    """List folders of other seeds and renderings. Seed 0 joins all; another rendering joins the first."""
    if "seeds" in step.declared.joins and not step.seed:
        yield from step.folder.glob("seed-*")
    if "renderings" in step.declared.joins:
        first = step.folder.with_name(step.folder.name.partition("-render")[0])
        others = [] if step.seed else first.parent.glob(f"{first.name}-render*")
        for folder in [first] if step.folder != first else others:
            yield folder
            yield from folder.glob("seed-*")


def why_again(step: Step) -> str | None:
    """Say why a notebook must run; None if it is up to date."""
    record = step.record
    if not record or not step.out.exists():
        return "new"
    now = {**read_inputs(step), **read_earlier(step)}
    then = {**record["inputs"], **record["before"]}
    for name in {**then, **now}:
        if then.get(name) != now.get(name):
            return f"{name} changed"
    return next((f"{name} is gone" for name in record["wrote"] if not (step.folder / name).exists()), None)
