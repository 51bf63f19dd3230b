"""Figures of the paper and ours, each drawn from a run's files. Nothing is trained, embedded or scored."""

from collections.abc import Callable
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from ..benchmark.statistics import PAPER
from . import diagrams, strips
from . import distributions as dataset
from . import scores as results
from .failures import distances, factor_misses
from .run_results import Run, missing
from .scores import embedding_map

# Frames -> how the method's results with such frames are named.
SHUFFLED = {
    "in order": "{}",
    "shuffled\nin search": "{}-shuffled-test",
    "shuffled\nthroughout": "{}-shuffled",
}
CORE_ATTRIBUTES = ["saltos", "rotation", "shape", "direction", "apparatus"]
INTERVAL = ["mAP@50", "mAP@50 low", "mAP@50 high"]
STAGE1 = {"loss": "training loss", "val_loss": "loss on val", "top-1": "top-1 on val, per cent"}
STAGE2 = {"loss": "training loss", "val": "mAP@50 on val, per cent"}

Drawing = tuple[Figure, pd.DataFrame]  # a figure, and the table that it was drawn from


def draw_triplets(run: Run) -> Drawing:
    """Draw a triplet of each kind of change: the test query of the lowest tier with the smallest id."""
    b = run.benchmark
    texts = b.modifications[["modification_id", "text", "source_label", "target_label"]]
    pairs = b.pairs[["source_label", "target_label", "kind", "tier"]]
    queries = b.queries[b.queries["split"] == "test"].merge(texts, on="modification_id").merge(pairs)
    first = queries.sort_values(["tier", "query_id"]).groupby("kind").head(1)
    targets = b.targets[b.targets["gallery"] == run.protocol].groupby("query_id")["clip_id"].min()
    triplets = first.sort_values("kind", ascending=False).assign(target_clip=first["query_id"].map(targets))
    cells = strips.triplet_cells(triplets, b.clips, run.label_text)
    return strips.strips(cells, strips.read_strips(cells, run.clips_dir)), cells


def draw_generation(run: Run) -> Drawing:
    """Draw the steps with this run's counts, and the first pair of labels that differs in a count."""
    boxes, b, text = run.csv("modification", "pipeline"), run.benchmark, run.label_text
    counted = b.pairs[(b.pairs["tier"] == 1) & b.pairs["changed"].isin(["rotation", "saltos"])]
    pair = (counted if len(counted) else b.pairs).sort_values(["source_label", "target_label"]).iloc[0]
    source, target = pair["source_label"], pair["target_label"]
    texts = b.modifications.set_index(["source_label", "target_label"])["text"]
    example = {
        "query label": text[source],
        "target label": text[target],
        "modification": f"“{texts.loc[[(source, target)]].iloc[0]}”",
    }
    table = pd.DataFrame([*boxes[["step", "says"]].to_numpy(), *example.items()], columns=["step", "says"])
    return diagrams.pipeline(list(zip(boxes["step"], boxes["says"])), example), table


def draw_architecture(run: Run) -> Drawing:
    """Draw the method with the sizes of this run's `tfcovr-base`."""
    record, b = run.record("tfcovr-base"), run.benchmark
    stage2, profile = record["stage2"], record["profile"]
    gallery = ((b.gallery["split"] == "test") & (b.gallery["gallery"] == run.protocol)).sum()
    facts = {
        "clip": f"{profile['frames']} frames, {profile['image_size']} px",
        "text": f"{len(b.modifications):,} texts",
        "stage 1": f"cross-entropy,\n{len(b.labels)} labels",
        "fusion": f"layers of {stage2['projection_dim']}\nand {stage2['hidden_dim']}",
        "gallery": f"{gallery:,} clips",
        "text encoder": stage2["text_tower"],
    }
    return diagrams.architecture(facts), pd.DataFrame(facts.items(), columns=["part", "says"])


def draw_retrieved(run: Run) -> Drawing:
    """Draw the queries that notebook 08 chose by rule and exported."""
    cells = run.csv("qualitative", "retrieved")
    words = ["above", "heading", "caption", "verdict", "clip_id", "path"]
    cells[words] = cells[words].fillna("")
    return strips.strips(cells, strips.read_strips(cells, run.clips_dir)), cells


def draw_label_graph(run: Run) -> Drawing:
    """Draw labels and their pairs."""
    pairs, labels = run.csv("label_pairing", "label_graph"), run.csv("statistics", "label_counts")
    return dataset.label_graph(pairs, labels.sort_values(["event", "family", "text"])), pairs


