"""Figures: the same bytes for the same data, whatever ran before, and pixels of clips shown as they are."""
import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tfcovr_utils import plots

COUNTS = pd.DataFrame({"dataset": ["a"] * 3 + ["b"] * 2, "label_id": list("vwxyz"), "event": ["FX", "FX", "BB", "DV", "DV"],
                       "family": ["salto", "leap", "salto", "dive", "dive"], "text": list("vwxyz"), "clips": [9, 4, 1, 7, 2]})
PROBES = pd.DataFrame({"probe": ["one", "all"], "count": ["twists", "twists"], "accuracy": [.3, .9], "chance": [.3, .3], "clips": [50, 50]})
PAIRS = pd.DataFrame({"source_label": ["v", "w"], "target_label": ["w", "x"], "kind": ["temporal", "event"], "tier": [1, 3]})
FIGURES = {
    "label_counts": lambda: plots.label_counts(COUNTS),
    "label_tree": lambda: plots.label_tree(COUNTS),
    "probe_accuracy": lambda: plots.probe_accuracy(PROBES),
    "label_graph": lambda: plots.label_graph(PAIRS, COUNTS),
    "similarity_map": lambda: plots.similarity_map(np.eye(5), COUNTS),
    "pipeline": lambda: plots.pipeline([("clips", "5"), ("texts", "3")]),
    "text_lengths": lambda: plots.text_lengths(pd.DataFrame({"set": ["a"] * 4, "words": [3, 4, 4, 6]}), {"min": 2, "mean": 6.1, "max": 19}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_data_gives_the_same_bytes(name, tmp_path):
    first = [path.read_bytes() for path in plots.save_figure(FIGURES[name](), name, COUNTS, tmp_path / "a")]
    with plt.style.context("dark_background"):  # somebody else's style must not reach ours
        again = plots.save_figure(FIGURES[name](), name, COUNTS, tmp_path / "b")
    assert [path.suffix for path in again] == [".pdf", ".svg", ".png", ".csv"]
    assert first == [path.read_bytes() for path in again]
    assert np.asarray(Image.open(tmp_path / "a" / f"{name}.png").convert("L")).std() > 5  # something is drawn


def test_a_plot_leaves_no_trace():
    before = dict(plt.rcParams)
    plots.label_counts(COUNTS)
    assert dict(plt.rcParams) == before and plt.get_fignums() == []


def test_a_contact_sheet_shows_pixels_as_they_are():
    """A pixel of a clip is one pixel of the sheet, off by half a level of the 32 at most."""
    clip = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3)).astype(np.uint8)
    png = io.BytesIO()
    plots.contact_sheet({"a clip": clip}).savefig(png, dpi=plots.SCREEN_DPI)
    sheet = np.asarray(Image.open(png).convert("RGB")).astype(int)[:, -12 * 64:]
    assert sheet.shape == (64, 768, 3)
    assert np.abs(sheet - np.concatenate(list(clip), 1)).max() <= 4


def test_text_stays_text(tmp_path):
    paths = plots.save_figure(plots.pipeline([("clips", "6,726 clips")]), "x", COUNTS, tmp_path)
    assert "6,726 clips" in paths[1].read_text()
