"""Figures: the same bytes for the same data, whatever ran before, and pixels of clips shown as they are."""

import io
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from tfcovr_utils import plots
from tfcovr_utils.methods import METHODS

COUNTS = pd.DataFrame(
    {
        "dataset": ["a"] * 3 + ["b"] * 2,
        "label_id": list("vwxyz"),
        "event": ["FX", "FX", "BB", "DV", "DV"],
        "family": ["salto", "leap", "salto", "dive", "dive"],
        "text": list("vwxyz"),
        "clips": [9, 4, 1, 7, 2],
    }
)
PROBES = pd.DataFrame(
    {
        "probe": ["one", "all"],
        "count": ["twists", "twists"],
        "accuracy": [0.3, 0.9],
        "chance": [0.3, 0.3],
        "clips": [50, 50],
    }
)
PAIRS = pd.DataFrame(
    {"source_label": ["v", "w"], "target_label": ["w", "x"], "kind": ["temporal", "event"], "tier": [1, 3]}
)
SCORES = pd.DataFrame(
    {
        "method": ["random", "clip"],
        "group": ["control", "zero-shot"],
        "mAP@50": [1.2, 9.0],
        "mAP@50 low": [1.0, 8.0],
        "mAP@50 high": [1.5, 10.0],
    }
)
CURVE = pd.DataFrame(
    {
        "step": [1, 2, 1, 2],
        "loss": [3.0, 2.0, 4.0, 1.0],
        "val": [0.1, 0.2, 0.1, 0.4],
        "beta": ["0", "0", ".5", ".5"],
    }
)
READ = pd.DataFrame(
    {
        "encoder": ["a", "a", "b", "b"],
        "attribute": ["shape", "saltos"] * 2,
        "accuracy": [50.0, 60.0, 70.0, 80.0],
        "commonest": [40.0, 30.0] * 2,
    }
)
GRID = pd.DataFrame(
    {"method": ["a", "a", "b", "b"], "factor": ["shape", "saltos"] * 2, "mAP@50": [1.0, 2.0, 3.0, 4.0]}
)
TARGETS = pd.DataFrame({"split": "test", "gallery": ["capped", "full"] * 2, "targets": [3, 4, 5, 9]})
POINTS = pd.DataFrame({"encoder": ["a", "b"], "x": [0.0, 1.0], "y": [1.0, 0.0], "group": ["0", "1"]})
WRONG = pd.DataFrame(
    {
        "method": ["random", "clip-mlp-1"] * 2,
        "distance": [0, 1, 2, 5],
        "factor": ["saltos"] * 2 + ["rotation"] * 2,
        "step": [-1.0, 1.0, 0.5, -0.5],
    }
)
MISSES = pd.DataFrame(
    {
        "method": ["random", "clip-mlp-1"] * 2,
        "factor": "shape",
        "asked": [True, True, False, False],
        "queries": 5,
        "missed": [80.0, 20.0, 5.0, 0.0],
    }
)
COSTS = pd.DataFrame(
    {
        "what": ["a search"] * 4 + ["an epoch"],
        "design": ["memory", "disk"] * 2 + ["cached"],
        "against": "plain",
        "of": "clips",
        "size": [10, 10, 1000, 1000, 5],
        "seconds": [0.01, 0.02, 0.1, 0.3, 9.0],
        "plain seconds": [0.1, 0.1, 9.0, 9.0, 90.0],
        "peak MiB": [0.0, 1.0, 5.0, 1.0, 3.0],
        "plain peak MiB": [1.0, 1.0, 100.0, 100.0, 7.0],
    }
)
CELLS = pd.DataFrame(
    {
        "row": [0, 0, 1, 1],
        "column": [0, 1, 0, 1],
        "above": ["“show it”", "", "", ""],
        "heading": ["query", "a rule", "rank 1", "rank 1"],
        "caption": ["a label", "words beside", "a long label " * 9, "lost"],
        "verdict": ["", "", "right", "wrong"],
        "clip_id": ["q", "", "r", "gone"],
    }
)
CLIPS = {name: np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3)).astype(np.uint8) for name in "qr"}
FIGURES = {
    "label_counts": lambda: plots.label_counts(COUNTS),
    "label_tree": lambda: plots.label_tree(COUNTS),
    "probe_accuracy": lambda: plots.probe_accuracy(PROBES),
    "label_graph": lambda: plots.label_graph(PAIRS, COUNTS),
    "similarity_map": lambda: plots.similarity_map(np.eye(5), COUNTS),
    "pipeline": lambda: plots.pipeline([("clips", "5"), ("texts", "3")]),
    "generation": lambda: plots.pipeline(
        [("clips", "5"), ("texts", "3")], dict.fromkeys(("query label", "target label", "modification"), "x")
    ),
    "architecture": lambda: plots.architecture(
        dict.fromkeys(("clip", "text", "stage 1", "fusion", "gallery", "text encoder"), "5")
    ),
    "durations": lambda: plots.durations(
        pd.DataFrame({"dataset": list("aabb"), "seconds": [1.0, 2.0, 2.0, 3.0]})
    ),
    "targets": lambda: plots.targets_per_query(TARGETS),
    "strips": lambda: plots.strips(CELLS, CLIPS),
    "scores": lambda: plots.scores(SCORES),
    "curves": lambda: plots.curves(CURVE, "step", {"loss": "loss", "val": "mAP"}, by="beta"),
    "factor_scores": lambda: plots.factor_scores(GRID, "mAP@50", "mAP@50"),
    "attribute_accuracy": lambda: plots.attribute_accuracy(READ),
    "embedding_map": lambda: plots.embedding_map(POINTS),
    "factor_misses": lambda: plots.factor_misses(MISSES),
    "distances": lambda: plots.distances(WRONG),
    "count_errors": lambda: plots.count_errors(WRONG),
    "cost_against_quality": lambda: plots.cost_against_quality(SCORES.assign(seconds=[0.0, 30.0])),
    "cost_against_size": lambda: plots.cost_against_size(COSTS),
    "shuffle_control": lambda: plots.shuffle_control(
        pd.concat([SCORES.assign(frames="in order"), SCORES.assign(frames="shuffled")])
    ),
    "text_lengths": lambda: plots.text_lengths(
        pd.DataFrame({"set": ["a"] * 4, "words": [3, 4, 4, 6]}), {"min": 2, "mean": 6.1, "max": 19}
    ),
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
    sheet = np.asarray(Image.open(png).convert("RGB")).astype(int)[:, -12 * 64 :]
    assert sheet.shape == (64, 768, 3)
    assert np.abs(sheet - np.concatenate(list(clip), 1)).max() <= 4


def test_text_stays_text(tmp_path):
    paths = plots.save_figure(plots.pipeline([("clips", "6,726 clips")]), "x", COUNTS, tmp_path)
    assert "6,726 clips" in paths[1].read_text()


def texts(figure) -> str:
    figure.savefig(io.BytesIO())  # tick labels are written when drawn
    return " ".join(text.get_text() for ax in figure.axes for text in ax.findobj(Text))


def test_scores_show_each_method_with_its_number():
    shown = texts(plots.scores(SCORES))
    assert all(word in shown for word in ("random", "clip", "1.20", "9.00", "control", "zero-shot"))


def test_curves_have_a_line_for_each_run_in_each_panel():
    figure = plots.curves(CURVE, "step", {"loss": "loss", "val": "mAP"}, by="beta")
    assert [len(ax.lines) for ax in figure.axes] == [2, 2]
    assert figure.axes[1].lines[1].get_ydata().tolist() == [0.1, 0.4]


def test_costs_are_drawn_where_there_are_sizes_to_compare():
    """A line for each design and one for the plain one, of seconds above and of memory below."""
    assert plots.curves_of(COSTS) == ["a search"]
    above, below = plots.cost_against_size(COSTS).axes
    assert [line.get_label() for line in above.lines] == ["memory", "disk", "plain"]
    assert [list(line.get_ydata()) for line in above.lines] == [[0.01, 0.1], [0.02, 0.3], [0.1, 9.0]]
    assert (
        below.lines[0].get_ydata().tolist() == [0.1, 5.0]
        and below.lines[2].get_ydata().tolist() == [1.0, 100.0]
        and above.get_xscale() == below.get_yscale() == "log"
    )


def test_attributes_and_factors_are_drawn_from_their_tables():
    bars = plots.attribute_accuracy(READ).axes[0].patches
    assert sorted(bar.get_height() for bar in bars) == [50, 60, 70, 80]
    assert all(
        word in texts(plots.factor_scores(GRID, "mAP@50", "mAP@50")) for word in ("shape", "saltos", "1", "4")
    )


def test_the_map_has_a_panel_for_each_encoder():
    points = pd.DataFrame(
        {"encoder": ["a", "b"], "x": [0.0, 1.0], "y": [1.0, 0.0], "group": ["0 twists", "1 twists"]}
    )
    assert [ax.get_title() for ax in plots.embedding_map(points).axes] == ["a", "b"]


def test_right_and_wrong_are_told_by_colour_line_and_mark():
    figure = plots.strips(CELLS, CLIPS)
    written = " ".join(text.get_text() for text in figure.findobj(Text))
    assert all(
        word in written
        for word in ("“show it”", "✓ rank 1", "✗ rank 1", "words beside", "gone cannot be read")
    )
    right, wrong = (ax.patches[-1] for ax in figure.axes if ax.patches)
    assert right.get_edgecolor() != wrong.get_edgecolor() and right.get_linestyle() != wrong.get_linestyle()


def test_a_strip_shows_its_frames_over_time():
    clip = np.repeat(np.arange(0, 240, 20, dtype=np.uint8), 32 * 32 * 3).reshape(12, 32, 32, 3)
    picture = plots.strips(CELLS[:1], {"q": clip}, n_frames=6).axes[0].images[0].get_array()
    assert picture.shape == (64, 6 * 64, 3)
    assert np.diff(picture[0, 32::64, 0].astype(int)).tolist() == [40] * 5


def test_a_method_looks_the_same_everywhere_and_like_no_other():
    looks = [(look["color"], str(look["marker"])) for look in plots.METHOD_LOOKS.values()]
    assert len(set(looks)) == len(looks)
    assert [
        name
        for name in METHODS
        if plots.method_look(name)["color"] != plots.GROUP_COLOURS[METHODS[name].group]
    ] == []
    assert plots.method_look("tfcovr-base-hn-0.5") == plots.method_look("tfcovr-base")
    assert plots.method_look("tfcovr-base-shuffled-test") != plots.method_look("tfcovr-base")


def test_each_group_can_be_told_in_grey():
    colours, hatches = plots.GROUP_COLOURS, plots.GROUP_HATCHES
    grey = [(np.array(to_rgb(colours[group])) @ [0.299, 0.587, 0.114], hatches[group]) for group in colours]
    for a, b in combinations(grey, 2):
        assert abs(a[0] - b[0]) > 0.15 or a[1] != b[1]
