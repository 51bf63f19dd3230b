"""Rows of a table, trained and scored side by side."""
from dataclasses import replace
from pathlib import Path

from .evaluation import run
from .methods import METHODS, Setting
from .workers import side_by_side


def run_rows(settings: dict[str, Setting], protocols: list[str], results_dir: Path, method: str | None = None, recalls: bool = False) -> None:
    """`run` each row in its setting, by its name; begin with those that take longest.

    method: what all rows are, where their names are not the methods' own. recalls: write BSE-CoVR's files beside the weights.
    """
    side_by_side(_run_row, [(name, method or name, setting, protocols, results_dir, recalls) for name, setting in settings.items()])


def _run_row(name: str, method: str, setting: Setting, protocols: list[str], results_dir: Path, recalls: bool) -> None:
    # By its name, since a copy of a method from another process is no longer known as a registered one.
    run(replace(METHODS[method], name=name), setting, protocols, results_dir, recalls_dir=setting.folder if recalls else None)
