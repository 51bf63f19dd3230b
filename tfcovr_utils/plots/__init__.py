"""Figures from tables: a tidy DataFrame in, a `Figure` out. Nothing here computes a result, shows or saves by itself."""
from .base import APPARATUS_COLOURS, APPARATUS_NAMES, SCREEN_DPI, contact_sheet, save_figure
from .dataset import (
    durations,
    factor_table,
    label_counts,
    label_graph,
    label_tree,
    pipeline,
    precision_by_threshold,
    probe_accuracy,
    similarity_map,
    text_lengths,
)
from .results import FAMILY_COLOURS, attribute_accuracy, curves, embedding_map, factor_scores, scores

__all__ = [
    "APPARATUS_COLOURS", "APPARATUS_NAMES", "FAMILY_COLOURS", "SCREEN_DPI", "attribute_accuracy", "contact_sheet", "curves", "durations",
    "embedding_map", "factor_scores", "factor_table", "label_counts", "label_graph", "label_tree", "pipeline", "precision_by_threshold",
    "probe_accuracy", "save_figure", "scores", "similarity_map", "text_lengths",
]
