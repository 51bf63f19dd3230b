# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     notebook_metadata_filter: kernelspec,tfcovr,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   tfcovr:
#     concurrent: true
# ---

# %% [markdown]
# # 01 Dataset statistics
#
# What is in the benchmark, and does it take time, not a single frame, to tell its labels apart?
#
# Reads nothing by default: `mini` renders itself, once, below `data/benchmarks/`. With `source = "tfcovr"`
# it reads the owners' annotation files and leaves out what needs clips. Writes figures `01_*`. On two cores
# it takes half a minute for `smoke`; for `mini` two minutes to render the first time, and one to look for
# shortcuts.

# %%
import textwrap

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from tfcovr_utils import open_study, plots, rendering
from tfcovr_utils.benchmark.statistics import compare_counts, count
from tfcovr_utils.evaluation.paper import read_table
from tfcovr_utils.rendering.build import measure
from tfcovr_utils.rendering.shortcut_audit import ShortcutAudit

# %% tags=["parameters"]
source = "mini"  # mini, smoke, sim, twin; tfcovr, released; folder, for your own clips
profile = None  # sizes and weights; None takes the source's own
seed = 0  # of the training
render_seed = 0  # of the rendering: another number is another benchmark
annotations = None  # folder of annotation files; None takes $TFCOVR_ANNOTATIONS
clips = None  # folder of the clips, such as your own; None takes $TFCOVR_CLIPS

# %%
study = open_study(source, seed, profile, render_seed, annotations, clips)
study.must_give("labels")
study.summary()

# %% [markdown]
# ## What there is
# Every source gives the same tables. A *source video* is one recording; all its clips are in one split.

# %%
table = study.clips.join(study.labels[["event", "family", "apparatus", "rotation", "saltos"]], on="label_id")
size = {"clips": ("clip_id", "size"), "labels": ("label_id", "nunique")}
size |= {"source videos": ("source_video", "nunique"), "mean seconds": ("seconds", "mean")}
table.groupby(["dataset", "split"]).agg(**size).round(2)

# %% [markdown]
# The figures that the paper gives in its text, and then its Table 1 (`data/paper/`):

# %%
counted = count(study.benchmark)
counts_beside_paper = compare_counts(counted)
counts_beside_paper.map("{:,.6g}".format)

# %%
read_table("1")

# %% [markdown]
# ## Labels, clips, durations

# %%
counts = table.groupby(["dataset", "label_id", "event", "family", "text"]).size().reset_index(name="clips")
largest = counts.sort_values("clips", ascending=False).groupby("family").head(12)
tree = plots.label_tree(counts if len(counts) < 80 else largest)
tree

# %%
long_tail = plots.label_counts(counts)
long_tail

# %% [markdown]
# *What to notice.* FineGym's labels have from a handful of clips to over a thousand. `mini` is flat on
# purpose: with few clips, a long tail would mean labels that nobody can learn. `sim` has the tail.

# %%
seconds = plots.durations(table[["dataset", "seconds"]])
seconds

# %%
described = table.assign(skill=table.apparatus + " " + table.family).fillna({"saltos": 0})
plots.factor_table(described, "skill", "rotation")

# %%
plots.factor_table(described, "skill", "saltos")

# %% [markdown]
# ## The split
# If a source were in two splits, a model could find a clip by its background. So whole sources are split,
# never single clips.

# %%
shared = study.clips.groupby("source_video").split.nunique()
report = study.benchmark.check()
found = report[report["count"] > 0]
display(
    Markdown(
        f"Sources in more than one split: **{(shared > 1).sum()}** of {len(shared)}. The doctor's report:"
    )
)
found if len(found) else Markdown("nothing is wrong.")

# %% [markdown]
# ## To the eye
# From here to the checks, only a rendered benchmark has something to show: other sources have no clips here,
# or no factors. Each row is one test clip, decoded from its file: the first of its label, by name. First,
# twists.

# %%
if study.gives("motion"):
    factors = study.factors.drop(columns=["label_id", "source_video"], errors="ignore")
    clips = study.clips.reset_index(drop=True).merge(factors, on="clip_id", suffixes=("", "_rendered"))
    first = clips[clips.split == "test"].sort_values("clip_id").groupby("label_id").first()
    first = first.sort_values(["saltos", "twists"])
    floor = first[(first.apparatus == "FX") & (first.base == "salto")]
    stretched = floor[(floor.direction == "backward") & (floor["shape"] == "stretched")]
    display(twists := study.sheet({f"{row.twists:g} twists": row.clip_id for row in stretched.itertuples()}))

