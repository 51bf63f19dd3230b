"""FineDiving: 3,000 dives, from the owners' pickles or from E2E-Spot's JSON of the same.

A dive is known by its code. The procedures beside the codes are noisy; a clip whose procedure says
another dive than its code is dropped and counted.
"""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from ..labels import Attributes, label_text, parse_label
from .pickles import read_plain_pickle
from .source import CLIP_COLUMNS, Source, first_file, label_row

ORIGIN = (
    "the FineDiving repository, github.com/xujinglin/FineDiving (released on request for research; "
    "the E2E-Spot project, github.com/jhong93/spot, has them as JSON under MIT)"
)
FPS = 30.0  # of the trimmed frames once they are made into a video
PICKLES = [
    "FineDiving_coarse_annotation.pkl",
    "FineDiving_fine-grained_annotation.pkl",
    "fine-grained_annotation_aqa.pkl",
]
_ROUND = re.compile(r"_r?\d+$")
_STEP = re.compile(r"(?P<count>[\d.]+) (?P<kind>Twist|Som)s?(?:\.(?P<shape>\w+))?$")
_DIRECTIONS = {"Forward": "forward", "Back": "backward", "Reverse": "reverse", "Inward": "inward"}
_SHAPES = {"Pike": "piked", "Tuck": "tucked", "Straight": "straight"}


def load(folder: Path, frames: Path | None = None) -> Source:
    """Read the dives from a folder of annotation files.

    `frames` is the owners' folder of trimmed frames (`<video>/<index>/<number>.jpg`); with it the
    lengths are counted there, and dives whose folder is missing or empty are dropped and counted.
    """
    spot = sorted(folder.glob("finediving_spot_*.json"))
    dives = _read_spot(spot) if spot else _read_pickles(folder)
    dives = dives.drop_duplicates(["video", "index"])
    agrees = [agree(code, steps) for code, steps in zip(dives["code"], dives["steps"])]
    notes = {"finediving_dives_contradicting_their_code": len(dives) - sum(agrees)}
    dives = dives[agrees].reset_index(drop=True)
    if frames is not None:
        counted = [_count_frames(frames / v / i) for v, i in zip(dives["video"], dives["index"])]
        notes["finediving_dives_without_frames"] = counted.count(0)
        dives = dives.assign(n_frames=counted)[np.array(counted) > 0].reset_index(drop=True)
    clips = pd.DataFrame(
        {
            "clip_id": dives["video"] + "_" + dives["index"],
            "dataset": "finediving",
            # The rounds of one competition session show the same divers in the same hall.
            "source_video": dives["video"].str.replace(_ROUND, "", regex=True),
            "label_id": dives["code"],
            "split": "",
            "start_s": 0.0,
            "end_s": dives["n_frames"] / FPS,
            "path": "finediving/" + dives["video"] + "/" + dives["index"],
        },
        columns=CLIP_COLUMNS,
    )
    rows = [
        label_row(code, label_text(code), "finediving", parse_label(code), "")
        for code in sorted(dives["code"].unique())
    ]
    return Source(clips, pd.DataFrame(rows), notes)


def agree(code: str, steps: list[str]) -> bool:
    """Say whether a procedure can be the dive of this code.

    The code's value must be among those the procedure gives: dives twisting late list the
    somersaults before and after. A twist told of a dive whose code has none is a known slip of the
    arm-stand dives, and position d leaves the shape free, so neither contradicts.
    """
    dive: Attributes = parse_label(code)
    told = [match for match in map(_STEP.match, steps) if match]
    saltos = {float(step["count"]) for step in told if step["kind"] == "Som"}
    twists = {float(step["count"]) for step in told if step["kind"] == "Twist"}
    shapes = {_SHAPES.get(step["shape"]) for step in told if step["kind"] == "Som"}
    starts = {
        (_DIRECTIONS[name], step.startswith("Arm."))
        for step in steps
        if (name := step.removeprefix("Arm.")) in _DIRECTIONS
    }
    return (
        (not starts or (dive.direction, dive.armstand) in starts)
        and (not saltos or dive.saltos in saltos)
        and (not steps or not dive.rotation or dive.rotation in twists)
        and (not shapes or code.endswith("d") or shapes == {dive.shape})
    )


def _read_spot(paths: list[Path]) -> pd.DataFrame:
    rows = []
    for path in paths:
        for dive in json.loads(path.read_text("utf-8")):
            # The files write video__index, the owners video_index.
            video, index = dive["video"].rsplit("__", 1)
            # "Back -> 1 Twist", "1 Twist -> 2 Soms.Pike": where it starts, then where each ends.
            links = [event["comment"].split(" -> ") for event in dive["events"]]
            steps = [links[0][0], *(link[-1] for link in links)] if links else []
            code = dive["_source_info"]["action_type"]
            rows.append((video, index, code, dive["num_frames"], steps))
    return pd.DataFrame(rows, columns=["video", "index", "code", "n_frames", "steps"])


def _read_pickles(folder: Path) -> pd.DataFrame:
    """Read what is there of the owners' files; the coarse one has codes and lengths by itself."""
    main = first_file(folder, ["finediving_spot_*.json", *PICKLES[::2]], ORIGIN)
    fine_path = folder / PICKLES[1]
    procedures = read_plain_pickle(fine_path) if fine_path.exists() else {}
    rows = []
    for (video, index), dive in _as_dict(read_plain_pickle(main), main).items():
        if isinstance(dive, dict):
            code, n_frames = dive["action_type"], dive["end_frame"] - dive["start_frame"] + 1
        else:
            # The list of the "aqa" file: code, score, difficulty, steps, a label for each frame.
            code, n_frames = dive[0], len(dive[4])
        named = procedures.get((video, index), {}).get("sub-action_types", {})
        steps = list(named.values() if isinstance(named, dict) else named)
        rows.append((str(video), str(index), str(code), int(n_frames), [*map(str, steps)]))
    return pd.DataFrame(rows, columns=["video", "index", "code", "n_frames", "steps"])


def _as_dict(content: object, path: Path) -> dict:
    keys_fit = isinstance(content, dict) and all(isinstance(key, tuple) and len(key) == 2 for key in content)
    if not keys_fit:
        raise ValueError(
            f"{path} holds a {type(content).__name__} and not a dict of (video, index) -> dive; "
            f"take the file named so from {ORIGIN}."
        )
    return content


def _count_frames(folder: Path) -> int:
    return sum(1 for _ in folder.glob("*.jpg"))
