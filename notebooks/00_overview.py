# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     notebook_metadata_filter: kernelspec,-jupytext.text_representation.jupytext_version
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
# both. This notebook asks one such query of `mini`, the benchmark that this repository renders itself, and shows its right answers.
# Reads nothing; writes nothing but the rendering, once: two minutes on two cores (half a minute under `smoke`), seconds afterwards.

# %%
import textwrap

from IPython.display import Markdown, display

from tfcovr_utils import mini, plots
from tfcovr_utils.frames import read_clips
from tfcovr_utils.profiles import get_profile, provenance
from tfcovr_utils.sources import load_source
from tfcovr_utils.triplets import Benchmark

# %% tags=["parameters"]
profile = "mini"  # smoke, mini or sim
seed = 0  # nothing is drawn here; kept so that all notebooks take the same parameters

# %%
profile = get_profile(profile)
folder = mini.build(profile, progress=False)
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
# ## How the notebooks build on each other
# | notebook | asks |
# |---|---|
# | `01_dataset_statistics` | what is in the benchmark; does it take time to tell its labels apart? |
# | `02_label_pairing` | which labels form a query and its answer? |
# | `03_modification_generation` | what instruction leads from one to the other; what benchmark results? |
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
