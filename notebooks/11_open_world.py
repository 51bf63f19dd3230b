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
#     joins:
#     - seeds
#     reads:
#     - overview
#     writes:
#     - open-*
#     - seed-*
# ---

# %% [markdown]
# # 11 The open world
#
# What is left of a score when the test asks for something that nobody taught?
#
# Every question of the benchmark is about labels that stage 1 was taught and label pairs that stage 2 was
# taught. Here some of them are held out of all training, by a rule that looks at annotations alone. The
# queries and the gallery stay the same, so each score stands beside the closed one.
#
# Reads the benchmark. Writes results to `runs/<source>/open-*/`, trained rows beside those of this seed, and
# figures `11_*`. On two cores it takes ten minutes for `mini`, two for `smoke`.

# %%
import pandas as pd

from tfcovr_utils import open_study, plots
from tfcovr_utils.benchmark.open_world import CLOSED, WAYS, hold_out
from tfcovr_utils.evaluation.asked import across, by_what_is_asked

# %% tags=["parameters"]
source = "mini"  # mini, smoke, sim, twin; tfcovr, released; folder, for your own clips
profile = None  # sizes and weights; None takes the source's own
seed = 0  # of the training
render_seed = 0  # of the rendering: another number is another benchmark
annotations = None  # folder of annotation files; None takes $TFCOVR_ANNOTATIONS
clips = None  # folder of the clips, such as your own; None takes $TFCOVR_CLIPS

# %%
study = open_study(source, seed, profile, render_seed, annotations, clips)
study.must_give("queries", "videos", "attributes")
study.summary()

# %% [markdown]
# ## What is held out
# `labels`: a fifth of the labels, so that each value of their attributes is still taught by another label.
# `pairs`: a fifth of the label pairs, in both directions; their labels stay. `count`: every label with the
# largest count of twists or turns that two labels share, so that no clip teaches this count.

# %%
held = {way: hold_out(study.benchmark, way) for way in WAYS}
shares = {
    way: {
        "labels held out": len(one.labels),
        "triplets left": len(one.benchmark.triplets) / len(study.benchmark.triplets),
        **one.asked[one.asked.index.str.startswith("test")].value_counts(),
    }
    for way, one in held.items()
}
pd.DataFrame(shares).round(2)

# %% [markdown]
# ## The rows
# Two of them do not learn labels as such. Stage 1's recipe `frozen-attributes` teaches a head for each
# attribute. `symbolic` names the query clip's attributes, lets the repository's reader of texts change them,
# and ranks the gallery by the posterior $\sum_a \log p_a(v_a \mid x)$ of what is then wanted.
# `tfcovr-composed` learns the same from triplets, and no grammar: for each attribute $a$, a small network
# reads the text as a choice between keeping the clip's value and each other value,
#
# $$ t_a = g_a(\text{keep})\, p_a(\cdot \mid x_q) + \sum_v g_a(v)\, e_v , $$
#
# and query and target are compared attribute by attribute, under the same contrastive loss as every row.

# %%
rows = ["text-only", "clip-mlp-15", "labels-mlp", "tfcovr-ordered", "symbolic", "tfcovr-composed"]
study.about(rows)

# %%
worlds = {way: study.on(one.benchmark, f"open-{way}") for way, one in held.items()}
for world in worlds.values():
    world.score(rows, [study.headline])
tables = {way: by_what_is_asked(world.results(rows), held[way].asked) for way, world in worlds.items()}
open_world = across(tables).reindex(rows)
open_world.round(1)

# %% [markdown]
# *What to notice.* Read each row from its `closed` column to the right. What a row loses there is what it had
# learned about these labels, not about what they show.

# %%
pd.concat(tables, names=["held out"]).round(1)

# %%
fall = plots.open_world(open_world.drop(columns=[("pairs", CLOSED), ("count", CLOSED)]))
fall

# %% [markdown]
# ## Checks

# %%
for one in held.values():
    taught = one.benchmark.clips[one.benchmark.clips.split != "test"]
    assert not set(taught.label_id) & set(one.labels)
    assert (one.benchmark.queries.split == "test").sum() == (study.benchmark.queries.split == "test").sum()

# %% [markdown]
# ## Export

# %%
study.export("11", open_world=(fall, pd.concat(tables, names=["held out"]).reset_index()))
