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
# A coach sees a clip and says what should be different: *show with 2.5 twists*. Composed video retrieval
# finds the clips that satisfy both. This notebook asks one such query of `mini`, the benchmark that this
# repository renders, and shows its right answers. Then a first system answers it, from decoded frames to a
# ranked list.
#
# Reads the profile's CLIP weights. Writes only the rendering and the embeddings, which all notebooks share.
# On two cores it takes three minutes the first time (half a minute for `smoke`), seconds afterwards.

# %%
from IPython.display import Markdown, display

from tfcovr_utils import open_study
from tfcovr_utils.evaluation.results import HEADLINES

# %% tags=["parameters"]
source = "mini"  # mini, smoke, sim, twin; tfcovr, released; folder, for your own clips
profile = None  # sizes and weights; None takes the source's own
seed = 0  # of the training
render_seed = 0  # of the rendering: another number is another benchmark
annotations = None  # folder of annotation files; None takes $TFCOVR_ANNOTATIONS
clips = None  # folder of the clips, such as your own; None takes $TFCOVR_CLIPS

# %%
study = open_study(source, seed, profile, render_seed, annotations, clips)
study.summary()

# %% [markdown]
# ## A query
# The first test query of each kind of change, by its id. *Temporal*: something else happens on the same
# apparatus. *Event*: the same skill on another apparatus.

# %%
asks = study.gives("queries")
chosen = study.queries.sort_values(["tier", "query_id"]).groupby("kind").head(1).iloc[::-1]
chosen[["kind", "query_clip", "text"]].assign(shows=chosen.query_clip.map(study.clips.text))

# %%
for query in chosen.itertuples():
    answers = dict(zip(["answer 1", "answer 2"], query.answers))
    display(Markdown(f"**“{query.text}”** ({query.kind} change)"))
    display(study.sheet({"query": query.query_clip, **answers}, labelled=True))

# %% [markdown]
# *What to notice.* The answers may show any athlete, hall and camera. They share the query's skill, except
# for what the instruction changes. There are several answers, so a ranking is scored by mAP@K, not by
# whether one certain clip came first.

# %%
answers = study.queries.answers.map(len).mean()
gallery = study.benchmark.gallery.query("split == 'test' and gallery == @study.headline")
Markdown(
    f"The test split asks **{len(study.queries)}** such queries of a gallery of **{len(gallery)}** clips. "
    f"A query has **{answers:.1f}** right answers on average, so a random ranking finds one of them first in "
    f"**{answers / (len(gallery) - 1):.1%}** of the queries."
)

# %% [markdown]
# ## A first system answers
# A frozen CLIP embeds the frames, which are averaged, and its text half embeds the instruction. A small MLP
# learns on the training triplets to combine the two, so that the result lies near the right clips. Then
# every clip of the gallery is ranked by its cosine to the query.

# %%
if asks:
    rows = ["random", "clip-avg-zs", "clip-mlp-15", *["tfcovr-base"] * ("aim" in study.embeddings)]
    table = study.score(rows)
    system = table.index[table.status == "run"][-1]
    query = chosen.iloc[-1]
    ranking = study.ask(query.query_clip, query.text, k=5, method=system)
    display(ranking[["rank", "clip_id", "score", "label", "right"]].round(3))

# %%
if asks:
    marks = ranking.right.map({True: "✓", False: "✗"})
    ranked = {f"{rank} {mark}": clip for rank, mark, clip in zip(ranking["rank"], marks, ranking.clip_id)}
    display(Markdown(f"**“{query.text}”**, answered by `{system}`"))
    display(study.sheet({"query": query.query_clip, **ranked}, labelled=True))

# %% [markdown]
# Over all test queries, in per cent:

# %%
if asks:
    display(table[[*HEADLINES, "status"]].round(2))

# %% [markdown]
# *What to notice.* A wrong clip near the top usually shares the apparatus and the shape of the right one and
# differs in a count: the mean over frames has lost the order in which they came.
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
# | `07_finetuned_baselines` | what do the paper's peers reach, and what do long instructions add? |
# | `08_qualitative_retrieval` | what is ranked first, and what exactly is wrong with it? |
# | `09_retrieval_explorer` | what does a method find when somebody else asks? |
# | `10_paper_figures` | which figures and tables of the paper does this run give? |
# | `11_open_world` | what is left when the test asks for what nobody taught? |
#
# ## Checks

# %%
for asked in study.queries.itertuples():
    assert asked.answers and asked.query_clip not in asked.answers
    assert set(study.clips.split[asked.answers]) == {"test"}

# %% [markdown]
# ## Export
# Nothing: the next notebooks write their own figures.
#
# Next: `01_dataset_statistics`.
