"""TF-CoVR-Base, what it is made of, and what goes past it: stage 2 on encoders that stage 1 has taught."""

from functools import partial

from .base import Method
from .features import AimFeatures, LearnedFeatures
from .fits import fit_jointly, fit_mlp, fit_zero_shot


def _learned(recipe: str, **options):
    return partial(LearnedFeatures, recipe=recipe, **options)


_MLP = "A query is the stage-2 MLP of its text and its clip, clips as {}."
TFCOVR_ROWS = (
    Method(
        "tfcovr-base-zs",
        "zero-shot",
        "A query is the average of two unit features, its text by CLIP and its clip by stage 1 (the paper's AIM, "
        "mean frame) through CLIP's visual projection, a gallery clip the latter; our reading of a row that the paper does not define.",
        partial(fit_zero_shot, make=_learned("aim"), video="joint", text=True),
        seeded=True,
    ),
    Method(
        "tfcovr-stage2-only",
        "fine-tuned",
        _MLP.format(
            "the mean frame of AIM before stage 1, which is the frozen CLIP, or of AIM weights given"
        ),
        partial(fit_mlp, make=AimFeatures),
        seeded=True,
    ),
    Method(
        "tfcovr-base",
        "fine-tuned",
        _MLP.format("the mean frame of AIM after stage 1: the paper's method"),
        partial(fit_mlp, make=_learned("aim")),
        seeded=True,
    ),
)
BEYOND_ROWS = tuple(
    Method(
        name,
        "beyond the paper",
        _MLP.format(f"the recipe {recipe} has it"),
        partial(fit_mlp, make=_learned(recipe)),
        seeded=True,
    )
    for name, recipe in (
        ("labels-mlp", "frozen-mlp"),
        ("tfcovr-set", "frozen-set"),
        ("tfcovr-ordered", "frozen-ordered"),
        ("tfcovr-ordered-factors", "frozen-factors"),
        ("tfcovr-ordered-supcon", "frozen-supcon"),
        ("tfcovr-ordered-16", "frozen-ordered-16"),
        ("tfcovr-two-rates", "frozen-two-rates"),
        ("tfcovr-aim-ordered", "aim-ordered"),
        ("tfcovr-base-brief", "aim-brief"),
        ("tfcovr-base-long", "aim-long"),
    )
) + (
    Method(
        "tfcovr-ordered-posteriors",
        "beyond the paper",
        _MLP.format("tfcovr-ordered has it and, beside, the root of its label posterior"),
        partial(fit_mlp, make=_learned("frozen-ordered", posteriors=True)),
        seeded=True,
    ),
    Method(
        "tfcovr-single-stage",
        "beyond the paper",
        "A query is the MLP of its text and its clip, clips as the mean of frozen frames through a "
        "transformer over time, all trained at once by labels and by contrast.",
        fit_jointly,
        seeded=True,
    ),
    Method(
        "tfcovr-text-pooling",
        "beyond the paper",
        "tfcovr-single-stage, the query clip's frames weighed by attention that its text asks for.",
        partial(fit_jointly, pooling="text"),
        seeded=True,
    ),
)
SHUFFLED_ROWS = (
    Method(
        "tfcovr-base-shuffled-test",
        "control",
        "tfcovr-base, searching with the frames of every clip in random order.",
        partial(fit_mlp, make=_learned("aim"), make_at_test=_learned("aim", shuffled=True)),
        seeded=True,
    ),
    Method(
        "tfcovr-base-shuffled",
        "control",
        "tfcovr-base, trained and searching with the frames of every clip in random order.",
        partial(fit_mlp, make=_learned("aim-shuffled", shuffled=True)),
        seeded=True,
    ),
    Method(
        "tfcovr-ordered-shuffled-test",
        "control",
        "tfcovr-ordered, searching with the frames of every clip in random order.",
        partial(
            fit_mlp, make=_learned("frozen-ordered"), make_at_test=_learned("frozen-ordered", shuffled=True)
        ),
        seeded=True,
    ),
    Method(
        "tfcovr-ordered-shuffled",
        "control",
        "tfcovr-ordered, trained and searching with the frames of every clip in random order.",
        partial(fit_mlp, make=_learned("ordered-shuffled", shuffled=True)),
        seeded=True,
    ),
)
