"""WebVid-CoVR, Dense-WebVid-CoVR and EgoCVR: composed video retrieval by their owners' annotation files."""

from pathlib import Path

import pandas as pd

from .annotated import grouped, read_list, read_rows, tables
from .source import first_file

SMALLEST_GALLERY = 2  # EgoCVR asks no query that has fewer clips to search
_WEBVID = "the dataset lucas-ventura/WebVid-CoVR on the Hugging Face hub (MIT)"
_DENSE = (
    "annotations/ of the dataset omkarthawakar/Dense-WebVid-CoVR on the Hugging Face hub (no licence stated)"
)
_EGOCVR = "github.com/ExplainableML/EgoCVR, whose README links the gallery file"
_FILES = {
    "train": "webvid2m-covr_train.csv",
    "val": "webvid8m-covr_val.csv",
    "test": "webvid8m-covr_test.csv",
}


def read_webvid(folder: Path) -> dict:
    """Read WebVid-CoVR as a Benchmark's fields: a query's one answer is among the targets of its split.

    Of train, val and test, those that are there; one of the latter must be. A clip is `<2M or 8M>/train/<pth>.mp4`.
    WebVid's captions become descriptions.
    """
    return _read_webvid(folder, "webvid-covr", "", _WEBVID)


def read_dense_webvid(folder: Path) -> dict:
    """Read Dense-WebVid-CoVR: as WebVid-CoVR, with long modifications."""
    return _read_webvid(folder, "dense-webvid-covr", "dense-", _DENSE)


def _read_webvid(folder: Path, source: str, prefix: str, origin: str) -> dict:
    files = {split: sorted(Path(folder).rglob(prefix + name)) for split, name in _FILES.items()}
    if not files["val"] and not files["test"]:
        first_file(Path(folder), [prefix + _FILES["test"]], origin)
    parts, clips, told = {}, [], []
    for split, found in files.items():
        if not found:
            continue
        rows = read_rows(found[0], ["pth1", "pth2", "edit"])
        subset = "2M" if split == "train" else "8M"  # the two number their videos each for themselves
        for number in "12":
            rows[f"clip{number}"] = subset + "/" + rows[f"pth{number}"]
            ids = rows[f"clip{number}"]
            clips.append(
                pd.DataFrame(
                    {
                        "clip_id": ids,
                        "split": split,
                        "path": f"{subset}/train/" + rows[f"pth{number}"] + ".mp4",
                    }
                )
            )
            if f"txt{number}" in rows:
                told.append(pd.DataFrame({"clip_id": ids, "text": rows[f"txt{number}"]}))
        parts[split] = rows
    asked = pd.concat(
        [
            pd.DataFrame(
                {
                    "query_id": [f"{split}-{row:06d}" for row in range(len(rows))],
                    "split": split,
                    "query_clip": rows["clip1"],
                    "text": rows["edit"].str.strip(),
                    "target": rows["clip2"],
                }
            )
            for split, rows in parts.items()
            if split != "train"
        ]
    )
    triplets = None
    if "train" in parts:
        columns = {"clip1": "query_clip", "clip2": "target_clip", "edit": "text"}
        triplets = (
            parts["train"]
            .rename(columns=columns)[[*columns.values()]]
            .assign(text=lambda rows: rows["text"].str.strip())
        )
    answers = asked.rename(columns={"target": "clip_id"}).assign(gallery="full")
    return tables(
        source,
        pd.concat(clips),
        asked.drop(columns="target"),
        answers[["gallery", "split", "clip_id"]],
        answers,
        triplets,
        pd.concat(told) if told else None,
        annotations={split: found[0].name for split, found in files.items() if found},
    )


def read_egocvr(folder: Path) -> dict:
    """Read EgoCVR as a Benchmark's fields, with its two galleries, `global` and `local`, each query's as the owners list it.

    A clip is `<video>/<clip>.mp4`. Queries with fewer than `SMALLEST_GALLERY` clips to search have no answers there, since the owners
    leave them out of the mean. Narrations become descriptions.
    """
    folder = Path(folder)
    named = "egocvr_annotations_gallery.csv"
    path = first_file(folder, [named, f"*/{named}", f"*/*/{named}"], _EGOCVR)
    known_path = first_file(path.parent, ["egocvr_data.csv"], _EGOCVR)
    rows = read_rows(path, ["video_clip_id", "target_clip_ids", "instruction", "global_idx", "local_idx"])
    known = read_rows(known_path, ["clip_name", "video_uid", "narration_text"])
    names = known["clip_name"].tolist()
    queries = pd.DataFrame(
        {
            "query_id": [f"test-{row:06d}" for row in range(len(rows))],
            "split": "test",
            "query_clip": rows["video_clip_id"],
            "text": rows["instruction"].str.strip(),
        }
    )
    right = [read_list(path, row, text) for row, text in enumerate(rows["target_clip_ids"])]
    gallery, targets, notes = [], [], {}
    for name in ("global", "local"):
        searched = [
            _names(path, row, read_list(path, row, text), names)
            for row, text in enumerate(rows[f"{name}_idx"])
        ]
        queries[f"{name}_group"], members = grouped(zip(queries["query_clip"], searched), name, "test")
        gallery.append(members)
        few = [len(set(clips)) < SMALLEST_GALLERY for clips in searched]
        targets.append(
            pd.DataFrame(
                [
                    (query, name, clip)
                    for query, clips, skip in zip(queries["query_id"], right, few)
                    if not skip
                    for clip in clips
                ],
                columns=["query_id", "gallery", "clip_id"],
                dtype=str,
            )
        )
        notes |= {
            f"{name}_galleries_too_small": sum(few),
            f"{name}_galleries_with_the_query": sum(
                own in clips for own, clips in zip(queries["query_clip"], searched)
            ),
        }
    video = known["video_uid"]
    clips = pd.DataFrame(
        {
            "clip_id": names,
            "split": "test",
            "path": video + "/" + known["clip_name"] + ".mp4",
            "source_video": video,
        }
    )
    described = pd.DataFrame({"clip_id": names, "text": known["narration_text"].str.strip()})
    return tables(
        "egocvr",
        clips,
        queries,
        pd.concat(gallery),
        pd.concat(targets),
        descriptions=described,
        annotations={"test": path.name},
        notes=notes,
    )


def _names(path: Path, row: int, places: list[int], names: list[str]) -> list[str]:
    strange = [place for place in places if not isinstance(place, int) or not 0 <= place < len(names)]
    if strange:
        raise ValueError(
            f"{path}, row {row + 1}: gallery index {strange[0]!r} is none of the {len(names)} clips of egocvr_data.csv; "
            "take both files from one version."
        )
    return [names[place] for place in places]
