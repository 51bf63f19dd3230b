"""Figures and tables for reading: a tidy DataFrame in, a `Figure` out. Plot functions neither show nor save.

`base` has the style and saving, `colours` how methods look, `distributions` the benchmark, `scores`,
`failures` and `strips` results, `diagrams` the paper's two diagrams, `costs` speed, `tables` LaTeX and
Markdown, and `paper_export` (`paper_figures`, `paper_tables`, `run_results`) everything in the paper.
"""
# ruff: noqa: F401  (the names imported here are the room's face)

from . import paper_export
from .base import SCREEN_DPI, contact_sheet, save_figure
from .colours import GROUP_COLOURS, GROUP_HATCHES, METHOD_LOOKS, method_look
from .costs import cost_against_size, curves_of
from .diagrams import architecture, pipeline, pipeline_steps
from .distributions import (
    durations,
    factor_table,
    label_counts,
    label_graph,
    label_tree,
    precision_by_threshold,
    probe_accuracy,
    similarity_map,
    targets_per_query,
    text_lengths,
)
from .failures import count_errors, distances, factor_misses
from .run_results import Run, figures_dir
from .scores import (
    attribute_accuracy,
    cost_against_quality,
    curves,
    embedding_map,
    factor_scores,
    open_world,
    scores,
    shuffle_control,
)
from .strips import failure_cells, read_strips, retrieved_cells, strips, triplet_cells
from .tables import as_text, save_table, show_table
