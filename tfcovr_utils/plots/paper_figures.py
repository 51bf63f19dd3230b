"""Figures of the paper and ours, each from what a run left. Nothing is trained, embedded or scored."""

from collections.abc import Callable

import pandas as pd
from matplotlib.figure import Figure

from ..benchmark.statistics import PAPER
from . import diagrams, failures, strips
from . import distributions as dataset
from . import scores as results
from .run_results import Run

SHUFFLED = {
    "in order": "{}",
    "shuffled\nin search": "{}-shuffled-test",
    "shuffled\nthroughout": "{}-shuffled",
}
CORE_ATTRIBUTES = ["saltos", "rotation", "shape", "direction", "apparatus"]


def figure_1(run: Run) -> tuple[Figure, pd.DataFrame]:
    """A triplet of each kind of change: the test query of the lowest tier with the smallest id."""
    b = run.benchmark
    texts = b.modifications[["modification_id", "text", "source_label", "target_label"]]
    queries = (
        b.queries[b.queries["split"] == "test"]
        .merge(texts, on="modification_id")
        .merge(b.pairs[["source_label", "target_label", "kind", "tier"]])
    )
    first = (
        queries.sort_values(["tier", "query_id"]).groupby("kind").head(1).sort_values("kind", ascending=False)
    )
    targets = b.targets[b.targets["gallery"] == "full"].groupby("query_id")["clip_id"].min()
    cells = strips.triplet_cells(
        first.assign(target_clip=first["query_id"].map(targets)), b.clips, _label_text(run)
    )
    return strips.strips(cells, strips.read_strips(cells, run.clips_dir)), cells


def figure_2(run: Run) -> tuple[Figure, pd.DataFrame]:
    """The steps with this run's counts, and the first pair that differs in a count, in the order of labels."""
    boxes, b, text = run.csv("03_pipeline"), run.benchmark, _label_text(run)
    counted = b.pairs[(b.pairs["tier"] == 1) & b.pairs["changed"].isin(["rotation", "saltos"])]
    pair = (counted if len(counted) else b.pairs).sort_values(["source_label", "target_label"]).iloc[0]
    said = b.modifications[
        (b.modifications["source_label"] == pair["source_label"])
        & (b.modifications["target_label"] == pair["target_label"])
    ]
    example = {
        "query label": text[pair["source_label"]],
        "target label": text[pair["target_label"]],
        "modification": f"“{said['text'].iloc[0]}”",
    }
    table = pd.concat(
        [boxes, pd.DataFrame({"step": example.keys(), "says": example.values()})], ignore_index=True
    )
    return diagrams.pipeline(list(zip(boxes["step"], boxes["says"])), example), table


def figure_3(run: Run) -> tuple[Figure, pd.DataFrame]:
    """The method with the sizes that this run's `tfcovr-base` had."""
    record, b = run.record("tfcovr-base"), run.benchmark
    stage2, profile = record["stage2"], record["profile"]
    gallery = ((b.gallery["split"] == "test") & (b.gallery["gallery"] == "full")).sum()
    facts = {
        "clip": f"{profile['frames']} frames, {profile['image_size']} px",
        "text": f"{len(b.modifications):,} texts",
        "stage 1": f"cross-entropy,\n{len(b.labels)} labels",
        "fusion": f"layers of {stage2['projection_dim']}\nand {stage2['hidden_dim']}",
        "gallery": f"{gallery:,} clips",
        "text encoder": stage2["text_tower"],
    }
    return diagrams.architecture(facts), pd.DataFrame({"part": facts.keys(), "says": facts.values()})


def figure_4(run: Run) -> tuple[Figure, pd.DataFrame]:
    """What notebook 08 chose by rule and exported."""
    cells = run.csv("08_retrieved")
    words = ["above", "heading", "caption", "verdict", "clip_id", "path"]
    cells[words] = cells[words].fillna("")
    return strips.strips(cells, strips.read_strips(cells, run.clips_dir)), cells


def label_graph(run: Run) -> tuple[Figure, pd.DataFrame]:
    pairs = run.csv("02_label_graph")
    return dataset.label_graph(
        pairs, run.csv("01_label_counts").sort_values(["event", "family", "text"])
    ), pairs


def overview(run: Run) -> tuple[Figure, pd.DataFrame]:
    table = run.rows([name for name in run.summary["method"] if run.summary.loc[name, "group"]])
    return results.scores(table), table


