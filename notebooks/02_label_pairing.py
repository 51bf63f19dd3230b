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
# Reads the labels of a source (`mini`, or the real annotations) and `data/pair_decisions.csv` where a person has decided.
# Writes `runs/<profile>/figures/02_*`. Seconds on any machine, once the benchmark is rendered.

# %%
import pandas as pd
from IPython.display import Markdown, display

from tfcovr_utils import rendering, plots
from tfcovr_utils.explorer import PairReviewer
from tfcovr_utils.video.frames import read_clips
from tfcovr_utils.labels import Attributes
from tfcovr_utils.labels.pairing import DECISIONS_PATH, pair_labels, propose_pairs, similarity_matrix
from tfcovr_utils.profiles import annotations_dir, get_profile, provenance, runs_dir
from tfcovr_utils.sources import load_source

# %% tags=["parameters"]
profile = "mini"  # smoke, mini or sim
seed = 0  # nothing here is drawn; kept so that all notebooks take the same parameters
source = "mini"  # mini, or the real annotations: tfcovr, finegym, finediving
annotations = None  # folder of the real annotation files; None takes $TFCOVR_ANNOTATIONS

# %%
profile = get_profile(profile)
rendered = source == "mini"
folder = rendering.build(profile, progress=False) if rendered else annotations_dir(annotations)
tables = load_source(source, folder)
figures = plots.figures_dir(runs_dir(profile, source), seed)
display(Markdown(f"source **{source}**, {len(tables.labels)} labels  \n`{provenance(profile, seed, source=source)}`"))

# %% [markdown]
# ## What a label says
# A label's text is parsed into attributes. Whatever the grammar cannot read would be left over as residue.

# %%
attributes = tables.labels.attributes.map(Attributes.from_json)
labels = tables.labels.assign(family=[a.family for a in attributes], residue=[a.residue for a in attributes])
labels = labels.sort_values(["event", "family", "text"], ignore_index=True)
display(Markdown(f"Labels with residue: **{(labels.residue != '').sum()}** of {len(labels)}."))
labels.groupby("event").sample(1, random_state=0)[["event", "family", "text", "attributes"]]

# %% [markdown]
# ## What the texts' similarity proposes
# The paper takes pairs whose texts CLIP finds similar, then looks through them by hand. Without CLIP's weights the similarity here is
# lexical: shared word pairs and word order.

# %%
similarity = similarity_matrix(labels.text.tolist())
heat = plots.similarity_map(similarity, labels)
heat

# %%
proposed = propose_pairs(labels)
quality = proposed.groupby("dataset").apply(lambda part: pd.Series({
    "pairs": len(part), "cut": part.threshold.iloc[0], "proposed": part.proposed.sum(), "verified": part.verified.sum(),
    "precision": part.verified[part.proposed].mean(), "recall": part.proposed[part.verified].mean()}), include_groups=False)
quality.round(3)

# %%
cuts = plots.precision_by_threshold(proposed)
cuts

# %%
said = "; ".join(f"{name}: {row.precision:.0%} of {row.proposed:.0f} proposed pairs" for name, row in quality.iterrows())
display(Markdown(f"*What to notice.* The cut keeps at least four in five of the verified pairs. Verified, of what it proposes, are {said}. The more labels "
                 "share their words, the lower this falls: look at `source = \"tfcovr\"`. So similarity proposes, the attributes verify, and a "
                 "person can overrule both."))

# %% [markdown]
# ## What the attributes verify
# Tier 1: one attribute differs on one apparatus (*temporal*), or none across two (*event*). Tier 2: a label still alone, with its nearest.
# Tier 3, harder: two or three attributes differ.

# %%
pairs = pair_labels(labels, decisions=DECISIONS_PATH)
undirected = pairs[pairs.source_label < pairs.target_label]
pd.crosstab(undirected.tier, undirected.kind, margins=True)

# %%
graph = plots.label_graph(undirected, labels)
graph

# %% [markdown]
# *What to notice.* Temporal changes stay within an apparatus, event changes cross between two that share a skill. Faint lines are tier 3.
#
# ## What each change looks like
# The most frequent changes of tier 1, with one pair each: above the query's label, below the answer's.

# %%
text = dict(zip(labels.label_id, labels.text))
kinds = undirected[undirected.tier == 1].groupby(["kind", "changed"]).agg(pairs=("tier", "size"), source=("source_label", "first"), target=("target_label", "first"))
kinds = kinds.sort_values("pairs", ascending=False).reset_index()
kinds.assign(source=kinds.source.map(text), target=kinds.target.map(text))

# %%
if rendered:
    test = tables.clips[tables.clips.split == "test"].sort_values("clip_id").groupby("label_id").first()
    shown = {f"{row.changed}{' (query)' if end == 'source' else ' (answer)'}": read_clips([folder / test.path[getattr(row, end)]], 12)[0]
             for row in kinds.head(5).itertuples() for end in ("source", "target")}
    display(plots.contact_sheet(shown))

# %% [markdown]
# ## Decide for yourself
# The paper verified its pairs by hand. Accept, reject or change the kind of a pair: each decision is written at once to
# `data/pair_decisions.csv`, and every later run obeys it. Without a front end, the table below is what there is to decide on.

# %%
reviewer = PairReviewer(undirected.sort_values(["tier", "similarity"]), text, DECISIONS_PATH)
reviewer.widget

# %%
undirected.sort_values(["tier", "similarity"]).assign(source=undirected.source_label.map(text), target=undirected.target_label.map(text))[
    ["tier", "kind", "changed", "similarity", "source", "target"]].head(8)

# %% [markdown]
# ## Checks

# %%
assert (labels.residue == "").all()
assert set(pairs.source_label) == set(labels.label_id), "a label stands in no pair"
assert set(zip(pairs.source_label, pairs.target_label)) == set(zip(pairs.target_label, pairs.source_label))

# %% [markdown]
# ## Export

# %%
export = {"02_similarity": (heat, proposed), "02_label_graph": (graph, undirected), "02_threshold": (cuts, proposed)}
[path.name for name, (figure, drawn_from) in export.items() for path in plots.save_figure(figure, name, drawn_from, figures)]

# %% [markdown]
# Next: `03_modification_generation` writes the instruction that leads from one label of a pair to the other.
