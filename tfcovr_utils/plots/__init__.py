"""Figures from tables: a tidy DataFrame in, a `Figure` out. Nothing here computes a result, shows or saves by itself."""

from . import paper_export as paper
from .base import APPARATUS_COLOURS, APPARATUS_NAMES, SCREEN_DPI, contact_sheet, save_figure
from .colours import GROUP_COLOURS, METHOD_LOOKS, method_look
from .costs import cost_against_size, curves_of
from .diagrams import architecture, pipeline
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
    scores,
    shuffle_control,
)
from .strips import failure_cells, read_strips, retrieved_cells, strips, triplet_cells
from .tables import save_table, show_table

__all__ = [
    "APPARATUS_COLOURS",
    "APPARATUS_NAMES",
    "GROUP_COLOURS",
    "METHOD_LOOKS",
    "SCREEN_DPI",
    "Run",
    "architecture",
    "attribute_accuracy",
    "contact_sheet",
    "cost_against_quality",
    "cost_against_size",
    "count_errors",
    "curves",
    "curves_of",
    "distances",
    "durations",
    "embedding_map",
    "factor_misses",
    "factor_scores",
    "factor_table",
    "failure_cells",
    "figures_dir",
    "label_counts",
    "label_graph",
    "label_tree",
    "method_look",
    "paper",
    "pipeline",
    "precision_by_threshold",
    "probe_accuracy",
    "read_strips",
    "retrieved_cells",
    "save_figure",
    "save_table",
    "scores",
    "show_table",
    "shuffle_control",
    "similarity_map",
    "strips",
    "targets_per_query",
    "text_lengths",
    "triplet_cells",
]
