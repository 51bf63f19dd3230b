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
# The paper's stage 1 puts adapters on a frozen CLIP (AIM), trains them to classify the labels, and keeps the mean over frames as the
# clip's embedding. This notebook trains that, and beside it readers of the frozen frames, so that what comes from the labels, from order
# and from the adapters can be told apart. Choices are made on `val`; `test` is only scored. Two things to hold against every gap here: each is
# one training of its kind, and another seed moves it by points (`05` has three); and AIM, whose epochs are dear, has fewer of them than the
# readers, `aim-ordered` some more than the reader it starts from.
#
# Reads the benchmark's clips and the CLIP weights of the profile. Writes encoders to `runs/<profile>/seed-<n>/stage1/` and figures to
# `runs/<profile>/figures/04_*`. About seven minutes under `mini` on two cores the first time, one under `smoke`. As published the page shows a run
# with `sweep`.

# %%
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from tfcovr_utils import rendering, plots
from tfcovr_utils.embedding.embed import embed_clips
from tfcovr_utils.rendering.shortcuts import find_frame_shortcuts
from tfcovr_utils.profiles import get_profile, provenance, runs_dir
from tfcovr_utils.evaluation.rows import embed_in_shares
from tfcovr_utils.sources import load_source
from tfcovr_utils.training.recipes import RECIPES, embed_frames
from tfcovr_utils.training.label_accuracy import accuracies, accuracy_by_attribute, confusions, flatten, neighbours
from tfcovr_utils.benchmark.benchmark import Benchmark
from tfcovr_utils.machine.workers import run_in_parallel
from tfcovr_utils.training.teaching import TrainingClips, learn

# %% tags=["parameters"]
profile = "mini"  # smoke, mini or sim
seed = 0  # of the training
render_seed = 0  # of the rendering: another number is another benchmark
recipes = ["frozen-mlp", "frozen-set", "frozen-ordered", "aim"]  # of training.recipes.RECIPES
sweep = False  # also adapters below the ordered reader: seven minutes under mini

# %%
profile = replace(get_profile(profile), render_seed=render_seed)
folder = rendering.build(profile, progress=False)
benchmark = Benchmark.build(load_source("mini", folder))
clips, labels = benchmark.clips, benchmark.labels
recipes = [*recipes, "aim-ordered"] if sweep else recipes
few = {n: f"ordered-{n}" for n in (1, 4, 8) if n < profile.frames}
out = runs_dir(profile)
stage1 = out / f"seed-{seed}" / "stage1"
figures = plots.figures_dir(out, seed)
label_idx = pd.Index(labels.label_id).get_indexer(clips.label_id)
rows = {split: np.flatnonzero(clips.split == split) for split in ("train", "val", "test")}
display(Markdown(f"profile **{profile.name}**, seed {seed}, {torch.get_num_threads()} threads  \n`{provenance(profile, seed)}`"))
pd.Series({name: RECIPES[name].about for name in recipes}, name="what is trained").to_frame()

# %% [markdown]
# ## Training
# Readers of frozen frames train on a matrix in memory, AIM's adapters from pixels. Each is kept in its folder and read from there the
# next time. Without a GPU they train side by side, those of fewer frames (below) too: what takes long comes first, what starts from
# another waits for it.

# %%
by_length = sorted([*recipes, *few.values()], key=lambda name: RECIPES[name].adapters, reverse=True)
run_in_parallel(learn, [(name, TrainingClips(benchmark, folder, profile), seed, stage1 / name) for name in by_length if not RECIPES[name].start])
learned = {name: learn(name, TrainingClips(benchmark, folder, profile), seed, stage1 / name) for name in recipes}
curves = pd.concat([one.curve.assign(recipe=name, **{"seconds in all": one.curve.seconds.cumsum(), "top-1": 100 * one.curve.val_top1}) for name, one in learned.items()])
training_curves = plots.curves(curves, "epoch", {"loss": "training loss", "val_loss": "loss on val", "top-1": "top-1 on val, per cent"}, by="recipe")
training_curves

# %%
pd.DataFrame({name: {"trained parameters": one.facts["trained"], "seconds": one.facts["seconds"], "clips a second": one.curve.clips_per_s.median(),
                     "best epoch": one.curve.val_top1.idxmax() + 1, "top-1 on val": 100 * one.curve.val_top1.max()} for name, one in learned.items()}).T.round(1)

# %% [markdown]
# *What to notice.* A curve that still rises at its end was stopped by its budget, not by what it can learn. Seconds and clips a second
# are as they were when it was trained: side by side with others it has a share of the threads, alone all of them.
#
# ## What each reads from a test clip

# %%
frames = {name: embed_in_shares(one.encoder, clips, folder, frames=profile.frames, progress=False).values for name, one in learned.items()}
logits = {name: one.logits(frames[name]) for name, one in learned.items()}
scored = pd.DataFrame({name: accuracies(logits[name][rows["test"]], label_idx[rows["test"]]) for name in recipes}).T
scored.round(1)

# %%
read = pd.concat([accuracy_by_attribute(logits[name][rows["test"]], label_idx[rows["test"]], labels).assign(encoder=name) for name in recipes])
by_attribute = plots.attribute_accuracy(read[read["values"] > 1])
by_attribute