def cost(run: Run) -> tuple[Figure, pd.DataFrame]:
    """Every row of a table but controls."""
    table = run.rows(
        [name for name in run.summary["method"] if run.summary.loc[name, "group"] not in ("", "control")]
    )
    table = table.assign(seconds=table["method"].map(run.seconds))[
        ["method", "group", "seconds", "mAP@50", "mAP@50 low", "mAP@50 high"]
    ]
    return results.cost_against_quality(table), table


def shuffle(run: Run) -> tuple[Figure, pd.DataFrame]:
    rows = []
    for method in ("tfcovr-base", "tfcovr-ordered"):
        for frames, name in SHUFFLED.items():
            if name.format(method) in run.summary.index:
                rows.append(
                    run.summary.loc[name.format(method), ["mAP@50", "mAP@50 low", "mAP@50 high"]].to_dict()
                    | {"method": method, "frames": frames}
                )
    table = pd.DataFrame(rows)
    if table["mAP@50"].isna().all():
        raise FileNotFoundError("there are no results with shuffled frames; run notebook 05.")
    return results.shuffle_control(table), table


def frames_curve(run: Run) -> tuple[Figure, pd.DataFrame]:
    table = run.csv("04_frames")
    return results.curves(
        table[table["attribute"].isin(CORE_ATTRIBUTES)],
        "frames",
        {"accuracy": "accuracy on test, per cent"},
        by="attribute",
    ), table


def by_attribute(run: Run) -> tuple[Figure, pd.DataFrame]:
    table = run.csv("04_by_attribute")
    return results.attribute_accuracy(table[table["values"] > 1]), table


def losses(run: Run) -> tuple[Figure, pd.DataFrame]:
    table = run.csv("05_losses")
    return results.curves(
        table.assign(val=100 * table["val"]),
        "step",
        {"loss": "training loss", "val": "mAP@50 on val, per cent"},
        by="run",
    ), table


def _from_csv(
    name: str, plot: Callable[[pd.DataFrame], Figure]
) -> Callable[[Run], tuple[Figure, pd.DataFrame]]:
    """A figure for which its CSV is enough."""

    def make(run: Run) -> tuple[Figure, pd.DataFrame]:
        table = run.csv(name)
        return plot(table), table

    return make


def _label_text(run: Run) -> dict[str, str]:
    return dict(zip(run.benchmark.labels["label_id"], run.benchmark.labels["text"]))


_STAGE1 = {"loss": "training loss", "val_loss": "loss on val", "top-1": "top-1 on val, per cent"}
FIGURES: dict[str, tuple[str, Callable]] = {
    "figure_1_triplets": ("Figure 1 (c): a triplet of each kind of change", figure_1),
    "figure_2_generation": ("Figure 2: how the benchmark is generated", figure_2),
    "figure_3_architecture": ("Figure 3: both stages of the method", figure_3),
    "figure_4_retrieved": ("Figure 4: what is ranked first, right and wrong", figure_4),
    "dataset_long_tail": ("Clips a label", _from_csv("01_label_counts", dataset.label_counts)),
    "dataset_durations": ("Durations of clips", _from_csv("01_durations", dataset.durations)),
    "dataset_text_lengths": (
        "Words of a modification",
        _from_csv("03_text_lengths", lambda table: dataset.text_lengths(table, PAPER["text_words"])),
    ),
    "dataset_targets": ("Right answers a query", _from_csv("03_targets", dataset.targets_per_query)),
    "dataset_label_graph": ("Labels and their pairs", label_graph),
    "overview": ("Every row on the test queries", overview),
    "factor_matrix": (
        "mAP@50 by the factor that is changed",
        _from_csv("05_missed", lambda table: results.factor_scores(table, "mAP@50", "mAP@50, per cent")),
    ),
    "factors_missed": ("Factors missed at rank 1", _from_csv("08_missed", failures.factor_misses)),
    "distances": ("How far from right the first clip lies", _from_csv("08_distances", failures.distances)),
    "frames_curve": ("Accuracy by number of frames", frames_curve),
    "shuffle_control": ("Frames in order and shuffled", shuffle),
    "cost_against_quality": ("Cost of training against mAP@50", cost),
    "embedding_map": (
        "Twists in the embedding space",
        _from_csv("04_embedding_space", results.embedding_map),
    ),
    "stage1_curves": (
        "Training of stage 1",
        _from_csv("04_curves", lambda table: results.curves(table, "epoch", _STAGE1, by="recipe")),
    ),
    "stage1_attributes": ("What stage 1 reads from a clip", by_attribute),
    "stage2_losses": ("Losses of stage 2", losses),
}
