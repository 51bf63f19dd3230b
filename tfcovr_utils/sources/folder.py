"""A person's own clips: a folder of videos, or a CSV that says where in which video each clip is.

Nothing is cut here: `tfcovr cut` cuts the clips of rows that have times.
"""

import unicodedata
from collections import Counter
from pathlib import Path

import pandas as pd

from ..labels import Attributes, parse_label
from ..profiles import SPLITS
from ..video import VideoError, probe
from ..video.listing import VIDEO_SUFFIXES, list_videos
from .published_files import read_csv
from .source import CLIP_COLUMNS, LABEL_COLUMNS, Source, label_row

CUT_FOLDER = "cut"  # beside the videos, for the clips that are cut from them
END_TOLERANCE_S = 0.1  # an end this much past the video's means the video's end
_COLUMNS = ["path", "start", "end", "label", "split"]
_HEADER = "path,start,end,label"


def load(path: Path, durations: dict[str, float | str] | None = None) -> Source:
    """Read a folder of clips, subfolders included, or a CSV of `path,start,end,label`.

    In a folder a clip's label is the name of its own folder, "" at the top. In a CSV paths are relative to
    the CSV, times are in seconds, a row without times means the whole file, and a column `split` (train, val
    or test in every row) is kept. A clip's source is the stem of its file: clips of one video, or of files
    with one name in two folders, share a split. Unreadable files are left out and named in the notes.
    `durations` holds earlier results of `read_duration` by path; those files are not opened again.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give a folder of videos or a CSV of {_HEADER}.")
    root = path if path.is_dir() else path.parent
    rows = _rows_of_folder(root) if path.is_dir() else _rows_of_csv(path)
    durations = dict(durations or {})
    clips, left_out = [], Counter()
    for row in rows:
        name = row["path"]
        if name not in durations:
            durations[name] = read_duration(root, name)
        clip = _make_clip(row, durations[name]) if isinstance(durations[name], float) else durations[name]
        if isinstance(clip, dict):
            clips.append(clip)
        else:
            left_out[f"folder_left_out: {clip}"] += 1
    if not clips:
        raise ValueError(
            f"{path} names {len(rows)} videos and none can be read ({next(iter(left_out), 'no such file')}); "
            f"expected files such as {', '.join(sorted(VIDEO_SUFFIXES))}."
        )
    used = set()
    for clip in clips:
        clip["clip_id"] = _unused(clip["clip_id"], used)
        if clip["is_cut"]:
            clip["path"] = f"{CUT_FOLDER}/{clip['clip_id']}.mp4"
    texts = sorted({clip["label_id"] for clip in clips} - {""})
    labels = [label_row(text, text, "folder", read_attributes(text), "") for text in texts]
    table = pd.DataFrame(clips).assign(dataset="folder")[CLIP_COLUMNS]
    return Source(table, pd.DataFrame(labels, columns=LABEL_COLUMNS), dict(left_out))


def read_attributes(text: str) -> Attributes:
    """Parse a FineGym text or a dive code; any other text is a skill of its own."""
    try:
        return parse_label(text)
    except ValueError:
        return Attributes(apparatus="", family="", base=text)


def read_duration(root: Path, path: str) -> float | str:
    """Return a video's length in seconds, or the sentence that says why it cannot be used."""
    try:
        path.encode()
        if not (root / path).resolve().is_relative_to(root.resolve()):
            return f"{path} is a link that leaves the folder; copy the file there."
        info = probe(root / path)
    except UnicodeEncodeError:
        return f"{path!r} is not named in UTF-8; rename it."
    except VideoError as error:
        return str(error).replace(str(root / path), path)
    return info.duration_s if info.fault is None else info.fault.replace(str(root / path), path)


def _rows_of_folder(root: Path) -> list[dict]:
    paths = [path.relative_to(root) for path in list_videos(root)]
    return [dict(zip(_COLUMNS, (path.as_posix(), "", "", path.parent.name, ""))) for path in paths]


def _rows_of_csv(path: Path) -> list[dict]:
    table = read_csv(path, ["path"], f"its first line must be {_HEADER}")
    table = table.reindex(columns=_COLUMNS, fill_value="").apply(lambda column: column.str.strip())
    wrong = {"split": ~table["split"].isin(SPLITS) & (table["split"] != "").any()}
    for column in ("start", "end"):
        wrong[column] = (table[column] != "") & ~(pd.to_numeric(table[column], errors="coerce") >= 0)
    for column, rows in wrong.items():
        if rows.any():
            idx = rows.idxmax()
            advice = (
                f"one of {', '.join(SPLITS)}; fill the column in every row or leave it out"
                if column == "split"
                else "a time; write seconds such as 12.5, or nothing"
            )
            raise ValueError(f"{path}, row {idx + 1}: {column} {table[column][idx]!r} is not {advice}.")
    return table.to_dict("records")


def _make_clip(row: dict, duration_s: float) -> dict | str:
    """Return the row of one clip, or the sentence that says why it is none."""
    path = Path(row["path"])
    start_s, end_s = float(row["start"] or 0), float(row["end"] or duration_s)
    if not start_s < end_s <= duration_s + END_TOLERANCE_S:
        return (
            f"{path} lasts {duration_s:.3f} s, so [{start_s:g}, {end_s:g}) is not in it; correct the times."
        )
    is_cut = bool(row["start"] or row["end"])
    clip_id = path.with_suffix("").as_posix().strip("/").replace("/", "__")
    if is_cut:
        clip_id += f"_{round(start_s * 1000):07d}_{round(end_s * 1000):07d}"
    return {
        "clip_id": unicodedata.normalize("NFC", clip_id),
        "source_video": unicodedata.normalize("NFC", path.stem),
        "label_id": " ".join(unicodedata.normalize("NFC", row["label"]).split()),
        "split": row["split"],
        "start_s": start_s,
        "end_s": min(end_s, duration_s),
        "path": row["path"],
        "is_cut": is_cut,
    }


def _unused(name: str, used: set[str]) -> str:
    """Number a name that other clips have too: a, a~2, a~3."""
    number, own = 1, name
    while own in used:
        number += 1
        own = f"{name}~{number}"
    used.add(own)
    return own
