"""A second set of fixtures, of other sizes than the owners', made by this repository's own classes.

`python tests/other_sizes.py FOLDER` makes them; with TFCOVR_FIXTURES=FOLDER the tests read them.
Tests that take every size from a fixture pass. The numbers are ours, so they show nothing of the owners'.
"""

import sys
from pathlib import Path

import torch
from golden import FIXTURES, golden, save_golden, weights
from other_encoder_sizes import write_aim, write_blip, write_blip2, write_languagebind
from torch.nn import functional as F

from tfcovr_utils.encoders.tokens import Tokens
from tfcovr_utils.metrics import official, ranking
from tfcovr_utils.training import losses
from tfcovr_utils.training.fusion import Combiner, unit
from tfcovr_utils.training.official_checkpoint import load_stage2

LOSS = {"n": 13, "dim": 20, "tau": [0.07, 0.2, 1.0], "beta": [0.0, 0.5, 1.5], "alpha": 1.0}
TERMS = {"n": 9, "dim": 5}
COMBINER = {"feature_dim": 12, "projection_dim": 20, "hidden_dim": 44, "batch": 7}
# Sizes that are equal in the owners' fixture are equal here, since a weight is resized by its size there.
STAGE2 = {"hidden_size": 48, "embed_dim": 48, "intermediate_size": 40, "combiner_projection_dim": 40}
STAGE2 |= {"vocab_size": 70, "max_position_embeddings": 30, "combiner_hidden_dim": 52}
STAGE2 |= {"num_attention_heads": 3}
STAGE2_LAYERS, TEXT_LENGTHS = 3, [9, 14, 4, 2, 11]
# The ranks are the product's own, and stay.
CIRCO = {"queries": 90, "predictions": 60, "ids": 180, "relevant": "1-7"}
CIRCO_TFCOVR = {"queries": 11, "gallery_rows": 100, "distinct_ids": 40, "relevant_not_in_gallery": 0}


def units(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(shape), dim=-1)


def write_losses(folder: Path) -> None:
    query, target = units(LOSS["n"], LOSS["dim"]), units(LOSS["n"], LOSS["dim"])
    tensors = {"input.query": query, "input.target": target}
    for name, loss in (("paper", losses.hn_nce), ("official", losses.hn_nce_official)):
        own = query.clone().requires_grad_()
        values = [[loss(own, target, tau, beta) for beta in LOSS["beta"]] for tau in LOSS["tau"]]
        grads = [[torch.autograd.grad(value, own)[0] for value in row] for row in values]
        tensors[f"output.{name}"] = torch.tensor([[value.item() for value in row] for row in values]).double()
        tensors[f"output.grad.{name}"] = torch.stack([torch.stack(row) for row in grads])
    pairs = {"paper": (query.double(), target.double()), "official_swapped": (target, query)}
    for name, pair in pairs.items():
        loss = losses.hn_nce if name == "paper" else losses.hn_nce_official
        values = [[loss(*pair, tau, beta).item() for beta in LOSS["beta"]] for tau in LOSS["tau"]]
        tensors[f"output.{name}"] = torch.tensor(values, dtype=torch.float64)
    halves = [losses.info_nce(query, target, tau).double() / 2 for tau in LOSS["tau"]]
    save_golden(folder, "hn_nce", tensors | {"output.cross_entropy": torch.stack(halves)}, LOSS)


def write_terms(folder: Path) -> None:
    facts = golden("covr_loss_terms")[1]["config"]
    query, target, caption = (units(TERMS["n"], TERMS["dim"]) for _ in range(3))
    query.requires_grad_()
    parts = {"si_ti_weight": target, "si_tc_weight": caption}
    sharp = facts["tau"], facts["beta"]
    loss = sum(facts[name] * losses.hn_nce_official(query, other, *sharp) for name, other in parts.items())
    tensors = {"input.query": query, "input.target": target, "input.caption": caption}
    (grad,) = torch.autograd.grad(loss, query)
    tensors |= {"output.loss": loss.double().reshape(1), "output.grad.query": grad}
    save_golden(folder, "covr_loss_terms", tensors, TERMS)


@torch.no_grad()
def write_combiner(folder: Path) -> None:
    combiner = Combiner(*(COMBINER[name] for name in ("feature_dim", "projection_dim", "hidden_dim"))).eval()
    video, text = (
        5 * torch.randn(COMBINER["batch"], COMBINER["feature_dim"]),
        units(COMBINER["batch"], COMBINER["feature_dim"]),
    )
    query = combiner(video, text)
    apart = {"arguments exchanged": combiner(text, video), "video made unit": combiner(unit(video), text)}
    wrong = {name: (other - query).abs().max().item() for name, other in apart.items()}
    tensors = {f"weights.{name}": value for name, value in combiner.state_dict().items()}
    tensors |= {"input.video": video, "input.text": text, "output.query": query}
    save_golden(folder, "tfcovr_combiner", tensors, COMBINER, difference_when_wrong=wrong)


