"""Verbs that people work with: index and explore clips, run the notebooks, publish a run."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from ..profiles import ROOT
from .verb import SEED, option, profile, verb

SOURCE = option("--source", default="mini", help="which benchmark: mini, smoke, sim, tfcovr and others")


@verb(
    "index",
    "make a folder of clips searchable; files that have not changed are not read again",
    option("folder", type=Path, help="folder of video files, subfolders included"),
    profile(),
    option(
        "--method", nargs="+", default=["clip-avg-zs"], metavar="NAME", help="rows that shall find the clips"
    ),
    SEED,
)
def index(options: argparse.Namespace) -> None:
    """Index a folder and embed its clips."""
    from ..explorer.folders import embed_folder

    embed_folder(options.folder, options.profile, options.method, options.seed)


@verb(
    "explore",
    "open the retrieval explorer as a page of its own, on this machine only",
    option("--folder", type=Path, nargs="+", default=[], help="folders of your own that the page may open"),
)
def explore(options: argparse.Namespace) -> int:
    """Serve notebook 09 with Voila."""
    from ..explorer.index import find_folder
    from ..explorer.paths import FOLDERS

    notebook = next((ROOT / "notebooks").glob("*_retrieval_explorer.ipynb"))
    folders = os.pathsep.join(str(find_folder(folder)) for folder in options.folder)
    command = [sys.executable, "-m", "voila", str(notebook), "--Voila.ip=127.0.0.1"]
    return subprocess.run(command, env=os.environ | ({FOLDERS: folders} if folders else {})).returncode


@verb(
    "reproduce",
    "run the notebooks in order into runs/; what is up to date is left out",
    SOURCE,
    option(
        "--seeds",
        "--seed",
        dest="seeds",
        type=int,
        nargs="+",
        default=[0],
        help="seeds of the training; each but 0 gets a folder seed-N",
    ),
    option("--only", nargs="+", default=[], metavar="NN", help="notebooks, by number or part of their name"),
    option(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a notebook parameter",
    ),
    option("--force", action="store_true", help="also run what is up to date"),
)
def reproduce(options: argparse.Namespace) -> int:
    """Run notebooks; name those that failed."""
    from ..reproduce.run import reproduce as run

    failed = run(options.source, options.seeds, options.only, dict(options.parameters), options.force)
    for name, why in failed.items():
        print(f"{name}: {why}", file=sys.stderr)
    return int(bool(failed))


@verb("publish", "put a run's executed notebooks, figures and tables where the repository shows them", SOURCE)
def publish(options: argparse.Namespace) -> None:
    """Publish a run."""
    from ..reproduce.publish import publish_run

    print("published", *publish_run(options.source), sep="\n  ")