# %% [markdown]
# *What to notice.* The bright chest with its dot and the dark back with its stripe alternate: count them.
# The somersault is the same in every row. Athlete, hall and camera change from source to source; both
# directions of travel occur.
#
# Now one apparatus: one somersault or two; tucked, piked, stretched; backward, forward.

# %%
if study.gives("motion"):
    rows = floor[floor.twists == 0].itertuples()
    display(study.sheet({f"{row.saltos:g} {row.direction}\n{row.shape}": row.clip_id for row in rows}))

# %% [markdown]
# *What to notice.* Tucked is a ball, piked a folded knife. Backward, the athlete's back leads the way;
# forward, the chest does. Two somersaults pass upside-down twice in the time in which one does so once.
#
# Last, one label of each other kind.

# %%
if study.gives("motion"):
    others = (
        first[(first.base != "salto") | (first.apparatus != "FX")].groupby(["apparatus", "family"]).last()
    )
    display(study.sheet({textwrap.fill(row.text, 34): row.clip_id for row in others.itertuples()}))

# %%
if study.gives("motion"):
    cost = measure(study.profile, study.clips_dir)
    display(
        Markdown(
            f"A clip takes {cost['render ms']:.1f} ms of a processor to render, {cost['encode ms']:.1f} to "
            f"encode, {cost['decode ms']:.1f} to decode {study.profile.frames} frames of, and "
            f"{cost['bytes']:,.0f} bytes (medians)."
        )
    )

# %% [markdown]
# ## Are there shortcuts?
# A *group* is a set of labels that agree in every factor but one count. If any cue but motion revealed the
# count, a small network given only that cue would beat chance within the groups. Each network trains on some
# sources and is scored on others.
#
# One frame first: the middle one, of half the clips of every group. To score many clips, a third of all
# sources is held out.

# %%
if study.gives("motion"):
    audit = ShortcutAudit(clips, study.clips_dir, study.profile.probe_epochs, seed)
    one_frame = audit.one_frame()
    display(one_frame.round(3))

# %% [markdown]
# Next, the athlete is removed: four frames of the hall, the apparatus and the camera's path. Now a group is
# an apparatus, and the network is asked for the label, and through it for each factor. Chance is a factor's
# most frequent value.

# %%
if study.gives("motion"):
    hall = audit.hall(study.profile.render_seed)
    display(hall.round(3))

# %% [markdown]
# Then all frames, in order and shuffled, on saltos and dives, where counts matter most, each frame as the
# profile's frozen CLIP embeds it. Both networks see the same frames of the same clips for the same time.
# Only the order is gone, in training and in scoring.
#
# The middle frame should reveal nothing, and all frames in order nearly everything. Shuffled frames reveal a
# part: how often a pose occurs depends on the count, so a reader of many poses can guess it without their
# order, less reliably. `smoke` has too few clips for any network to learn.

# %%
if study.gives("motion"):
    features = study.embed("clip", clips.iloc[audit.aerial]).values.numpy()
    probes = pd.concat([one_frame, audit.all_frames(features)], ignore_index=True)
    display(probes.round(3), reading := plots.probe_accuracy(probes))

# %% [markdown]
# ## Checks

# %%
assert (shared == 1).all() and study.benchmark.clips.clip_id.is_unique
assert counted["labels_with_residue"] == 0 and counted["missing_valid_targets"] == 0
if study.gives("motion"):
    assert not any(rendering.check(study.clips_dir).values())

# %%
if study.gives("motion") and study.profile.labels != "smoke":
    names = ["one frame, the middle", "all frames, in order", "all frames, shuffled"]
    middle, ordered, shuffled = (probes[probes.probe == name].set_index("count") for name in names)
    spread = np.sqrt(middle.chance * (1 - middle.chance) / middle.clips)
    assert all(abs(middle.accuracy - middle.chance) < 3 * spread)
    assert all(ordered.accuracy >= 0.9) and all(shuffled.accuracy < ordered.accuracy - 0.05)
    assert all(hall.accuracy[1:] < hall.chance[1:] + 0.05) and hall.accuracy[0] > 0.9

# %% [markdown]
# ## Export

# %%
drawn = {"label_tree": (tree, counts), "label_counts": (long_tail, counts)}
if study.gives("motion"):
    drawn |= {"shortcuts": (reading, probes), "twists": (twists, stretched[["text", "path"]])}
study.export(
    "01",
    **drawn,
    durations=(seconds, table[["dataset", "seconds"]]),
    counts=counts_beside_paper.reset_index(),
)

# %% [markdown]
# Next: `02_label_pairing` asks which of these labels form a query and its answer.
