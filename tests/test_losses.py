"""Losses against the released code's numbers, three-line references and their own symmetries."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from golden import FIXTURES, golden
from hypothesis import given, settings
from hypothesis import strategies as st

from tfcovr_utils.training import losses
from tfcovr_utils.training.settings import COMPOSED, COVR_LOSS, STAGE2
from tfcovr_utils.training.stage2 import Stage2Data, contrast, loss_of

FIXTURE, FACTS = golden("hn_nce")
CONFIG = FACTS["config"]
CASES = [(t, b, tau, beta) for t, tau in enumerate(CONFIG["tau"]) for b, beta in enumerate(CONFIG["beta"])]
PAIR = FIXTURE["input.query"], FIXTURE["input.target"]
TOLERANCE = 1e-6  # relative, float32 against the fixture
EVERY_LOSS = {
    "info_nce": losses.info_nce,
    "hn_nce": lambda q, t, tau: losses.hn_nce(q, t, tau, beta=1.0),
    "hn_nce_official": lambda q, t, tau: losses.hn_nce_official(q, t, tau, beta=1.0),
    "left_out": lambda q, t, tau: losses.multi_positive_nce(q, t, label_mask(len(q)), tau),
    "pulled": lambda q, t, tau: losses.multi_positive_nce(q, t, label_mask(len(q)), tau, pull_all=True),
}


def label_mask(n, labels=3):
    label = torch.arange(n) % labels
    return label[:, None] == label[None, :]


def unit_batch(n, dim, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(n, dim, generator=generator, dtype=dtype), dim=1) for _ in range(2)]


def gradient(loss, query):
    query = query.detach().clone().requires_grad_()
    value = loss(query)
    value.backward()
    return value.detach(), query.grad


def looped_hn_nce(query, target, tau, beta):
    """The paper's formula, one scalar at a time."""
    s = (query @ target.T / tau).tolist()
    n = len(s)
    total = 0.0
    for i in range(n):
        row = sum(math.exp(beta * s[i][k]) for k in range(n) if k != i)
        column = sum(math.exp(beta * s[k][i]) for k in range(n) if k != i)
        negatives = [j for j in range(n) if j != i]
        by_row = sum((n - 1) * math.exp(beta * s[i][j]) / row * math.exp(s[i][j]) for j in negatives)
        by_column = sum((n - 1) * math.exp(beta * s[j][i]) / column * math.exp(s[j][i]) for j in negatives)
        own = math.exp(s[i][i])
        total += math.log(own + by_row) + math.log(own + by_column) - 2 * s[i][i]
    return total / n


def looped_multi_positive(query, target, positives, tau, pull_all):
    s = query @ target.T / tau
    total = 0.0
    for scores, mask in ((s, positives), (s.T, positives.T)):
        for i in range(len(s)):
            negatives = sum(math.exp(scores[i, j]) for j in range(len(s)) if not mask[i, j] and j != i)
            pulled = [j for j in range(len(s)) if j == i or (pull_all and mask[i, j])]
            terms = [math.log(1 + negatives / math.exp(scores[i, j])) for j in pulled]
            total += sum(terms) / len(terms) / len(s)
    return total


@pytest.mark.parametrize(("t", "b", "tau", "beta"), CASES)
@pytest.mark.parametrize("name", ["paper", "official"])
def test_hn_nce_equals_fixture_with_gradients(name, t, b, tau, beta):
    loss = {"paper": losses.hn_nce, "official": losses.hn_nce_official}[name]
    query, target = PAIR
    value, grad = gradient(lambda q: loss(q, target, tau, beta), query)
    expected_grad = FIXTURE[f"output.grad.{name}"][t, b]
    assert value.item() == pytest.approx(FIXTURE[f"output.{name}"][t, b].item(), rel=TOLERANCE)
    assert (grad - expected_grad).abs().max() <= TOLERANCE * expected_grad.abs().max()


@pytest.mark.parametrize(("t", "b", "tau", "beta"), CASES)
def test_hn_nce_equals_fixture_in_float64_and_official_exchanged(t, b, tau, beta):
    query, target = PAIR
    paper = losses.hn_nce(query.double(), target.double(), tau, beta)
    swapped = losses.hn_nce_official(target, query, tau, beta)
    assert paper.item() == pytest.approx(FIXTURE["output.paper"][t, b].item(), abs=1e-9)
    assert swapped.item() == pytest.approx(FIXTURE["output.official_swapped"][t, b].item(), rel=TOLERANCE)


def test_peers_rows_train_with_the_numbers_of_their_own_code():
    """CoVR, ECDE and BSE-CoVR: HardNegativeNCE at temperature 0.07 and beta 0.5, as released."""
    row = replace(STAGE2["paper"], **COVR_LOSS)
    assert row == COMPOSED["paper"] and (row.temperature, row.beta) == (0.07, 0.5)
    for t, b, tau, beta in CASES:
        found = contrast(*PAIR, replace(row, temperature=tau, beta=beta)).item()
        assert found == pytest.approx(FIXTURE["output.official"][t, b].item(), rel=TOLERANCE)


