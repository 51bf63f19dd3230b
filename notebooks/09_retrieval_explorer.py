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
#     outputs: false
#     reads:
#     - stage2
# ---

# %% [markdown]
# # 09 The retrieval explorer
#
# What does a method find when somebody else asks?
#
# Choose a clip, or open one of your own, say what should be different, and look at what is found; go on from any result. Right and wrong are
# marked where the benchmark knows them: a full green outline and ✓, a dashed red one and ✗.
#
# Reads what `04` and `05` left in `runs/<profile>/`; where nothing was trained, the methods that need no training are there. Writes what you
# export to `runs/<profile>/explorer/`. Opens within a minute where the benchmark is rendered, under `mini` and `smoke` alike, on two cores.

# %%
from IPython.display import Markdown, display

from tfcovr_utils.explorer import Explorer, Session
from tfcovr_utils.profiles import provenance

# %% tags=["parameters"]
profile = "mini"  # smoke, mini or sim
seed = 0  # of the training
render_seed = 0  # of the rendering: another number is another benchmark
method = "clip-avg-zs"  # of the search printed at the end

# %%
session = Session.open(profile, seed, render_seed)
display(Markdown(f"{len(session.clips):,} clips, galleries {'; '.join(session.galleries)}, methods {', '.join(session.methods)}  \n"
                 f"`{provenance(session.setting.profile, seed)}`"))

# %% [markdown]
# ## Ask
# Keys: `/` types a modification, the arrows go from card to card, enter takes a card as the next query. To search your own clips, give a
# folder's path beside *your own*; `tfcovr index FOLDER` does the slow part of that beforehand.

# %%
explorer = Explorer(session)
explorer

# %% [markdown]
# *What to notice.* Take a result as the next query and undo the change: a method that composes leads back. One that only looks at the clip
# leads from lookalike to lookalike whatever is asked; set `video-only` beside it.
#
# ## The same without a front end
# The first test query by its id, asked of one method.

# %%
queries = session.setting.benchmark.queries.query("split == 'test'").sort_values("query_id")
texts = session.setting.benchmark.modifications.set_index("modification_id").text
query = queries.iloc[0]
answer = session.ask(query.query_clip, texts[query.modification_id], method=method, k=10)
display(Markdown(f"**“{answer.text}”**, asked of {session.clips.label[answer.query_clip]}: {answer.n_right} right answers, "
                 + ", ".join(f"AP@{k} {100 * value:.2f}" for k, value in answer.precision.items())))

# %% [markdown]
# ## Checks

# %%
assert answer.query_clip not in set(answer.ranking.clip_id)
assert answer.ranking.score.is_monotonic_decreasing and len(answer.ranking) == 10
assert answer.n_right == (session.setting.benchmark.targets.query("gallery == 'full'").query_id == query.query_id).sum()

# %% [markdown]
# ## Export
# Nothing by itself: the buttons of the explorer do.
#
# Next: `10_paper_figures`.

# %%
answer.ranking.round(3)
