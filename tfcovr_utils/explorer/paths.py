"""Paths that a person types: read as they are pasted, and kept inside the folders named at the start."""

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

FOLDERS = "TFCOVR_FOLDERS"  # further folders that the page may open, separated as in $PATH


def allowed_folders(clips_dir: Path | None, named: Iterable[str | Path]) -> list[Path]:
    """List what the page may open: the benchmark's clips, the folders named, and those of $TFCOVR_FOLDERS."""
    given = [clips_dir, *named, *os.environ.get(FOLDERS, "").split(os.pathsep)]
    return list(dict.fromkeys(Path(folder).expanduser().resolve() for folder in given if folder))


def within(path: Path, allowed: list[Path]) -> Path:
    """Return a path's full form; one that leads out of the allowed folders, also by a link, is refused."""
    full = path.resolve()
    if not any(full.is_relative_to(folder) for folder in allowed):
        known = ", ".join(map(str, allowed)) or "none"
        advice = "start with `tfcovr explore --folder FOLDER`, or Explorer(session, folders=[FOLDER])"
        raise ValueError(f"{path} is outside the folders this page may open ({known}); {advice}.")
    return full


def typed_path(typed: str) -> Path:
    """Read a path as people paste it: with blanks or quotes around it, or as file://; it has to exist."""
    text, advice = typed.strip(), "give the path of a clip or of a folder of clips"
    if text[:1] in ("'", '"') and text[1:].endswith(text[:1]):
        text = text[1:-1].strip()
    if text.startswith("file://"):
        text = url2pathname(urlsplit(text).path)
    if not text:
        raise ValueError(f"no path is given; {advice}.")
    path = Path(text).expanduser()
    try:
        found = "\0" not in text and path.exists()
    except PermissionError:
        raise ValueError(f"{text!r} may not be read by this user; {advice}.") from None
    if not found:
        raise ValueError(f"{text!r} does not exist; {advice}.")
    return path
