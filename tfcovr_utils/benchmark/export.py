"""A benchmark of ours as the files that the official TF-CoVR code (and `build --source released`) reads."""

from pathlib import Path

from ..sources.release.csv_files import official_name
from ..sources.release.embedding_files import read_embeddings, write_embeddings
from ..sources.release.released import export_official
from .benchmark import Benchmark

VIDEOS = "FineGD_videos"


def export(benchmark: Benchmark, folder: Path, gallery: str, embeddings: Path | None) -> None:
    """Write the official code's CSVs, and embeddings in both of its layouts.

    It takes the clips' names from a folder of videos even if it reads embeddings: each gets an empty file.
    """
    export_official(benchmark, folder, gallery)
    if embeddings is not None:
        read = read_embeddings(embeddings)
        write_embeddings(read, folder, embeddings.stem)
        (folder / VIDEOS).mkdir(exist_ok=True)
        for clip_id in read:
            (folder / VIDEOS / f"{official_name(clip_id)}.mp4").touch()
