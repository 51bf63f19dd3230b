"""Trade with the official TF-CoVR code: fetch its release, export a benchmark of ours.

    python -m tfcovr_utils.benchmark.export download --out DIR
    python -m tfcovr_utils.benchmark.export export --benchmark DIR --out DIR [--embeddings FILE]

`python -m tfcovr_utils.benchmark.benchmark --source released` reads such a release as a benchmark.
"""

import argparse
import sys
from pathlib import Path

from ..sources.release.csv_files import official_name
from ..sources.release.embedding_files import read_embeddings, write_embeddings
from ..sources.release.released import GALLERY, download, export_official
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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tfcovr_utils.benchmark.export", description=__doc__.splitlines()[0]
    )
    actions = parser.add_subparsers(dest="action", required=True)
    fetching, writing = actions.add_parser("download"), actions.add_parser("export")
    writing.add_argument("--benchmark", type=Path, required=True, help="folder of its tables")
    writing.add_argument("--gallery", default=GALLERY, help="whose targets are written")
    writing.add_argument("--embeddings", type=Path, help=".pkl stream, or folder of .pth or .npy")
    for action in (fetching, writing):
        action.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        if options.action == "download":
            download(options.out)
        else:
            loaded = Benchmark.load(options.benchmark)
            export(loaded, options.out, options.gallery, options.embeddings)
    except (OSError, ValueError) as error:  # ConnectionError is an OSError
        sys.exit(str(error))
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
