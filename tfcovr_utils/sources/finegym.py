"""FineGym: sub-action clips of gymnastics videos, from the element lists that its owners publish.

The ids of the lists hold whole seconds only, so one clip in fifteen seems to last 0 s. Exact times come from
`finegym_annotation_info_v1.1.json` where that file is there.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from ..labels import parse_label
from .published_files import bad_file, find_file, read_json
from .source import CLIP_COLUMNS, Source, label_row

ORIGIN = "the FineGym project site, sdolivia.github.io/FineGym (CC BY-NC 4.0, without checksums)"
# A video id has 11 characters, - and _ among them.
_EVENT, _ACTION = r"(?P<event>E_(?P<event_s>\d+)_\d+)", r"(?P<action>A_(?P<first_s>\d+)_(?P<last_s>\d+))"
_CLIP_ID = rf"^(?P<source_video>.{{11}})_{_EVENT}_{_ACTION}$"
_CATEGORY = re.compile(r"(?:[CG]label:)?\s*(\d+);\s*set:\s*(\d+);\s*(?:Glabel:\s*\d+;\s*)?(\(.*)")


def load(folder: Path) -> Source:
    """Read the clips and labels of gym288 from a folder of annotation files."""
    labels = _read_categories(find_file(folder, ["gym288_categories.txt"], ORIGIN))
    lists = ["gym288_train_element_v*.txt", "gym288_val_element*.txt"]
    rows = pd.concat([_read_elements(find_file(folder, [name], ORIGIN)) for name in lists], ignore_index=True)
    unknown = set(rows["label_id"]) - set(labels["label_id"])
    if unknown:
        raise ValueError(
            f"labels {sorted(unknown)[:5]} of the gym288 element lists are not in gym288_categories.txt; "
            "take both from the same release."
        )
    clips = rows.drop_duplicates("clip_id", ignore_index=True)
    times_path = Path(folder) / "finegym_annotation_info_v1.1.json"
    videos = read_json(times_path, dict) if times_path.exists() else {}
    keys = clips[["source_video", "event", "action"]].to_numpy()
    spans = [_exact_span(videos, *key) for key in keys]
    exact = pd.DataFrame(spans, columns=["start_s", "end_s"], dtype=float)
    clips = clips.assign(**exact.fillna(clips[["start_s", "end_s"]]))
    notes = {
        "finegym_repeated_rows": len(rows) - len(clips),
        "finegym_clips_without_exact_times": int(exact["start_s"].isna().sum()),
        "finegym_clips_of_zero_seconds": int((clips["end_s"] <= clips["start_s"]).sum()),
    }
    clips = clips.assign(dataset="finegym", split="", path="finegym/" + clips["clip_id"] + ".mp4")
    return Source(clips[CLIP_COLUMNS], labels, notes)


def _read_categories(path: Path) -> pd.DataFrame:
    rows = []
    for line in path.read_text("utf-8").splitlines():
        match = _CATEGORY.search(line)
        if not match:
            problem = "is not a category line such as 'Clabel: 0; set: 1; Glabel: 0; (VT) ...'"
            raise bad_file(f"{path}: {line!r}", problem)
        text = " ".join(match[3].split())
        rows.append(label_row(match[1], text, "finegym", parse_label(text), match[2]))
    return pd.DataFrame(rows)


def _read_elements(path: Path) -> pd.DataFrame:
    # As text: the labels are ids.
    rows = pd.read_csv(path, sep=r"\s+", names=["clip_id", "label_id"], dtype=str)
    parts = rows["clip_id"].str.extract(_CLIP_ID)
    broken = rows[parts["event"].isna() | rows["label_id"].isna()]
    if len(broken):
        raise ValueError(
            f"{path}: {broken.iloc[0].tolist()} is not a clip id and its label; a clip id looks like "
            "'0LtLS9wROrk_E_002407_002435_A_0003_0005'."
        )
    event_s = parts["event_s"].astype(float)
    start_s, end_s = (event_s + parts[name].astype(float) for name in ("first_s", "last_s"))
    return rows.assign(**parts[["source_video", "event", "action"]], start_s=start_s, end_s=end_s)


def _exact_span(videos: dict, video: str, event_id: str, action_id: str) -> tuple[float, float]:
    """Return seconds in the long video, NaN where unknown; an action in several phases spans them all."""
    event = videos.get(video, {}).get(event_id, {})
    stamps = ((event.get("segments") or {}).get(action_id) or {}).get("timestamps")
    if not stamps:
        return np.nan, np.nan
    offset = event["timestamps"][0][0]
    return offset + min(start for start, _ in stamps), offset + max(end for _, end in stamps)
