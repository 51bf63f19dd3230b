"""A person's own clips: a folder of videos, or a CSV that says where in which video each clip is.

Nothing is cut here: a row with times names a clip that `tfcovr_utils.video.cutting` makes.
"""

import unicodedata
from pathlib import Path

import pandas as pd

from ..labels import Attributes, parse_label
from ..profiles import SPLITS
from ..video import VideoError, probe
from ..video.listing import VIDEO_SUFFIXES, list_videos
from .source import CLIP_COLUMNS, LABEL_COLUMNS, Source, label_row

CUT_FOLDER = "cut"  # beside the videos: where clips that a CSV gives times for belong
END_TOLERANCE_S = 0.1  # an end this much past the video is its end
_HEADER = "path,start,end,label"


def load(path: Path, durations: dict[str, float | str] | None = None) -> Source:
    """Read a folder of clips, subfolders included, or a CSV of `path,start,end,label`.

    In a folder a clip's label is the name of the folder it lies in, "" at the top. In a CSV paths
    are relative to the CSV, times are seconds, and no times mean the whole file; a column `split`
    (train, val or test in every row) is kept. A clip's source is the stem of its file, so what is
    cut from one video, or has one name in two folders, never stands in two splits. Files that
    cannot be read are named in the notes and left out. `durations`: what `read_duration` gave before,
    by path; files in it are not opened again.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give a folder of videos or a CSV of {_HEADER}.")
    root = path if path.is_dir() else path.parent
    rows = _rows_of_folder(root) if path.is_dir() else _rows_of_csv(path)
    kept, notes = _readable(rows, root, durations or {})
    if not kept:
        raise ValueError(
            f"{path} names no video that can be read, out of {len(rows)}; expected files such as "
            f"{', '.join(sorted(VIDEO_SUFFIXES))}, and the first trouble is "
            f"{next(iter(notes), 'that there are none')!r}."
        )
    clips = pd.DataFrame(kept)
    clips = clips.assign(clip_id=_unique(clips["clip_id"]), dataset="folder")
    is_cut = clips.pop("is_cut")
    clips["path"] = clips["path"].mask(is_cut, CUT_FOLDER + "/" + clips["clip_id"] + ".mp4")
    texts = sorted(set(clips["label_id"]) - {""})
    labels = [label_row(text, text, "folder", read_attributes(text), "") for text in texts]
    return Source(clips[CLIP_COLUMNS], pd.DataFrame(labels, columns=LABEL_COLUMNS), notes)


def read_attributes(text: str) -> Attributes:
    """Parse a label where it is a FineGym text or a dive code; any other text is a skill of its own."""
    try:
        return parse_label(text)
    except ValueError:
        return Attributes(apparatus="", family="", base=text)


def _rows_of_folder(root: Path) -> list[dict]:
    paths = [path.relative_to(root) for path in list_videos(root)]
    return [
        {"path": path.as_posix(), "label": path.parent.name, "start": "", "end": "", "split": ""}
        for path in paths
    ]


def _rows_of_csv(path: Path) -> list[dict]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not a CSV in UTF-8 ({error}); its first line must be {_HEADER}."
        ) from error
    if "path" not in table:
        raise ValueError(f"{path} has columns {', '.join(table)}; its first line must be {_HEADER}.")
    table = table.reindex(columns=["path", "start", "end", "label", "split"], fill_value="")
    table = table.apply(lambda column: column.str.strip())
    wrong = table[~table["split"].isin(SPLITS)]
    if len(wrong) and (table["split"] != "").any():
        raise ValueError(
            f"{path}, row {wrong.index[0] + 1}: split {wrong['split'].iloc[0]!r} is not one of "
            f"{', '.join(SPLITS)}; fill the column in every row or leave it out."
        )
    for column in ("start", "end"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = table[(table[column] != "") & ~(numbers >= 0)]
        if len(wrong):
            raise ValueError(
                f"{path}, row {wrong.index[0] + 1}: {column} {wrong[column].iloc[0]!r} is not a time; "
                f"write seconds such as 12.5, or nothing."
            )
    return table.to_dict("records")


def _readable(
    rows: list[dict], root: Path, known: dict[str, float | str]
) -> tuple[list[dict], dict[str, int]]:
    """Clips of the rows whose file can be read; every other is a note."""
    clips, notes = [], {}
    durations = dict(known)
    for row in rows:
        if row["path"] not in durations:
            durations[row["path"]] = read_duration(root, row["path"])
        found = durations[row["path"]]
        clip = _clip(row, found) if isinstance(found, float) else found
        if isinstance(clip, dict):
            clips.append(clip)
        else:
            notes[f"folder_left_out: {clip}"] = notes.get(f"folder_left_out: {clip}", 0) + 1
    return clips, notes


def read_duration(root: Path, path: str) -> float | str:
    """How long a video is in seconds, or the sentence that says why it cannot be used."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return f"{path!r} is not named in UTF-8; rename it."
    try:
        info = probe(root / path)
    except VideoError as error:
        return str(error).replace(str(root / path), path)
    return info.duration_s if info.fault is None else info.fault.replace(str(root / path), path)


def _clip(row: dict, duration_s: float) -> dict | str:
    name = row["path"]
    start_s = float(row["start"] or 0)
    end_s = float(row["end"] or duration_s)
    if not start_s < end_s <= duration_s + END_TOLERANCE_S:
        return f"{name} lasts {duration_s:.3f} s, so [{start_s:g}, {end_s:g}) is no clip of it; correct the times."
    is_cut = bool(row["start"] or row["end"])
    file = Path(name)
    clip_id = file.with_suffix("").as_posix().strip("/").replace("/", "__")
    if is_cut:
        clip_id += f"_{round(start_s * 1000):07d}_{round(end_s * 1000):07d}"
    return {
        "clip_id": unicodedata.normalize("NFC", clip_id),
        "source_video": unicodedata.normalize("NFC", file.stem),
        "label_id": " ".join(unicodedata.normalize("NFC", row["label"]).split()),
        "split": row["split"],
        "start_s": start_s,
        "end_s": min(end_s, duration_s),
        "path": name,
        "is_cut": is_cut,
    }


def _unique(names: pd.Series) -> list[str]:
    """Number names that several clips share: a, a~2, a~3."""
    given: dict[str, None] = {}
    for name in names:
        place, own = 1, name
        while own in given:
            place += 1
            own = f"{name}~{place}"
        given[own] = None
    return list(given)
