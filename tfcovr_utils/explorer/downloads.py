"""Exports of the explorer: a figure, the ranking as CSV, the reel, and a cell that repeats the session."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

from ..machine.files import replacing
from ..plots import contact_sheet, save_figure
from ..plots.tables import plain_cells
from ..video import VideoError, read_clip
from .cards import MARKS
from .reel import write_reel
from .session import Answer, Session

FRAMES = 12  # of a clip on a figure
ROWS = 12  # clips on a figure


def ranking_table(session: Session, answers: list[Answer]) -> pd.DataFrame:
    """Join rankings into one table, with what was asked, and each clip's file and its times in its source."""
    asked = {"method": "method", "query_clip": "query_clip", "modification": "text", "gallery": "gallery"}
    tables = [
        answer.ranking.assign(**{name: getattr(answer, of) for name, of in asked.items()})
        for answer in answers
    ]
    table = pd.concat(tables, ignore_index=True)
    times = session.setting.benchmark.clips.set_index("clip_id")[["start_s", "end_s"]]
    return table.join(session.clips["path"], on="clip_id").join(times, on="clip_id")


def write_csv(session: Session, answers: list[Answer], path: Path) -> Path:
    """Write `ranking_table` as CSV."""
    with replacing(path) as temporary:
        plain_cells(ranking_table(session, answers)).to_csv(temporary, index=False, lineterminator="\n")
    return Path(path)


def write_figure(session: Session, answer: Answer, name: str, folder: Path) -> list[Path]:
    """Write the query and its first clips as rows of frames, grey where unreadable, and their CSV."""
    rows = {}
    if answer.query_clip is not None:
        label = session.clips.at[answer.query_clip, "label"] or answer.query_clip
        rows[f"query: {textwrap.shorten(label, 60)}"] = _frames(session, answer.query_clip)
    for row in answer.ranking.head(ROWS).itertuples():
        title = f"{row.rank} {MARKS[row.right]} {textwrap.shorten(row.label or row.clip_id, 60)}"
        rows[" ".join(title.split())] = _frames(session, row.clip_id)
    figure = contact_sheet({textwrap.fill(key, 30): frames for key, frames in rows.items()}, FRAMES)
    return save_figure(figure, name, plain_cells(ranking_table(session, [answer])), folder)


def write_highlights(session: Session, answer: Answer, path: Path) -> dict[str, str]:
    """Write the ranked clips as one mp4; return what could not be read, and why."""
    rows = answer.ranking.itertuples()
    captions = [(row.clip_id, f"{row.rank}   {row.label or row.clip_id}") for row in rows]
    return write_reel(path, [(session.clips.at[clip, "path"], caption) for clip, caption in captions])


def write_cell(session: Session, answers: list[Answer]) -> str:
    """Write Python that opens the same session and asks the same again; it ends in the rankings."""
    lines = ["from tfcovr_utils.explorer import Session", "", f"session = {session.made_by}"]
    lines += [f"session.open_path({path!r})" for path in session.library.opened]
    for number, answer in enumerate(answers, 1):
        asked = f"{answer.query_clip!r}, {answer.text!r}, method={answer.method!r}"
        options = f"gallery={answer.gallery!r}, k={answer.k}, hide_source={answer.hide_source}"
        lines.append(f"answer_{number} = session.ask({asked}, {options})")
    lines.append(", ".join(f"answer_{number}.ranking" for number in range(1, len(answers) + 1)))
    return "\n".join(lines) + "\n"


def _frames(session: Session, clip_id: str) -> np.ndarray:
    try:
        return read_clip(session.clips.at[clip_id, "path"], "centre", FRAMES)
    except VideoError:
        return np.full((1, 64, 64, 3), 128, np.uint8)
