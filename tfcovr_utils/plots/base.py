"""Shared by all figures: the style, rows of panels, saving, and clips as rows of frames."""

from functools import wraps
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from ..machine.files import replacing

# matplotlib's defaults come first, so that the reader's own settings do not change a figure.
STYLE = ["default", Path(__file__).parent / "tfcovr.mplstyle"]
COLUMN, PAGE = 3.4, 7.0  # widths in inches of one column and of the page
THUMBNAIL = 64  # pixels a side of a frame on a contact sheet
SCREEN_DPI = 120  # pixels an inch in a notebook
# Each apparatus has one colour and one name in every figure.
APPARATUS_COLOURS = {"FX": "#0072B2", "BB": "#E69F00", "UB": "#009E73", "VT": "#CC79A7", "DV": "#56B4E9"}
APPARATUS_COLOURS[""] = "#666666"  # labels in free words
APPARATUS_NAMES = {"FX": "floor", "BB": "beam", "UB": "bars", "VT": "vault", "DV": "diving", "": "clips"}
UNDATED = {"pdf": {"CreationDate": None, "ModDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
CENTRED = {"ha": "center", "va": "center"}


def styled(function):
    """Apply the style file around a plot function, so that import order cannot change a figure."""

    @wraps(function)
    def wrapped(*args, **kwargs):
        with plt.style.context(STYLE):
            figure = function(*args, **kwargs)
        plt.close(figure)  # otherwise a notebook shows it twice: as the cell's value and as an open figure
        return figure

    return wrapped


def make_panels(count: int, width: float = PAGE, height: float = 1.9, **options) -> tuple[Figure, list[Axes]]:
    """Make a figure, in inches, with a row of panels."""
    figure, axes = plt.subplots(1, count, figsize=(width, height), squeeze=False, **options)
    return figure, list(axes[0])


def unique(values: pd.Series) -> list:
    """List the values in the order of their first occurrence."""
    return list(dict.fromkeys(values))


def legend_of_panels(figure: Figure, ax: Axes, **options) -> None:
    """Draw one legend for all panels, with the labels of one; by default it is right of them."""
    place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.55)}
    figure.legend(*ax.get_legend_handles_labels(), **(place | options))


def save_figure(figure: Figure, name: str, table: pd.DataFrame, folder: Path) -> list[Path]:
    """Write the figure as PDF, SVG and PNG, and the table that it was drawn from as CSV; return the paths."""
    paths = [Path(folder) / f"{name}.{kind}" for kind in (*UNDATED, "csv")]
    for path, metadata in zip(paths, UNDATED.values()):
        with replacing(path) as temporary, plt.style.context(STYLE):
            figure.savefig(temporary, metadata=metadata)
            if path.suffix == ".png":  # 256 colours look the same and take a third of the bytes
                png = Image.open(temporary).convert("RGB").quantize(256, dither=Image.Dither.NONE)
                png.save(temporary, optimize=True)
    with replacing(paths[-1]) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return paths


@styled
def contact_sheet(rows: dict[str, np.ndarray], frames: int = 12) -> Figure:
    """Draw clips, uint8 (T, H, W, 3) by name, as rows of square frames, evenly spaced over time."""
    sheet = np.concatenate([film_strip(clip, frames) for clip in rows.values()], 0)
    width, height, margin = sheet.shape[1] / SCREEN_DPI, sheet.shape[0] / SCREEN_DPI, 2.0
    figure = plt.figure(figsize=(margin + width, height), dpi=SCREEN_DPI)
    ax = figure.add_axes([margin / (margin + width), 0, width / (margin + width), 1])
    ax.imshow(sheet, interpolation="nearest", aspect="auto")  # one pixel of the sheet is one of the picture
    ax.set_yticks((np.arange(len(rows)) + 0.5) * THUMBNAIL, list(rows))
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


def film_strip(clip: np.ndarray, frames: int) -> np.ndarray:
    """Set frames of a clip, uint8 (T, H, W, 3), side by side, evenly spaced over time."""
    places = ((np.arange(frames) + 0.5) * len(clip) / frames).astype(int)
    return np.concatenate([_thumbnail(frame) for frame in clip[places]], 1)


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    """Shrink a frame, in 32 levels a channel: the finer grain would be most of a PNG's bytes."""
    if frame.shape[:2] != (THUMBNAIL, THUMBNAIL):
        frame = np.asarray(Image.fromarray(frame).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS))
    return frame // 8 * 8 + 4