# %% [markdown]
# *What to notice.* `saltos` and `rotation` are counts. Between labels alike in all else no single frame tells them (the last section tries). A
# reader that averages frames has to find them in which poses occur, or guess them from attributes that go with them; one that knows the order
# can count.
#
# ## Which labels are taken for which

# %%
best, paper = max(recipes, key=lambda name: learned[name].curve.val_top1.max()), "aim"
confused = {name: confusions(logits[name][rows["test"]], label_idx[rows["test"]], labels) for name in (paper, best)}
display(Markdown(f"The paper's stage 1 (`{paper}`):"), confused[paper].head(8).round(1))
display(Markdown(f"The best on val (`{best}`):"), confused[best].head(8).round(1))

# %%
pd.DataFrame({name: table.groupby("differs in").clips.sum() for name, table in confused.items()}).fillna(0).astype(int).sort_values(paper, ascending=False).head(10)

# %% [markdown]
# ## What the embedding space learned
# For each test clip the nearest clip of the training set by cosine: does it share the attribute? The frozen CLIP's mean frame stands
# beside.

# %%
features = {name: one.clip_features(frames[name]) for name, one in learned.items()}
features = {"frozen mean": frames[recipes[0]].mean(1)} | features if not RECIPES[recipes[0]].adapters else features
agreement = pd.concat([neighbours(values, rows["test"], rows["train"], label_idx, labels).rename(name) for name, values in features.items()], axis=1)
agreement.round(1)

# %%
stretched = labels[labels.text.str.startswith("(FX) salto backward stretched")].set_index("label_id").text.str.extract(r"with ([\d.]+) twist")[0].fillna("0")
twisting = np.flatnonzero(clips.label_id.isin(stretched.index) & (clips.split != "train"))
points = pd.concat([flatten(values[twisting]).assign(encoder=name, group=(stretched[clips.label_id[twisting]] + " twists").to_numpy()) for name, values in features.items()])
space = plots.embedding_map(points)
space

# %% [markdown]
# *What to notice.* Backward saltos on the floor that differ in their twists alone, val and test clips, on the two axes of largest
# spread. Where the counts lie apart, a search can tell them apart.
#
# ## How many frames does it take?
# The same ordered reader of frozen frames, taught and asked with fewer of them.

# %%
learned_of_few = {name: learn(name, TrainingClips(benchmark, folder, profile), seed, stage1 / name) for name in few.values()} | learned
by_frames = pd.concat([accuracy_by_attribute(
    learned_of_few[name].logits(embed_frames(RECIPES[name], learned_of_few[name].encoder, clips.iloc[rows["test"]], folder, profile, progress=False).values),
    label_idx[rows["test"]], labels).assign(frames=n) for n, name in {**few, profile.frames: "frozen-ordered"}.items()])
frames_curve = plots.curves(by_frames[by_frames.attribute.isin(["saltos", "rotation", "shape", "direction", "apparatus"])], "frames",
                            {"accuracy": "accuracy on test, per cent"}, by="attribute")
frames_curve

# %% [markdown]
# *What to notice.* One frame does better at `saltos` and `rotation` than a blind guess, since the label's other attributes, which it does show, leave
# few counts to choose from. Steps of two points are a handful of clips.
#
# ## Does one frame tell a count?
# A linear probe on one frozen frame, taught on every sixth training clip: what it reads of the frame, and, in the last two rows, whether it tells apart
# labels that differ in one count alone. By chance: the commonest value, and in the last two rows one over the number of counts.

# %%
some = clips.iloc[np.concatenate([rows["train"][::6], rows["test"]])]
middle = embed_clips(learned["frozen-ordered"].encoder, some, folder, frames=1, policy="middle", progress=False).values[:, 0]
factors = pd.read_parquet(folder / "factors.parquet").set_index("clip_id").loc[some.clip_id].reset_index()
facts = rendering.middle_frames(some, factors, profile.render_seed)
one_frame = find_frame_shortcuts(middle, factors, facts, (some.split == "train").to_numpy(), (some.split == "test").to_numpy())
one_frame.round(1)

# %% [markdown]
# *What to notice.* Place, shape and limbs are there to be read, the counts are not: the last two rows have no more than chance. `arms` has one value
# at mid-clip and says nothing.
#
# ## Checks

# %%
assert set(scored.clips) == {len(rows["test"])}
assert all(one.curve.loss.iloc[-1] < one.curve.loss.iloc[0] for one in learned.values())
assert clips.groupby("split").source_video.agg(set).pipe(lambda sets: not (sets["train"] & sets["test"]) and not (sets["train"] & sets["val"]))

# %% [markdown]
# ## Export

# %%
export = {"04_curves": (training_curves, curves), "04_by_attribute": (by_attribute, read), "04_embedding_space": (space, points),
          "04_frames": (frames_curve, by_frames)}
[path.name for name, (figure, drawn_from) in export.items() for path in plots.save_figure(figure, name, drawn_from, figures)]

# %% [markdown]
# Next: `05_stage2_contrastive_retrieval` searches with these encoders.
