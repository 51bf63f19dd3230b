"""Index a folder and embed its clips from the command line, with progress."""

from pathlib import Path

from .index import Indexed, find_folder
from .session import Session

CHUNK = 512  # clips between two lines of progress


def embed_folder(folder: Path, profile: str, methods: list[str], seed: int = 0) -> Indexed:
    """Index a folder and embed its clips for some methods; print what is taken, what is left out and why."""
    session = Session.of_folders(profile, seed)
    name, indexed = session.open_path(str(find_folder(folder)), lambda text: print(f"  {text}", flush=True))
    print(indexed)
    for method in methods:
        fitted, clips, unread = session.fit(method), session.members(name), []
        for start in range(0, len(clips), CHUNK):
            part = clips[start : start + CHUNK]
            finite = fitted.embed_gallery(part).isfinite().all(1)
            unread += [clip for clip, ok in zip(part, finite) if not ok]
            if len(clips) > CHUNK:
                print(f"  {start + len(part)} of {len(clips)} clips embedded", flush=True)
        found = f"{len(clips) - len(unread)} clips can be found, {len(unread)} could not be embedded"
        print(f"{method}: {found}.", *unread, sep="\n  ")
    return indexed
