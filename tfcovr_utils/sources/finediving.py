"""FineDiving: 3,000 dives, from the owners' pickles or from E2E-Spot's JSON of the same.

A dive is known by its code. The procedures beside the codes are noisy: a clip whose procedure contradicts its
code is dropped and counted.
"""

import re
from pathlib import Path

import pandas as pd

from ..labels import label_text, parse_label
from .pickles import read_plain
from .published_files import find_file, read_json
from .source import CLIP_COLUMNS, Source, label_row

ORIGIN = (
    "the FineDiving repository, github.com/xujinglin/FineDiving (released on request for research; "
    "the E2E-Spot project, github.com/jhong93/spot, has them as JSON under MIT)"
)
FPS = 30.0  # of the trimmed frames when they become a video
PICKLES = [
    "FineDiving_coarse_annotation.pkl",
    "FineDiving_fine-grained_annotation.pkl",
    "fine-grained_annotation_aqa.pkl",
]
_ROUND = re.compile(r"_r?\d+$")
_STEP = re.compile(r"(?P<count>[\d.]+) (?P<kind>Twist|Som)s?(?:\.(?P<shape>\w+))?$")
_DIRECTIONS = {"Forward": "forward", "Back": "backward", "Reverse": "reverse", "Inward": "inward"}
_SHAPES = {"Pike": "piked", "Tuck": "tucked", "Straight": "straight"}


def load(folder: Path) -> Source:
    """Read the dives from a folder of annotation files."""
    folder = Path(folder)
    spot = sorted(folder.glob("finediving_spot_*.json"))
    rows = _read_spot(spot) if spot else _read_pickles(folder)
    dives = pd.DataFrame(rows, columns=["video", "index", "code", "n_frames", "steps"])
    dives = dives.drop_duplicates(["video", "index"])
    agrees = [agree(code, steps) for code, steps in zip(dives["code"], dives["steps"])]
    notes = {"finediving_dives_contradicting_their_code": agrees.count(False)}
    dives = dives[agrees].reset_index(drop=True)
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
    labels = [
        label_row(code, label_text(code), "finediving", parse_label(code), "")
        for code in sorted(dives["code"].unique())
    ]
    return Source(clips, pd.DataFrame(labels), notes)


def agree(code: str, steps: list[str]) -> bool:
    """Return whether the steps of a procedure can be the dive of this code.

    Each value of the code must be among the procedure's: dives that twist late list the somersaults before
    and after the twist. Two cases do not contradict: a twist beside a code without one (a known slip of
    the arm-stand dives), and any shape beside position d, which leaves the shape free.

    >>> agree("107b", ["Forward", "3.5 Soms.Pike"]), agree("107b", ["Forward", "3.5 Soms.Tuck"])
    (True, False)
    """
    dive = parse_label(code)
    counted = [match for match in map(_STEP.match, steps) if match]
    saltos = {float(step["count"]) for step in counted if step["kind"] == "Som"}
    twists = {float(step["count"]) for step in counted if step["kind"] == "Twist"}
    shapes = {_SHAPES.get(step["shape"]) for step in counted if step["kind"] == "Som"}
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


def _read_spot(paths: list[Path]) -> list[tuple]:
    rows = []
    for path in paths:
        for dive in read_json(path, list):
            # The files write video__index, the owners video_index.
            video, index = dive["video"].rsplit("__", 1)
            # "Back -> 1 Twist", "1 Twist -> 2 Soms.Pike": the start, then the end of each step.
            links = [event["comment"].split(" -> ") for event in dive["events"]]
            steps = [links[0][0], *(link[-1] for link in links)] if links else []
            rows.append((video, index, dive["_source_info"]["action_type"], dive["num_frames"], steps))
    return rows


def _read_pickles(folder: Path) -> list[tuple]:
    """Read the owners' files; the coarse one alone has codes and lengths."""
    path = find_file(folder, ["finediving_spot_*.json", *PICKLES[::2]], ORIGIN)
    dives = read_plain(path)
    if not isinstance(dives, dict) or not all(isinstance(key, tuple) and len(key) == 2 for key in dives):
        raise ValueError(
            f"{path} holds a {type(dives).__name__}; expected a dict of (video, index) -> dive; take that "
            f"file from {ORIGIN}."
        )
    steps_path = folder / PICKLES[1]
    procedures = read_plain(steps_path) if steps_path.exists() else {}
    rows = []
    for (video, index), dive in dives.items():
        if isinstance(dive, dict):
            code, n_frames = dive["action_type"], dive["end_frame"] - dive["start_frame"] + 1
        else:  # the list of the "aqa" file: code, score, difficulty, steps, a label for each frame
            code, n_frames = dive[0], len(dive[4])
        steps = procedures.get((video, index), {}).get("sub-action_types", {})
        steps = [str(step) for step in (steps.values() if isinstance(steps, dict) else steps)]
        rows.append((str(video), str(index), str(code), int(n_frames), steps))
    return rows
