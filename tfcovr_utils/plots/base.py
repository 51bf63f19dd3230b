"""What all figures share: the style, how one is saved, and clips as rows of frames."""

from functools import wraps
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from ..machine.files import replacing

STYLE = [
    "default",
    Path(__file__).parent / "tfcovr.mplstyle",
]  # ours over matplotlib's own, not over whatever is set
COLUMN, PAGE = 3.4, 7.0  # widths in inches of one column and of the page
THUMBNAIL, SCREEN_DPI = 64, 120  # pixels of a frame on a contact sheet, pixels an inch in a notebook
# An apparatus keeps its colour and its name in every figure.
APPARATUS_COLOURS = {"FX": "#0072B2", "BB": "#E69F00", "UB": "#009E73", "VT": "#CC79A7", "DV": "#56B4E9"}
APPARATUS_NAMES = {"FX": "floor", "BB": "beam", "UB": "bars", "VT": "vault", "DV": "diving"}


def styled(function):
    """Apply the style file around a plot function, so that import order cannot change a figure."""

    @wraps(function)
    def wrapped(*args, **kwargs):
        with plt.style.context(STYLE):
            figure = function(*args, **kwargs)
        plt.close(figure)  # a notebook shows what a cell returns, and not once more what is still open
        return figure

    return wrapped


def save_figure(figure: Figure, name: str, table: pd.DataFrame, folder: Path) -> list[Path]:
    """Write PDF, SVG and PNG and the CSV the figure was drawn from; return the paths."""
    undated = {
        "pdf": {"CreationDate": None, "ModDate": None},
        "svg": {"Date": None},
        "png": {"Software": None},
    }
    paths = [Path(folder) / f"{name}.{kind}" for kind in (*undated, "csv")]
    for path, metadata in zip(paths, undated.values()):
        with replacing(path) as temporary, plt.style.context(STYLE):
            figure.savefig(temporary, metadata=metadata)
            if path.suffix == ".png":  # in few colours: nothing to the eye, and a third of the bytes
                Image.open(temporary).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
                    temporary, optimize=True
                )
    with replacing(paths[-1]) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return paths


@styled
def contact_sheet(rows: dict[str, np.ndarray], frames: int = 12) -> Figure:
    """Clips as rows of square frames: name -> uint8 (T, H, W, 3), `frames` of each evenly over time. One picture in all."""
    pictures = [clip[((np.arange(frames) + 0.5) * len(clip) / frames).astype(int)] for clip in rows.values()]
    sheet = np.concatenate([np.concatenate([thumbnail(frame) for frame in clip], 1) for clip in pictures], 0)
    width, height, margin = sheet.shape[1] / SCREEN_DPI, sheet.shape[0] / SCREEN_DPI, 2.0
    figure = plt.figure(figsize=(margin + width, height), dpi=SCREEN_DPI)
    ax = figure.add_axes([margin / (margin + width), 0, width / (margin + width), 1])
    ax.imshow(sheet, interpolation="nearest", aspect="auto")  # a pixel of the clip is a pixel of the picture
    ax.set_yticks((np.arange(len(rows)) + 0.5) * THUMBNAIL, list(rows))
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """A frame at THUMBNAIL pixels in 32 levels a channel: the grain that is lost would be most of a PNG's bytes."""
    if frame.shape[:2] != (THUMBNAIL, THUMBNAIL):
        frame = np.asarray(Image.fromarray(frame).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS))
    return frame // 8 * 8 + 4
