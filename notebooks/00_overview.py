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
# ---

# %% [markdown]
# # 00 Overview
#
# What does a composed query ask for, and what counts as a right answer?
#
# A coach sees a clip and says what should be different: *show with 2.5 twists*. Composed video retrieval finds the clips that satisfy
# both. This notebook asks one such query of `mini`, the benchmark that this repository renders itself, shows its right answers, and has a
# first system answer it, from decoded frames to a ranked list.
# Reads the CLIP weights of the profile; writes nothing but what is kept for all notebooks, the rendering and the embeddings: three minutes
# on two cores the first time (half a minute under `smoke`), seconds afterwards.

# %%
import textwrap

import pandas as pd
from IPython.display import Markdown, display

from tfcovr_utils import rendering, plots
from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.evaluation.scoring import evaluate
from tfcovr_utils.video.frames import read_clips
from tfcovr_utils.methods import METHODS, Setting
from tfcovr_utils.profiles import get_profile, provenance
from tfcovr_utils.evaluation.rows import embed_in_shares
from tfcovr_utils.sources import load_source
from tfcovr_utils.benchmark.benchmark import Benchmark

# %% tags=["parameters"]
profile = "mini"  # smoke, mini or sim
seed = 0  # of the training

# %%
profile = get_profile(profile)
folder = rendering.build(profile, progress=False)
benchmark = Benchmark.build(load_source("mini", folder))
clips, text = benchmark.clips.set_index("clip_id"), dict(zip(benchmark.labels.label_id, benchmark.labels.text))
display(Markdown(f"profile **{profile.name}**: {len(clips):,} clips of {len(text)} labels  \n`{provenance(profile, seed)}`"))

# %% [markdown]
# ## A query
# Of each kind of change, the first test query by its id. *Temporal*: something else happens on the same apparatus. *Event*: the same
# skill on another one.

# %%
queries = benchmark.queries[benchmark.queries.split == "test"].merge(benchmark.modifications[["modification_id", "text", "source_label", "target_label"]], on="modification_id")
queries = queries.merge(benchmark.pairs[["source_label", "target_label", "kind", "tier"]], on=["source_label", "target_label"])
chosen = queries[queries.tier == 1].sort_values("query_id").groupby("kind").first()
chosen[["query_clip", "text"]].assign(shows=[text[clips.label_id[clip]] for clip in chosen.query_clip])

# %%
answers = benchmark.targets[benchmark.targets.gallery == "full"].groupby("query_id").clip_id.apply(sorted)
query = chosen.loc["temporal"]
rows = {"query": query.query_clip} | {f"answer {number}": clip for number, clip in enumerate(answers[query.query_id][:3], 1)}
display(Markdown(f"**“{query.text}”**"))
plots.contact_sheet({f"{name}: " + textwrap.fill(text[clips.label_id[clip]], 30): read_clips([folder / clips.path[clip]], 12)[0] for name, clip in rows.items()})

# %%
query = chosen.loc["event"]
rows = {"query": query.query_clip} | {f"answer {number}": clip for number, clip in enumerate(answers[query.query_id][:3], 1)}
display(Markdown(f"**“{query.text}”** (event change)"))
plots.contact_sheet({f"{name}: " + textwrap.fill(text[clips.label_id[clip]], 30): read_clips([folder / clips.path[clip]], 12)[0] for name, clip in rows.items()})

# %% [markdown]
# *What to notice.* The answers may show any athlete, hall and camera. What they share with the query is the skill, less what the
# instruction changes. There are several of them, so a ranking is scored by mAP@K, not by whether one clip came first.

# %%
gallery = benchmark.gallery[(benchmark.gallery.split == "test") & (benchmark.gallery.gallery == "full")]
display(Markdown(f"The test split asks **{len(queries)}** such queries of a gallery of **{len(gallery)}** clips; a query has "
                 f"**{answers[queries.query_id].map(len).mean():.1f}** right answers on average. A ranking at random would find one of them first in "
                 f"**{answers[queries.query_id].map(len).mean() / (len(gallery) - 1):.1%}** of the queries."))

# %% [markdown]
# ## A first system answers
# Frames are embedded by a frozen CLIP and averaged, the instruction by its text half, and a small MLP learns on the training triplets to
# put the two together so that the result lies near the right clips. Then every clip of the gallery is ranked by its cosine to the query.

# %%
embed_in_shares(load_encoder("clip", profile.clip_weights, read_out="pooled"), benchmark.clips, folder, frames=profile.frames, progress=False)
setting = Setting(benchmark, folder, profile, seed)
scored = {name: evaluate(METHODS[name].fit(setting), benchmark).set_index("query_id") for name in ("random", "clip-avg-zs", "clip-mlp-15")}
query = chosen.loc["temporal"]
ranking = scored["clip-mlp-15"].loc[query.query_id]
right = set(answers[query.query_id])
top = {"query": query.query_clip} | {f"{rank} {'✓' if clip in right else '✗'}": clip for rank, clip in enumerate(ranking.retrieved[:5], 1)}
display(Markdown(f"**“{query.text}”**, answered by `clip-mlp-15`: AP@50 = {100 * ranking['ap@50']:.2f}"))
plots.contact_sheet({f"{name} " + textwrap.fill(text[clips.label_id[clip]], 30): read_clips([folder / clips.path[clip]], 12)[0] for name, clip in top.items()})

# %% [markdown]
# Over all test queries, in per cent:

# %%
pd.DataFrame({name: 100 * table[["ap@5", "ap@10", "ap@25", "ap@50"]].mean() for name, table in scored.items()}).T.rename(columns=lambda name: name.replace("ap", "mAP")).round(2)

# %% [markdown]
# *What to notice.* A wrong clip near the top usually shares the apparatus and the shape of the right one and differs in a count: the mean
# over frames has forgotten the order in which they came.
#
# ## How the notebooks build on each other
# | notebook | asks |
# |---|---|
# | `01_dataset_statistics` | what is in the benchmark; does it take time to tell its labels apart? |
# | `02_label_pairing` | which labels form a query and its answer? |
# | `03_modification_generation` | what instruction leads from one to the other; what benchmark results? |
# | `04_stage1_temporal_pretraining` | what does an encoder learn about time from fine-grained labels? |
# | `05_stage2_contrastive_retrieval` | how well are the right clips found, and what does the score rest on? |
# | `06_zero_shot_baselines` | how far do models come that were never trained on these triplets? |
# | `07_finetuned_baselines` | what do the paper's peers reach when trained, and what do long instructions and descriptions add? |
# | `08_qualitative_retrieval` | what stands at the top of the rankings, and what exactly is wrong with it? |
# | `09_retrieval_explorer` | what does a method find when somebody else asks? |
# | `10_paper_figures` | which figures and tables of the paper does this run give? |
#
# ## Checks

# %%
asked = benchmark.targets.merge(queries[["query_id", "query_clip"]], on="query_id")
assert (asked.clip_id != asked.query_clip).all()
assert set(clips.split[asked.clip_id]) == {"test"} and answers[queries.query_id].map(len).min() >= 1

# %% [markdown]
# ## Export
# Nothing: the next notebooks write their own figures.
#
# Next: `01_dataset_statistics`.