def draw_overview(run: Run) -> Drawing:
    """Draw the score of every method that has a group."""
    table = run.rows(run.methods_of())
    return results.scores(table), table


def draw_cost(run: Run) -> Drawing:
    """Draw the cost of every method but the controls."""
    table = run.rows(run.methods_of(without=("control",)))
    table = table.assign(seconds=table["method"].map(run.seconds))[["method", "group", "seconds", *INTERVAL]]
    return results.cost_against_quality(table), table


def draw_shuffled(run: Run) -> Drawing:
    """Draw what the order of the frames is worth."""
    methods = ("tfcovr-base", "tfcovr-ordered")
    rows = [(method, frames, name.format(method)) for method in methods for frames, name in SHUFFLED.items()]
    table = pd.DataFrame(rows, columns=["method", "frames", "name"])
    table = table.join(run.summary[INTERVAL], on="name", how="inner")[[*INTERVAL, "method", "frames"]]
    if table["mAP@50"].isna().all():
        raise missing("results of shuffled frames", "stage2")
    return results.shuffle_control(table), table


def draw_frames_curve(run: Run) -> Drawing:
    """Draw the accuracy by number of frames."""
    table = run.csv("stage1", "frames")
    core, panel = table[table["attribute"].isin(CORE_ATTRIBUTES)], {"accuracy": "accuracy on test, per cent"}
    return results.curves(core, "frames", panel, by="attribute"), table


def _plot(notebook: str, name: str, plot: Callable[[pd.DataFrame], Figure]) -> Callable[[Run], Drawing]:
    """Return a function that draws a figure from one CSV of a run."""

    def draw(run: Run) -> Drawing:
        table = run.csv(notebook, name)
        return plot(table), table

    return draw


def _with_choice(table: pd.DataFrame) -> Figure:
    return results.attribute_accuracy(table[table["values"] > 1])


_text_lengths = partial(dataset.text_lengths, paper=PAPER["text_words"])
_factors = partial(results.factor_scores, value="mAP@50", label="mAP@50, per cent")
_stage1_curves = partial(results.curves, x="epoch", panels=STAGE1, by="recipe")
_stage2_curves = partial(results.curves, x="step", panels=STAGE2, by="row")
# Name -> title, and how the figure is drawn from a run.
FIGURES: dict[str, tuple[str, Callable[[Run], Drawing]]] = {
    "figure_1_triplets": ("Figure 1 (c): a triplet of each kind of change", draw_triplets),
    "figure_2_generation": ("Figure 2: how the benchmark is generated", draw_generation),
    "figure_3_architecture": ("Figure 3: both stages of the method", draw_architecture),
    "figure_4_retrieved": ("Figure 4: what is ranked first, right and wrong", draw_retrieved),
    "dataset_long_tail": ("Clips a label", _plot("statistics", "label_counts", dataset.label_counts)),
    "dataset_durations": ("Durations of clips", _plot("statistics", "durations", dataset.durations)),
    "dataset_text_lengths": ("Words of a modification", _plot("modification", "text_lengths", _text_lengths)),
    "dataset_targets": ("Right answers a query", _plot("modification", "targets", dataset.targets_per_query)),
    "dataset_label_graph": ("Labels and their pairs", draw_label_graph),
    "overview": ("Every row on the test queries", draw_overview),
    "factor_matrix": ("mAP@50 by the factor that is changed", _plot("stage2", "missed", _factors)),
    "factors_missed": ("Factors missed at rank 1", _plot("qualitative", "missed", factor_misses)),
    "distances": ("How far from right the first clip lies", _plot("qualitative", "distances", distances)),
    "frames_curve": ("Accuracy by number of frames", draw_frames_curve),
    "shuffle_control": ("Frames in order and shuffled", draw_shuffled),
    "cost_against_quality": ("Cost of training against mAP@50", draw_cost),
    "embedding_map": ("Twists in the embedding space", _plot("stage1", "embedding_space", embedding_map)),
    "stage1_curves": ("Training of stage 1", _plot("stage1", "curves", _stage1_curves)),
    "stage1_attributes": ("What stage 1 reads from a clip", _plot("stage1", "by_attribute", _with_choice)),
    "stage2_losses": ("Losses of stage 2", _plot("stage2", "losses", _stage2_curves)),
}