@torch.no_grad()
def write_stage2(folder: Path) -> None:
    official, facts = golden("tfcovr_stage2")
    was, state = facts["config"], {}
    sizes = {was[name]: size for name, size in STAGE2.items() if name != "num_attention_heads"}
    sizes |= {2 * was["combiner_projection_dim"]: 2 * STAGE2["combiner_projection_dim"]}
    last = was["num_hidden_layers"] - 1
    for name, value in weights(official).items():
        shape = [sizes.get(size, size) for size in value.shape] if value.ndim else []
        for layer in range(last, STAGE2_LAYERS) if f".layer.{last}." in name else [last]:
            made = 0.3 * torch.randn(shape) + float("LayerNorm.weight" in name)
            made = torch.arange(shape[1])[None] if "position_ids" in name else made
            state[name.replace(f".layer.{last}.", f".layer.{layer}.")] = made
    torch.save({"model": state}, folder / "made.ckpt")
    fusion = load_stage2(folder / "made.ckpt", heads=STAGE2["num_attention_heads"])
    (folder / "made.ckpt").unlink()
    lengths = torch.tensor(TEXT_LENGTHS)
    mask = (torch.arange(int(lengths.max()) + 2) < lengths[:, None]).long()
    ids = torch.randint(4, STAGE2["vocab_size"], mask.shape) * mask
    tokens, video = Tokens(ids, mask), 5 * torch.randn(len(lengths), STAGE2["embed_dim"])
    tensors = {f"weights.{name}": value for name, value in state.items()}
    tensors |= {"input.input_ids": ids, "input.attention_mask": mask, "input.video": video}
    tensors |= {"output.query": fusion(video, tokens), "output.text": fusion.embed_text(tokens)}
    tensors["output.text_cls"] = fusion.tower(ids, mask)
    unused = len(state) - len(fusion.state_dict()) + 3  # three means that are ours
    notes = [note.replace("(33)", f"({unused})") for note in facts["notes"]]
    config = STAGE2 | {"num_hidden_layers": STAGE2_LAYERS, "text_lengths": TEXT_LENGTHS}
    save_golden(folder, "tfcovr_stage2", tensors, config, notes=notes)


def draw_relevant(rows: int, most: int, ids: int) -> torch.Tensor:
    drawn = torch.stack([torch.randperm(ids)[:most] for _ in range(rows)])
    return drawn.where(torch.arange(most) < torch.randint(1, most + 1, (rows, 1)), -1)


def write_circo(folder: Path) -> None:
    ranks = golden("circo_ap")[1]["config"]["ranks"]
    relevant = draw_relevant(CIRCO["queries"], 7, CIRCO["ids"])
    predictions = torch.stack([torch.randperm(CIRCO["ids"])[: CIRCO["predictions"]] for _ in relevant])
    tensors = {"input.predictions": predictions, "input.relevant": relevant, "input.target": relevant[:, 0]}
    ap = torch.from_numpy(ranking.average_precision_ranked(predictions.numpy(), relevant.numpy(), ranks))
    hit = torch.from_numpy(ranking.hit_ranked(predictions.numpy(), relevant[:, :1].numpy(), ranks))
    tensors |= {"output.ap": ap, "output.map": ap.mean(0)}
    tensors |= {"output.recall": hit, "output.mean_recall": hit.mean(0)}
    rows, ids = CIRCO_TFCOVR["gallery_rows"], CIRCO_TFCOVR["distinct_ids"]
    gallery = torch.randperm(rows) % ids
    of_ids = torch.randn(ids, 6)
    wanted = draw_relevant(CIRCO_TFCOVR["queries"], 5, ids)
    own = (wanted[:, 0] + 1) % ids
    queries = of_ids[wanted[:, 0]] + 0.3 * torch.randn(len(wanted), 6)
    tensors |= {"input.tfcovr.query_features": queries, "input.tfcovr.gallery_features": of_ids[gallery]}
    tensors |= {"input.tfcovr.gallery_ids": gallery, "input.tfcovr.reference_ids": own}
    tensors |= {"input.tfcovr.relevant": wanted, "input.tfcovr.target": wanted[:, 0]}
    scores = F.normalize(queries, dim=-1) @ F.normalize(of_ids[gallery], dim=-1).T
    ranked = official.rank_official(scores, gallery.numpy(), own.numpy(), CIRCO["predictions"])
    found = {"ap": official.average_precision_official(ranked, wanted.numpy(), ranks)}
    found["recall"] = official.recall_official(ranked, wanted[:, 0].numpy(), ranks)
    percent = {name: 100 * torch.from_numpy(value).double() for name, value in found.items()}
    tensors["output.tfcovr.predictions"] = torch.from_numpy(ranked)
    tensors["output.tfcovr.ap_percent"] = percent["ap"]
    tensors["output.tfcovr.map_percent"] = percent["ap"].mean(0)
    tensors["output.tfcovr.recall_percent"] = percent["recall"].mean(0)
    whole = official.rank_official(scores, gallery.numpy(), own.numpy(), rows)
    others = [[one for one in row if one != query] for row, query in zip(whole.tolist(), own.tolist())]
    unique = torch.from_numpy(ranking.average_precision_ranked(others, wanted.numpy(), ranks))
    tensors["output.tfcovr.ap_unique_gallery"] = unique
    many = (relevant >= 0).sum(1, keepdim=True)
    tensors |= {"input.num_relevant": many[:, 0], "input.tfcovr.num_relevant": (wanted >= 0).sum(1)}
    divided_by_all = ap * many.clamp(max=torch.tensor(ranks)) / many
    wrong = golden("circo_ap")[1]["difference_when_wrong"]
    wrong[next(iter(wrong))] = (ap - divided_by_all)[:, 0].mean().item()
    config = CIRCO | {"tfcovr": CIRCO_TFCOVR}
    save_golden(folder, "circo_ap", tensors, config, difference_when_wrong=wrong)


if __name__ == "__main__":
    to = Path(sys.argv[1])
    assert to.resolve() != FIXTURES.resolve(), "these would replace the owners' numbers"
    torch.manual_seed(0)
    makers = [write_losses, write_terms, write_combiner, write_stage2, write_aim, write_blip, write_blip2]
    for make in (*makers, write_languagebind, write_circo):
        make(to)
