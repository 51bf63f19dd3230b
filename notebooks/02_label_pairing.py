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
# # 02 Label pairing
#
# Which two labels make a good query and answer, and can the similarity of their texts alone decide it?
#
# Reads the labels of a source (`mini`, or the real annotations), and `data/pair_decisions.csv` where a
# person has decided. Writes figures `02_*`. Takes seconds on any machine, once the benchmark is rendered.

# %%
import pandas as pd
from IPython.display import Markdown, display

from tfcovr_utils import open_study, plots
from tfcovr_utils.explorer import PairReviewer
from tfcovr_utils.labels.pairing import DECISIONS_PATH, proposal_quality, propose_pairs, similarity_matrix

# %% tags=["parameters"]
source = "mini"  # mini, smoke, sim, twin; tfcovr, released; folder, for your own clips
profile = None  # sizes and weights; None takes the source's own
seed = 0  # of the training
render_seed = 0  # of the rendering: another number is another benchmark
annotations = None  # folder of annotation files; None takes $TFCOVR_ANNOTATIONS
clips = None  # folder of the clips, such as your own; None takes $TFCOVR_CLIPS

# %%
study = open_study(source, seed, profile, render_seed, annotations, clips)
study.must_give("pairs")
study.summary()

# %% [markdown]
# ## What a label says
# A label's text is parsed into attributes. Whatever the grammar cannot read is kept as residue.

# %%
labels = study.labels.sort_values(["event", "family", "text"], ignore_index=True)
display(Markdown(f"Labels with residue: **{(labels.residue != '').sum()}** of {len(labels)}."))
shown = ["event", "family", "text", "base", "direction", "shape", "saltos", "rotation"]
labels.groupby("event").sample(1, random_state=0)[shown]

# %% [markdown]
# ## What the texts' similarity proposes
# The paper takes pairs whose texts CLIP finds similar, then checks them by hand. Without CLIP's weights the
# similarity here is lexical: shared word pairs and word order.

# %%
heat = plots.similarity_map(similarity_matrix(labels.text.tolist()), labels)
heat

# %%
proposed = propose_pairs(study.benchmark.labels)
quality = proposal_quality(proposed)
quality.round(3)

# %%
cuts = plots.precision_by_threshold(proposed)
cuts

# %%
verified = [f"{name}: {row.precision:.0%} of {row.proposed:.0f}" for name, row in quality.iterrows()]
Markdown(
    "*What to notice.* The cut keeps at least four in five of the verified pairs. Of the pairs that it "
    f"proposes, these are verified: {'; '.join(verified)}. The more labels share their words, the lower this "
    'falls: look at `source = "tfcovr"`. So similarity proposes, the attributes verify, and a person can '
    "overrule both."
)

# %% [markdown]
# ## What the attributes verify
# Tier 1: one attribute differs on one apparatus (*temporal*), or none across two (*event*). Tier 2: a label
# that is still alone, with its nearest. Tier 3, harder: two or three attributes differ.

# %%
pairs = study.benchmark.pairs
undirected = pairs[pairs.source_label < pairs.target_label].sort_values(["tier", "similarity"])
pd.crosstab(undirected.tier, undirected.kind, margins=True)

# %%
graph = plots.label_graph(undirected, labels)
graph

# %% [markdown]
# *What to notice.* Temporal changes stay within an apparatus. Event changes cross between two that share a
# skill. Faint lines are tier 3.
#
# ## What each change looks like
# The most frequent changes of tier 1, with one pair each: above the query's label, below the answer's.

# %%
first = {"pairs": ("tier", "size"), "source": ("source_label", "first"), "target": ("target_label", "first")}
kinds = undirected[undirected.tier == 1].groupby(["kind", "changed"]).agg(**first)
kinds = kinds.sort_values("pairs", ascending=False).reset_index()
text = study.labels.text
kinds.assign(source=kinds.source.map(text), target=kinds.target.map(text))

# %%
if study.gives("motion"):
    test = study.clips[study.clips.split == "test"].sort_values("clip_id").groupby("label_id").clip_id.first()
    rows = kinds.head(5).itertuples()
    shown = {row.changed: (test[row.source], test[row.target]) for row in rows}
    ends = {
        f"{name} ({end})": pair[n]
        for name, pair in shown.items()
        for n, end in enumerate(["query", "answer"])
    }
    display(study.sheet(ends))

# %% [markdown]
# ## Decide for yourself
# The paper verified its pairs by hand. Accept, reject or change the kind of a pair: each decision is written
# at once to `data/pair_decisions.csv`, and every later run follows it. Without a front end, the table below
# is what there is to decide on.

# %%
reviewer = PairReviewer(undirected, text.to_dict(), DECISIONS_PATH)
reviewer.widget

# %%
named = undirected.assign(source=undirected.source_label.map(text), target=undirected.target_label.map(text))
named[["tier", "kind", "changed", "similarity", "source", "target"]].head(8)

# %% [markdown]
# ## Checks

# %%
assert (labels.residue == "").all()
assert set(pairs.source_label) == set(labels.label_id), "a label is in no pair"
assert set(zip(pairs.source_label, pairs.target_label)) == set(zip(pairs.target_label, pairs.source_label))

# %% [markdown]
# ## Export

# %%
study.export("02", similarity=(heat, proposed), label_graph=(graph, undirected), threshold=(cuts, proposed))

# %% [markdown]
# Next: `03_modification_generation` writes the instruction that leads from one label of a pair to the other.
