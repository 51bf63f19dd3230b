"""How methods look in every figure: a colour and hatch for each group, a marker for each method."""

from ..methods import METHODS

# Okabe and Ito's colours; the hatches distinguish groups in a grey-scale print.
GROUP_COLOURS = {
    "control": "#999999",
    "zero-shot": "#56B4E9",
    "fine-tuned": "#0072B2",
    "beyond the paper": "#D55E00",
}
GROUP_HATCHES = {"control": "", "zero-shot": "....", "fine-tuned": "", "beyond the paper": "////"}
# Seven lines that differ in colour, style and marker.
LINES = [
    {"color": colour, "ls": style, "marker": marker}
    for colour, style, marker in zip(
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
        ("-", "--", "-.", ":", "-", "--", "-."),
        "osD^vPX",
    )
]
_NAMES = {
    "control": """random video-only text-only-zs text-only source-label-only label-oracle
        tfcovr-base-shuffled-test tfcovr-base-shuffled tfcovr-ordered-shuffled-test
        tfcovr-ordered-shuffled tf-cvr-oracle-zs bse-covr-oracle bse-covr-undescribed""",
    "zero-shot": """clip-avg-1-zs clip-avg-zs blip2-text-zs blip2-vision-zs blip-covr-zs
        blip-covr-ecde-zs languagebind-zs gme-zs mm-embed-zs e5-v-zs tf-cvr-zs tfcovr-base-zs""",
    "fine-tuned": """tfcovr-base tfcovr-stage2-only clip-mlp-1 clip-mlp-15 blip2-mlp-1 blip2-mlp-15
        blip2-text-ft blip2-vision-ft blip-covr-ft blip-covr-ecde-ft bse-covr""",
    "beyond the paper": """tfcovr-ordered tfcovr-aim-ordered tfcovr-set labels-mlp tfcovr-base-brief
        tfcovr-base-long tfcovr-ordered-16 tfcovr-two-rates tfcovr-ordered-factors
        tfcovr-ordered-supcon tfcovr-ordered-posteriors tfcovr-single-stage tfcovr-text-pooling
        siglip2-zs qwen3-vl-embedding-zs languagebind-scaled-zs blip2-covr-ft""",
}
_MARKERS = [*"osD^vPXp*<>hd8H", (5, 1, 36), (3, 1, 0), (6, 1, 0)]
# Each group starts at another marker, so that the methods most often shown together differ in grey too.
_FIRST = {"control": 9, "zero-shot": 5, "fine-tuned": 0, "beyond the paper": 2}
METHOD_LOOKS = {
    name: {"color": GROUP_COLOURS[group], "marker": _MARKERS[(_FIRST[group] + place) % len(_MARKERS)]}
    for group, names in _NAMES.items()
    for place, name in enumerate(names.split())
}


def method_look(name: str) -> dict:
    """Return a method's colour and marker; a variant looks like its method, others have their group's colour.

    >>> method_look("tfcovr-base-hn-0.5") == method_look("tfcovr-base")
    True
    """
    if name in METHOD_LOOKS:
        return METHOD_LOOKS[name]
    if name in METHODS:
        return {"color": GROUP_COLOURS[METHODS[name].group], "marker": "."}
    known = max((known for known in METHOD_LOOKS if name.startswith(known + "-")), key=len, default=None)
    return METHOD_LOOKS[known] if known else {"color": "#000000", "marker": "."}
