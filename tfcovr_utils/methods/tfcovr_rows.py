"""TF-CoVR-Base, its parts, and methods beyond it: stage 2 on encoders that stage 1 has trained."""

from functools import partial

from .base import Method
from .features import AimFeatures, LearnedFeatures, PoseFeatures
from .fits import fit_composed_attributes, fit_jointly, fit_mlp, fit_symbolic, fit_zero_shot

_FT, _BEYOND, _CONTROL = "fine-tuned", "beyond the paper", "control"
_trained = partial(Method, seeded=True)


def _mlp(recipe: str, **options) -> partial:
    return partial(fit_mlp, make=partial(LearnedFeatures, recipe=recipe, **options))


_MLP = "A query is the stage-2 MLP of its text and its clip; clips are embedded by {}."
_ZERO_SHOT = (
    "A query is the average of CLIP's unit text feature and AIM's mean frame after stage 1, projected by "
    "CLIP and unit, as a gallery clip is; our reading of a row that the paper does not define."
)
_SINGLE_STAGE = (
    "A query is the MLP of its text and its clip, clips are the mean of frozen frames through a "
    "transformer over time, and all of it is trained at once by labels and by contrast."
)
_COMPOSED = (
    "A clip is the posteriors of its attributes by stage 1's recipe frozen-attributes; a query is its own "
    "clip's, of which the text, read by a small network, keeps some and replaces others."
)
_SYMBOLIC = (
    "A query is its clip's likeliest attributes, changed as the repository's reader reads the text; clips "
    "are ranked by the posterior of these attributes, and only stage 1 is trained."
)
TFCOVR_ROWS = (
    _trained(
        "tfcovr-base-zs",
        "zero-shot",
        _ZERO_SHOT,
        partial(fit_zero_shot, make=partial(LearnedFeatures, recipe="aim"), video="joint"),
    ),
    _trained(
        "tfcovr-stage2-only",
        _FT,
        _MLP.format("AIM's mean frame before stage 1, which is the frozen CLIP's, or by given AIM weights"),
        partial(fit_mlp, make=AimFeatures),
    ),
    _trained(
        "tfcovr-base", _FT, _MLP.format("AIM's mean frame after stage 1: the paper's method"), _mlp("aim")
    ),
)
_RECIPES = {
    "labels-mlp": "frozen-mlp",
    "tfcovr-set": "frozen-set",
    "tfcovr-ordered": "frozen-ordered",
    "tfcovr-ordered-factors": "frozen-factors",
    "tfcovr-ordered-supcon": "frozen-supcon",
    "tfcovr-ordered-16": "frozen-ordered-16",
    "tfcovr-two-rates": "frozen-two-rates",
    "tfcovr-aim-ordered": "aim-ordered",
    "tfcovr-base-brief": "aim-brief",
    "tfcovr-base-long": "aim-long",
}
BEYOND_ROWS = (
    *(
        _trained(name, _BEYOND, _MLP.format(f"stage 1's recipe {recipe}"), _mlp(recipe))
        for name, recipe in _RECIPES.items()
    ),
    _trained(
        "tfcovr-ordered-posteriors",
        _BEYOND,
        _MLP.format("the encoder of tfcovr-ordered and the square root of its label posterior, side by side"),
        _mlp("frozen-ordered", posteriors=True),
    ),
    _trained("tfcovr-composed", _BEYOND, _COMPOSED, fit_composed_attributes),
    _trained("symbolic", _BEYOND, _SYMBOLIC, fit_symbolic),
    _trained(
        "tfcovr-pose",
        _BEYOND,
        _MLP.format("their keypoints, read by stage 1's recipe pose-ordered"),
        partial(fit_mlp, make=PoseFeatures),
    ),
    _trained(
        "tfcovr-pose-rgb",
        _BEYOND,
        _MLP.format("the features of tfcovr-pose and of tfcovr-ordered, side by side"),
        partial(fit_mlp, make=partial(PoseFeatures, rgb="frozen-ordered")),
    ),
    _trained("tfcovr-single-stage", _BEYOND, _SINGLE_STAGE, fit_jointly),
    _trained(
        "tfcovr-text-pooling",
        _BEYOND,
        "As tfcovr-single-stage, with the query clip's frames weighted by attention from its text.",
        partial(fit_jointly, pooling="text"),
    ),
)
SHUFFLED_ROWS = tuple(
    row
    for name, recipe, control in (
        ("tfcovr-base", "aim", "aim-shuffled"),
        ("tfcovr-ordered", "frozen-ordered", "ordered-shuffled"),
    )
    for row in (
        _trained(
            f"{name}-shuffled-test",
            _CONTROL,
            f"As {name}, searching with the frames of every clip in random order.",
            partial(_mlp(recipe), make_at_test=partial(LearnedFeatures, recipe=recipe, shuffled=True)),
        ),
        _trained(
            f"{name}-shuffled",
            _CONTROL,
            f"As {name}, trained and searching with the frames of every clip in random order.",
            _mlp(control, shuffled=True),
        ),
    )
)
