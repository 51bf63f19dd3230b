"""Index a folder and embed its clips from the command line, with progress."""

from pathlib import Path

from .index import Indexed, find_folder
from .session import Session

CHUNK = 512  # clips between two words on how far it is


def embed_folder(folder: Path, profile: str, methods: list[str], seed: int = 0) -> Indexed:
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
