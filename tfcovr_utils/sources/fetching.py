"""What others publish on the Hugging Face hub, and how to get it: size and terms first, then the files."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..labels.word_tables import read_rows


@dataclass(frozen=True)
class Part:
    """A part of a dataset on the hub."""

    dataset: str
    files: str  # pattern of names
    size: str  # as its card states it
    terms: str


PARTS = {name: Part(*values) for name, *values in read_rows(Path(__file__).with_suffix(".csv"))}


def describe(name: str, folder: Path) -> str:
    """Say what would be fetched, its size, its terms, and the disk that is free."""
    part = PARTS[name]
    place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(place).free / 1e9
    return f"{part.dataset}, {part.size} ({part.terms}), into {folder}, where {free:.0f} GB are free."


def fetch(name: str, folder: Path) -> Path:
    """Fetch a part; files that are there already are kept, and an interrupted download resumes."""
    from huggingface_hub import snapshot_download  # slow to import, and seldom needed

    part = PARTS[name]
    options = {"repo_type": "dataset", "local_dir": folder, "allow_patterns": [part.files]}
    try:
        return Path(snapshot_download(part.dataset, **options))
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise PermissionError(
                f"{part.dataset} answers {status}: log in with `hf auth login`, accept the terms on its "
                "page, and give the same command again; what was fetched before is kept."
            ) from error
        command = (
            f"hf download {part.dataset} --repo-type dataset --include '{part.files}' --local-dir tfcovr"
        )
        raise ConnectionError(
            f"{part.dataset} could not be fetched from the Hugging Face hub ({type(error).__name__}); where "
            f"there is a network, run `{command}`, and copy that folder to {folder}."
        ) from error
