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
#     writes:
#     - seed-*/stage1/*
# ---

# %% [markdown]
# # 04 Stage 1: temporal pre-training
#
# What does an encoder learn about time when it is taught to tell fine-grained labels apart?
#
# The paper's stage 1 puts adapters on a frozen CLIP (AIM), trains them to classify the labels, and keeps the
# mean over frames as the clip's embedding. This notebook trains that. Beside it, it trains readers of the
# frozen frames, so that the parts of labels, of order and of adapters can be told apart. Choices are made on
# `val`; `test` is only scored. Keep two things in mind for every gap here. Each encoder is one training of
# its kind, and another seed moves it by points (`docs/results.md` has three). And AIM, whose epochs are
# costly, has fewer of them than the readers.
#
# Reads the benchmark's clips and the profile's CLIP weights. Writes encoders to
# `runs/<source>/seed-<n>/stage1/` and figures `04_*`. On two cores it takes seven minutes for `mini` the
# first time, one for `smoke`.

# %%
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from tfcovr_utils import open_study, plots
from tfcovr_utils.evaluation.stage1_report import Stage1Report, accuracy_by_frames
from tfcovr_utils.rendering.captions import middle_frames
from tfcovr_utils.rendering.shortcuts import find_frame_shortcuts
from tfcovr_utils.training.recipes import RECIPES

# %% tags=["parameters"]
source = "mini"  # mini, smoke, sim, twin; tfcovr, released; folder, for your own clips
profile = None  # sizes and weights; None takes the source's own
seed = 0  # of the training
render_seed = 0  # of the rendering: another number is another benchmark
annotations = None  # folder of annotation files; None takes $TFCOVR_ANNOTATIONS
clips = None  # folder of the clips, such as your own; None takes $TFCOVR_CLIPS
recipes = ["frozen-mlp", "frozen-set", "frozen-ordered", "aim"]  # `tfcovr teach --recipe list` has all
sweep = False  # also adapters below the ordered reader: seven minutes for mini

# %%
study = open_study(source, seed, profile, render_seed, annotations, clips)
study.must_give("labels", "videos")
study.summary(recipes=recipes)

# %% [markdown]
# ## Training
# Readers of frozen frames train on a matrix in memory, AIM's adapters on pixels. Each is kept in its folder
# and read from there the next time. Without a GPU they train in parallel, those of fewer frames (below) too.
# The longest ones start first. An encoder that starts from another one waits for it.

# %%
recipes = [*recipes, *["aim-ordered"] * sweep]
plots.as_text(pd.Series({name: RECIPES[name].about for name in recipes}, name="what is trained").to_frame())

# %%
few = {n: f"ordered-{n}" for n in (1, 4, 8) if n < study.profile.frames}
learned = study.teach(*recipes, *few.values())
named = {name: learned[name] for name in recipes}
frames = {name: study.embed(one.encoder).values for name, one in named.items()}
report = Stage1Report(study.benchmark, named, frames)

# %%
curves = report.curves()
panels = {"loss": "training loss", "val_loss": "loss on val", "top-1": "top-1 on val, per cent"}
training_curves = plots.curves(curves, "epoch", panels, by="recipe")
training_curves

# %%
report.costs().round(1)

# %% [markdown]
# *What to notice.* A curve that still rises at its end was stopped by its budget, not by what it can learn.
# Seconds and clips a second are those of the training: in parallel with others it had a share of the
# threads, alone it had all of them.
#
# ## What each reads from a test clip

# %%
scored = report.accuracies()
scored.round(1)

# %%
read = report.by_attribute()
by_attribute = plots.attribute_accuracy(read)
by_attribute

# %% [markdown]
# *What to notice.* `saltos` and `rotation` are counts. Between labels that agree in all else, no single
# frame shows them (the last section tries). A reader that averages frames can only find them in which poses
# occur, or guess them from attributes that go with them. A reader that knows the order can count.
#
# ## Which labels are taken for which

# %%
best = report.best()
display(Markdown("The paper's stage 1 (`aim`):"), report.confusions("aim").head(8).round(1))
display(Markdown(f"The best on val (`{best}`):"), report.confusions(best).head(8).round(1))

# %%
report.confused_attributes(*dict.fromkeys(["aim", best])).head(10)

# %% [markdown]
# ## What the embedding space learned
# For each test clip the nearest training clip by cosine: does it share the attribute? The mean of the frozen
# CLIP's frames is beside.

# %%
report.neighbours().round(1)

# %%
stretched = study.labels[study.labels.text.str.startswith("(FX) salto backward stretched")]
twists = stretched.text.str.extract(r"with ([\d.]+) twist")[0].fillna("0") + " twists"
drawn = {}
if len(stretched) > 1:
    points = report.space(twists)
    drawn["embedding_space"] = space = plots.embedding_map(points), points
    display(space[0])

# %% [markdown]
# *What to notice.* These are backward saltos on the floor that differ only in their twists: val and test
# clips on the two axes of largest spread. Where the counts are apart, a search can tell them apart.
#
# ## How many frames does it take?
# The same ordered reader of frozen frames, taught and asked with fewer of them.

# %%
by_length = {n: learned[name] for n, name in few.items()} | {study.profile.frames: learned["frozen-ordered"]}
by_frames = accuracy_by_frames(study.benchmark, study.clips_dir, study.profile, by_length)
counted = by_frames[by_frames.attribute.isin(["saltos", "rotation", "shape", "direction", "apparatus"])]
frames_curve = plots.curves(counted, "frames", {"accuracy": "accuracy on test, per cent"}, by="attribute")
frames_curve

# %% [markdown]
# *What to notice.* One frame does better at `saltos` and `rotation` than a blind guess. It shows the label's
# other attributes, and these leave few counts to choose from. Steps of two points are a handful of clips.
#
# ## Does one frame show a count?
# A linear map of one frozen frame, fitted on every sixth training clip: what it reads of the frame and, in
# the last two rows, whether it tells apart labels that differ in one count alone. Chance is the most
# frequent value, and in the last two rows one over the number of counts.

# %%
if study.gives("motion"):
    rows = np.concatenate([report.rows("train")[::6], report.rows("test")])
    some = study.benchmark.clips.iloc[rows]
    middle = study.embed("clip", some, frames=1, policy="middle").values[:, 0]
    factors = study.factors.loc[some.clip_id].reset_index(drop=True)
    facts = middle_frames(some, factors, study.profile.render_seed)
    splits = [(some.split == split).to_numpy() for split in ("train", "test")]
    display(find_frame_shortcuts(middle, factors, facts, *splits).round(1))

# %% [markdown]
# *What to notice.* Place, shape and limbs can be read from one frame. The counts cannot: the last two rows
# are at chance. `arms` has one value at mid-clip and says nothing.
#
# ## Checks

# %%
assert set(scored.clips) == {len(report.rows("test"))}
assert all(one.curve.loss.iloc[-1] < one.curve.loss.iloc[0] for one in learned.values())
assert (study.clips.groupby("source_video").split.nunique() == 1).all()

# %% [markdown]
# ## Export

# %%
drawn |= {"curves": (training_curves, curves), "by_attribute": (by_attribute, read)}
study.export("04", **drawn, frames=(frames_curve, by_frames))

# %% [markdown]
# Next: `05_stage2_contrastive_retrieval` searches with these encoders.
