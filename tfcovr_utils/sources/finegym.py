"""FineGym: sub-action clips of gymnastics videos, from the element lists its owners publish.

The ids of the lists hold whole seconds only, so one clip in fifteen seems to last 0 s; where
`finegym_annotation_info_v1.1.json` is at hand the exact times are read from it.
"""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ..labels import parse_label
from .source import CLIP_COLUMNS, Source, first_file, label_row

ORIGIN = "the FineGym project site, sdolivia.github.io/FineGym (CC BY-NC 4.0, without checksums)"
# A video id is 11 characters that may hold - and _ themselves.
_CLIP_ID = r"^(?P<video>.{11})_(?P<event>E_(\d+)_(\d+))_(?P<action>A_(\d+)_(\d+))$"
_CATEGORY = re.compile(r"(?:[CG]label:)?\s*(\d+);\s*set:\s*(\d+);\s*(?:Glabel:\s*\d+;\s*)?(\(.*)")


def load(folder: Path, categories: str = "gym288") -> Source:
    """Read the clips and labels of gym288 (or gym99, gym530) from a folder of annotation files."""
    labels = _read_categories(first_file(folder, [f"{categories}_categories.txt"], ORIGIN))
    lists = [
        first_file(folder, [f"{categories}_train_element_v*.txt"], ORIGIN),
        first_file(folder, [f"{categories}_val_element*.txt"], ORIGIN),
    ]
    rows = pd.concat([_read_elements(path) for path in lists], ignore_index=True)
    unknown = set(rows["label_id"]) - set(labels["label_id"])
    if unknown:
        raise ValueError(
            f"labels {sorted(unknown)[:5]} of the {categories} element lists are not in "
            f"{categories}_categories.txt; take both from the same release."
        )
    clips = rows.drop_duplicates("clip_id", ignore_index=True)
    clips, exact = _with_times(clips, folder / "finegym_annotation_info_v1.1.json")
    notes = {
        "finegym_repeated_rows": len(rows) - len(clips),
        "finegym_clips_without_exact_times": int((~exact).sum()),
        "finegym_clips_of_zero_seconds": int((clips["end_s"] <= clips["start_s"]).sum()),
    }
    clips = clips.assign(dataset="finegym", split="", path="finegym/" + clips["clip_id"] + ".mp4")
    return Source(clips[CLIP_COLUMNS], labels, notes)


def _read_categories(path: Path) -> pd.DataFrame:
    rows = []
    for line in path.read_text("utf-8").splitlines():
        match = _CATEGORY.search(line)
        if not match:
            raise ValueError(
                f"{path}: {line!r} is not a category line such as "
                f"'Clabel: 0; set: 1; Glabel: 0; (VT) ...'; get the file again."
            )
        label_id, group, text = match.groups()
        text = " ".join(text.split())
        rows.append(label_row(label_id, text, "finegym", parse_label(text), group))
    return pd.DataFrame(rows)


def _read_elements(path: Path) -> pd.DataFrame:
    # As strings: the labels are ids, and dive codes share their column later.
    rows = pd.read_csv(path, sep=r"\s+", names=["clip_id", "label_id"], dtype=str)
    parts = rows["clip_id"].str.extract(_CLIP_ID)
    if parts["video"].isna().any() or rows["label_id"].isna().any():
        broken = rows[parts["video"].isna() | rows["label_id"].isna()].iloc[0].tolist()
        raise ValueError(
            f"{path}: {broken} is not a clip id and its label; a clip id looks like "
            f"'0LtLS9wROrk_E_002407_002435_A_0003_0005'."
        )
    seconds = parts[[2, 3, 5, 6]].set_axis(["event_start", "event_end", "start", "end"], axis=1)
    seconds = seconds.astype(float)
    return rows.assign(
        source_video=parts["video"],
        event=parts["event"],
        action=parts["action"],
        event_start=seconds["event_start"],
        start_s=seconds["event_start"] + seconds["start"],
        end_s=seconds["event_start"] + seconds["end"],
    )


def _with_times(clips: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Put the exact times in, and say for which clips there were any."""
    if not path.exists():
        return clips, np.zeros(len(clips), dtype=bool)
    videos = json.loads(path.read_text("utf-8"))
    keys = clips[["source_video", "event", "action"]].to_numpy()
    spans = [_exact_span(videos, *key) for key in keys]
    exact = np.array(spans, dtype=float).reshape(-1, 2)
    known = ~np.isnan(exact[:, 0])
    times = np.where(known[:, None], exact, clips[["start_s", "end_s"]].to_numpy())
    return clips.assign(start_s=times[:, 0], end_s=times[:, 1]), known


def _exact_span(videos: dict, video: str, event_id: str, action_id: str) -> tuple[float, float]:
    """Seconds in the long video; an action in several phases spans them all."""
    event = videos.get(video, {}).get(event_id, {})
    stamps = ((event.get("segments") or {}).get(action_id) or {}).get("timestamps")
    if not stamps:
        return np.nan, np.nan
    offset = event["timestamps"][0][0]
    return offset + min(start for start, _ in stamps), offset + max(end for _, end in stamps)