def test_the_loss_on_captions_is_covrs():
    """si_ti+si_tc of its released code, value and gradient, by a model whose queries are its clips."""

    class Clips(torch.nn.Module):
        def forward(self, video, texts, text_idx):
            return video

        def target_views(self, target):
            return [(1.0, target)]

    fixture, facts = golden("covr_loss_terms")
    config = facts["config"]
    row = replace(COMPOSED["paper"], caption_weight=config["si_tc_weight"])
    assert (row.temperature, row.beta) == (config["tau"], config["beta"])
    assert row.caption_weight == 1 - config["si_ti_weight"]
    query, target, caption = (fixture[f"input.{name}"] for name in ("query", "target", "caption"))
    triplets = torch.arange(config["n"])[:, None].expand(-1, 3)
    value, grad = gradient(
        lambda query: loss_of(
            Clips(), Stage2Data(query, None, target, triplets, target_captions=caption), triplets, row
        ),
        query,
    )
    assert value.item() == pytest.approx(fixture["output.loss"].item(), rel=TOLERANCE)
    assert (grad - fixture["output.grad.query"]).abs().max() <= TOLERANCE * grad.abs().max()


def test_info_nce_is_twice_the_cross_entropy_of_the_fixture():
    query, target = PAIR
    for t, tau in enumerate(CONFIG["tau"]):
        expected = FIXTURE["output.cross_entropy"][t].item()
        assert losses.info_nce(query, target, tau).item() == pytest.approx(2 * expected, rel=TOLERANCE)


def test_released_loss_is_a_known_difference_from_the_formula():
    query, target = (vectors.double() for vectors in PAIR)
    for tau in CONFIG["tau"]:
        paper = [losses.hn_nce(query, target, tau, beta).item() for beta in (0.0, 0.5)]
        official = [losses.hn_nce_official(query, target, tau, beta).item() for beta in (0.0, 0.5)]
        assert official[0] == pytest.approx(paper[0], abs=1e-12)
        assert losses.hn_nce(target, query, tau, 0.5).item() == pytest.approx(paper[1], abs=1e-12)
        swapped = losses.hn_nce_official(target, query, tau, 0.5).item()
        if tau == min(CONFIG["tau"]):
            assert abs(official[1] - paper[1]) > 0.01 and abs(swapped - official[1]) > 5e-4


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 9), seed=st.integers(0, 10**6), tau=st.floats(0.02, 2), beta=st.floats(0, 2))
def test_hn_nce_equals_scalar_loops(n, seed, tau, beta):
    query, target = unit_batch(n, 5, seed)
    expected = looped_hn_nce(query, target, tau, beta)
    assert losses.hn_nce(query, target, tau, beta).item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 9), seed=st.integers(0, 10**6), labels=st.integers(1, 9), pull_all=st.booleans())
def test_multi_positive_equals_scalar_loops(n, seed, labels, pull_all):
    query, target = unit_batch(n, 5, seed)
    positives = (
        torch.rand(n, n, generator=torch.Generator().manual_seed(seed)) < 1 / labels
    )  # need not be symmetric
    loss = losses.multi_positive_nce(query, target, positives, 0.3, pull_all)
    expected = looped_multi_positive(query, target, positives, 0.3, pull_all)
    assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_beta_zero_and_no_other_positive_are_info_nce():
    query, target = unit_batch(12, 6, seed=1)
    expected = losses.info_nce(query, target).item()
    nobody = torch.zeros(12, 12, dtype=torch.bool)
    assert losses.hn_nce(query, target).item() == pytest.approx(expected, abs=1e-12)
    assert losses.hn_nce_official(query, target).item() == pytest.approx(expected, abs=1e-12)
    assert losses.multi_positive_nce(query, target, nobody).item() == pytest.approx(expected, abs=1e-12)
    assert losses.multi_positive_nce(query, target, nobody, pull_all=True).item() == pytest.approx(
        expected, abs=1e-12
    )


def test_info_nce_equals_hand_computed_case():
    query = torch.eye(2, dtype=torch.float64)
    expected = 2 * math.log(1 + math.exp(-2))  # s = diag(2, 2): two directions of log(1 + e^-2)
    assert losses.info_nce(query, query, temperature=0.5).item() == pytest.approx(expected, abs=1e-15)


def test_other_right_answers_are_not_negatives():
    query, target = unit_batch(6, 4, seed=2)
    positives = label_mask(6)
    for pull_all in (False, True):
        everyone = torch.ones(6, 6, dtype=torch.bool)
        loss = partial(losses.multi_positive_nce, target_emb=target, positives=everyone, pull_all=pull_all)
        value, grad = gradient(loss, query)
        assert value == 0 and (grad == 0).all()
        masked = losses.multi_positive_nce(query, target, positives, pull_all=pull_all)
        assert masked.item() > 0
    assert losses.multi_positive_nce(query, target, positives) < losses.info_nce(query, target)


