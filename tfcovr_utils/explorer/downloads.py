"""What leaves the explorer: the grid as a figure, the ranking as CSV, the reel, and the session as a cell that repeats it."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

from ..machine.files import replacing
from ..plots import contact_sheet, save_figure
from ..video import VideoError, read_clip
from .reel import write_reel
from .session import Answer, Session

FRAMES = 12  # of a clip on a figure
ROWS = 12  # clips on a figure
MARKS = {True: "✓", False: "✗", None: ""}


def ranking_table(answers: list[Answer]) -> pd.DataFrame:
    """Rankings under each other, with what was asked."""
    return pd.concat(
        [
            answer.ranking.assign(
                method=answer.method,
                query_clip=answer.query_clip,
                modification=answer.text,
                gallery=answer.gallery,
            )
            for answer in answers
        ],
        ignore_index=True,
    )


def write_csv(answers: list[Answer], path: Path) -> Path:
    """Write `ranking_table` as CSV."""
    with replacing(path) as temporary:
        ranking_table(answers).to_csv(temporary, index=False, lineterminator="\n")
    return Path(path)


def write_figure(session: Session, answer: Answer, name: str, folder: Path) -> list[Path]:
    """Write the query and its first clips as rows of frames, as PDF, SVG, PNG and the CSV; clips that cannot be read are grey."""
    rows = {}
    if answer.query_clip is not None:
        rows[f"query: {_label(session, answer.query_clip)}"] = _frames(session, answer.query_clip)
    for row in answer.ranking.head(ROWS).itertuples():
        name = " ".join(
            f"{row.rank} {MARKS[row.right]} {textwrap.shorten(row.label or row.clip_id, 60)}".split()
        )
        rows[name] = _frames(session, row.clip_id)
    figure = contact_sheet({textwrap.fill(key, 30): frames for key, frames in rows.items()}, FRAMES)
    return save_figure(figure, name, ranking_table([answer]), folder)


def write_highlights(session: Session, answer: Answer, path: Path) -> dict[str, str]:
    """Write the ranked clips as one mp4; return what could not be read, and why."""
    ranked = answer.ranking
    return write_reel(
        path,
        [
            (session.clips.at[clip, "path"], f"{rank}   {label or clip}")
            for rank, clip, label in zip(ranked["rank"], ranked["clip_id"], ranked["label"])
        ],
    )


def write_cell(session: Session, answers: list[Answer]) -> str:
    """Write Python that opens the same session and asks the same again; it ends in the rankings."""
    lines = ["from tfcovr_utils.explorer import Session", "", f"session = {session.made_by}"]
    lines += [f"session.open_path({path!r})" for path in session.opened]
    names = []
    for answer in answers:
        names.append(f"answer_{len(names) + 1}")
        lines.append(
            f"{names[-1]} = session.ask({answer.query_clip!r}, {answer.text!r}, method={answer.method!r}, "
            f"gallery={answer.gallery!r}, "
            f"k={answer.k}, hide_source={answer.hide_source})"
        )
    return "\n".join([*lines, ", ".join(f"{name}.ranking" for name in names)]) + "\n"


def _label(session: Session, clip_id: str) -> str:
    return textwrap.shorten(session.clips.at[clip_id, "label"] or clip_id, 60)


def _frames(session: Session, clip_id: str) -> np.ndarray:
    try:
        return read_clip(session.clips.at[clip_id, "path"], "centre", FRAMES)
    except VideoError:
        return np.full((1, 64, 64, 3), 128, np.uint8)
