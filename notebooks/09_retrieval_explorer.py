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
# Choose a clip, or open one of your own, say what should be different, and look at what is found. Go on from
# any result. Right and wrong are marked where the benchmark knows them: a full green outline and ✓, a dashed
# red one and ✗.
#
# Reads what `04` and `05` left in `runs/<source>/`. Where nothing was trained, the methods that need no
# training are there. Writes what you export to `runs/<source>/explorer/`. Opens within a minute on two
# cores, once the benchmark is rendered.

# %%
from IPython.display import Markdown, display

from tfcovr_utils import open_study
from tfcovr_utils.explorer import Explorer, Session

# %% tags=["parameters"]
source = "mini"  # mini, smoke, sim, twin; tfcovr, released; folder, for your own clips
profile = None  # sizes and weights; None takes the source's own
seed = 0  # of the training
render_seed = 0  # of the rendering: another number is another benchmark
annotations = None  # folder of annotation files; None takes $TFCOVR_ANNOTATIONS
clips = None  # folder of the clips, such as your own; None takes $TFCOVR_CLIPS
method = "clip-avg-zs"  # of the search printed at the end

# %%
study = open_study(source, seed, profile, render_seed, annotations, clips)
study.must_give("videos")
study.summary()

# %% [markdown]
# ## Ask
# Keys: `/` types a modification, the arrows go from card to card, enter takes a card as the next query. To
# search your own clips, name their folder here, as in `Explorer(session, folders=["CLIPS"])`, and type a path
# in it beside *your own*; `tfcovr index FOLDER` does the slow part of that beforehand.

# %%
session = Session.of_study(study)
explorer = Explorer(session)
explorer

# %% [markdown]
# *What to notice.* Take a result as the next query and undo the change: a method that composes leads back.
# One that only looks at the clip leads from lookalike to lookalike, whatever is asked; set `video-only`
# beside it.
#
# ## The same without a front end
# The first test query by its id, asked of one method.

# %%
if asks := study.gives("queries"):
    query = study.queries.iloc[0]
    answer = session.ask(query.query_clip, query.text, method=method, k=10)
    precision = ", ".join(f"AP@{k} {100 * value:.2f}" for k, value in answer.precision.items())
    shows = study.clips.text[query.query_clip]
    display(Markdown(f"**“{answer.text}”**, asked of {shows}: {answer.n_right} right answers, {precision}"))
    display(answer.ranking.round(3))

# %% [markdown]
# ## Checks

# %%
if asks:
    assert answer.query_clip not in set(answer.ranking.clip_id)
    assert answer.ranking.score.is_monotonic_decreasing and len(answer.ranking) <= 10
    assert answer.n_right == len(query.answers)

# %% [markdown]
# ## Export
# Nothing by itself: the buttons of the explorer do.
#
# Next: `10_paper_figures`.
