"""Trade with the official TF-CoVR code: fetch its release, export a benchmark of ours.

    tfcovr fetch release --out DIR
    tfcovr export release --benchmark DIR --out DIR [--embeddings FILE]

`tfcovr build --source released` reads such a release as a benchmark.
"""

from pathlib import Path

from ..sources.release.csv_files import official_name
from ..sources.release.embedding_files import read_embeddings, write_embeddings
from ..sources.release.released import export_official
from .benchmark import Benchmark

VIDEOS = "FineGD_videos"


def export(benchmark: Benchmark, folder: Path, gallery: str, embeddings: Path | None) -> None:
    """Write what the official code needs: its CSVs, and embeddings in both of its layouts.

    Even from embeddings that code numbers clips by the names it finds in a folder of videos, so a
    file without content goes there for each.
    """
    export_official(benchmark, folder, gallery)
    if embeddings is not None:
        read = read_embeddings(embeddings)
        write_embeddings(read, folder, embeddings.stem)
        (folder / VIDEOS).mkdir(exist_ok=True)
        for clip_id in read:
            (folder / VIDEOS / f"{official_name(clip_id)}.mp4").touch()
