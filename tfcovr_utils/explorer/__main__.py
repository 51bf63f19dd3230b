"""The explorer's command: make a folder of clips searchable.

    python -m tfcovr_utils.explorer index FOLDER

Files that were looked at and embedded before and have not changed are not read again; a run that was stopped goes on.
"""

import argparse
import sys
from pathlib import Path

from ..methods import METHODS, NotRun
from ..profiles import PROFILES
from .index import Indexed, find_folder
from .session import FIRST_METHOD, Session

CHUNK = 512  # clips between two words on how far it is


def index(folder: Path, profile: str, methods: list[str], seed: int = 0) -> Indexed:
    """Index a folder and embed its clips for some methods, saying what is taken, what is left out and why."""
    session = Session.of_folders(profile, seed)
    name, indexed = session.open_path(
        str(find_folder(folder)), lambda sentence: print(f"  {sentence}", flush=True)
    )
    print(indexed)
    for method in methods:
        fitted, clips, unread = session.fit(method), session.members(name), []
        for start in range(0, len(clips), CHUNK):
            part = clips[start : start + CHUNK]
            finite = fitted.embed_gallery(part).isfinite().all(1)
            unread += [clip for clip, ok in zip(part, finite) if not ok]
            if len(clips) > CHUNK:
                print(f"  {min(start + CHUNK, len(clips))} of {len(clips)} clips embedded", flush=True)
        print(
            f"{method}: {len(clips) - len(unread)} clips can be found, {len(unread)} could not be embedded.",
            *unread,
            sep="\n  ",
        )
    return indexed


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tfcovr_utils.explorer", description=__doc__.splitlines()[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("index", help="make a folder of clips searchable, or bring it up to date")
    command.add_argument("folder", type=Path)
    command.add_argument(
        "--profile", choices=PROFILES, default="mini", help="whose frames and weights are taken"
    )
    command.add_argument(
        "--method",
        nargs="+",
        choices=METHODS,
        default=[FIRST_METHOD],
        metavar="NAME",
        help="methods that shall find the clips",
    )
    command.add_argument("--seed", type=int, default=0, help="of methods that were trained")
    options = parser.parse_args(arguments)
    try:
        index(options.folder, options.profile, options.method, options.seed)
    except (OSError, ValueError, NotRun) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