@pytest.mark.parametrize("name", EVERY_LOSS)
def test_order_of_the_batch_changes_nothing(name):
    query, target = unit_batch(9, 5, seed=3)
    order = (
        4 * torch.arange(9) + 1
    ) % 9  # row i to class (i + 1) % 3: the classes of label_mask stay together
    before = EVERY_LOSS[name](query, target, 0.07).item()
    assert EVERY_LOSS[name](query[order], target[order], 0.07).item() == pytest.approx(before, abs=1e-12)
    assert EVERY_LOSS[name](query, target[order], 0.07).item() != pytest.approx(before, abs=1e-3)


@pytest.mark.parametrize("name", EVERY_LOSS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_finite_and_near_float64_at_a_low_temperature(name, dtype):
    # The own target is the best row, the very worst, or hardly told apart (every similarity near 100, exp
    # overflows).
    for spread, sign in ((1.0, 1.0), (1.0, -1.0), (0.05, 1.0), (0.05, -1.0)):
        query, other = unit_batch(16, 8, seed=4)
        query = F.normalize(other[:1] + spread * query, dim=1).to(dtype)
        target = (sign * query).clone()
        value, grad = gradient(lambda q, target=target: EVERY_LOSS[name](q, target, 0.01), query)
        exact, exact_grad = gradient(
            lambda q, target=target: EVERY_LOSS[name](q, target.double(), 0.01), query.double()
        )
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(exact.item(), rel=1e-4, abs=1e-4)
        assert torch.isfinite(grad).all()
        assert (grad.double() - exact_grad).abs().max() <= 0.01 * exact_grad.abs().max() + 1e-6


@pytest.mark.parametrize("name", EVERY_LOSS)
def test_autocast_does_not_lower_the_precision(name):
    query, target = unit_batch(16, 8, seed=6, dtype=torch.float32)
    expected = EVERY_LOSS[name](query, target, 0.01).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert EVERY_LOSS[name](query, target, 0.01).item() == expected


@pytest.mark.parametrize("name", EVERY_LOSS)
def test_batch_of_one_is_zero_with_a_finite_gradient(name):
    query, target = unit_batch(1, 4, seed=7)
    value, grad = gradient(lambda q: EVERY_LOSS[name](q, target, 0.07), query)
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert torch.isfinite(grad).all() and grad.abs().max() <= 1e-12


def test_a_learned_temperature_gets_its_gradient():
    query, target = unit_batch(8, 4, seed=8)
    temperature = torch.tensor(0.07, dtype=torch.float64, requires_grad=True)
    losses.hn_nce(query, target, temperature, beta=0.5).backward()
    step = 1e-6
    slope = losses.hn_nce(query, target, 0.07 + step, beta=0.5) - losses.hn_nce(
        query, target, 0.07 - step, beta=0.5
    )
    assert temperature.grad.item() == pytest.approx(slope.item() / (2 * step), rel=1e-6)


HERE = Path(__file__).parent
PATHS = {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
run = partial(subprocess.run, cwd=HERE.parent, capture_output=True, text=True)


@pytest.fixture(scope="module")
def other_fixtures(tmp_path_factory):
    """Folder of fixtures of other sizes than the owners'."""
    folder = tmp_path_factory.mktemp("fixtures")
    made = run([sys.executable, HERE / "other_sizes.py", folder], env=os.environ | PATHS)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "tests"),
    [
        ("hn_nce covr_loss_terms tfcovr_combiner tfcovr_stage2", "losses.py fusion.py"),
        ("aim_t1 aim_t2", "aim.py"),
        ("blip_ca", "blip.py"),
        ("blip2_qformer", "blip2.py"),
        ("languagebind_video", "languagebind.py"),
        ("circo_ap", "metrics.py peers.py::test_circo_agrees_with_its_owners_numbers"),
    ],
)
def test_fixtures_of_other_sizes_pass_unchanged(other_fixtures, names, tests):
    """The tests take every size from the fixtures: other files alone change them."""
    for name in names.split():
        own, other = (json.loads((at / f"{name}.json").read_text()) for at in (FIXTURES, other_fixtures))
        assert own["config"].keys() == other["config"].keys() and own["config"] != other["config"]
    files = [HERE / f"test_{name}" for name in tests.split()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *files]
    tested = run(command, env=os.environ | PATHS | {"TFCOVR_FIXTURES": str(other_fixtures)})
    assert tested.returncode == 0, tested.stdout[-3000:]


def test_wrong_input_says_what_to_do():
    query, target = unit_batch(4, 3, seed=9)
    with pytest.raises(ValueError, match=r"shape \(4, 3\) and target_emb \(3, 3\); pass two"):
        losses.info_nce(query, target[:3])
    with pytest.raises(ValueError, match="temperature is 0.0; pass a value above 0"):
        losses.hn_nce(query, target, 0.0)
    with pytest.raises(ValueError, match="positives is torch.int64 .* pass a bool mask"):
        losses.multi_positive_nce(query, target, torch.eye(4, dtype=torch.int64))
