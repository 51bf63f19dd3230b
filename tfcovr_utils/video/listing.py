"""The videos in a folder, by their suffix."""

from pathlib import Path

VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif"}


def list_videos(folder: Path) -> list[Path]:
    """List the videos in a folder and below, in order; hidden files and folders are left out."""
    found = [path for path in Path(folder).rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES]
    hidden = {path for path in found if any(part[0] == "." for part in path.relative_to(folder).parts)}
    return sorted(path for path in found if path not in hidden and not path.is_dir())
