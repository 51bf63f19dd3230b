"""Contrastive losses between a batch of composed queries and their targets: the paper's L_v (section 4), and
variants.

Row i of the targets answers row i of the queries; every other row is a negative. Similarities and
log-sum-exps are computed in float32 at least, also under autocast, and no similarity is exponentiated alone,
so bf16 and fp16 embeddings train at a temperature of 0.01. Embeddings are not normalised here, and rows of
other ranks are not gathered.
"""

import math

import torch
import torch.nn.functional as F

TEMPERATURE = 0.07  # CLIP, section 2.3; the paper keeps it


def info_nce(query_emb, target_emb, temperature=TEMPERATURE):
    """Sum the mean cross-entropies query -> target and target -> query: L_v at beta = 0.

    query_emb, target_emb: (B, D), unit norm expected. The official code's plain cross-entropy is half of it.

    >>> round(info_nce(torch.eye(2), torch.eye(2), temperature=0.5).item(), 4)  # 2 log(1 + exp(-2))
    0.2539
    """
    return _both_cross_entropies(_scale_similarities(query_emb, target_emb, temperature))


def hn_nce(query_emb, target_emb, temperature=TEMPERATURE, beta=0.0):
    """Compute the hard-negative NCE of the paper, L_v, with s_ij = <q_i, t_j> / temperature and alpha = 1.

    loss = mean_i [ log sum_j w_ij exp(s_ij) + log sum_j v_ji exp(s_ji) - 2 s_ii ] with w_ij = (B - 1)
    exp(beta s_ij) / sum_{k != i} exp(beta s_ik) along the row, v_ij the same along the column, and w_ii =
    v_ii = 1. beta > 0 stresses hard negatives; beta = 0 is `info_nce`. Exchanging queries and targets changes
    nothing. A batch of one gives 0.
    """
    scores = _scale_similarities(query_emb, target_emb, temperature)
    row_norm = _logsumexp_of_negatives(beta * scores, dim=1)  # (B, 1), one per query
    return _weighted_nce(scores, beta, row_norm)


def hn_nce_official(query_emb, target_emb, temperature=TEMPERATURE, beta=0.0):
    """Compute what the official HardNegativeNCE computes, which is `hn_nce` only at beta = 0.

    Its row sums lack keepdim, so w_ij is divided by the sum of row j instead of row i. Exchanging queries and
    targets therefore changes the value. Its overflow at small temperatures is not reproduced.
    """
    scores = _scale_similarities(query_emb, target_emb, temperature)
    row_norm = _logsumexp_of_negatives(beta * scores, dim=1)
    return _weighted_nce(scores, beta, row_norm.transpose(0, 1))


def multi_positive_nce(query_emb, target_emb, positives, temperature=TEMPERATURE, pull_all=False):
    """Compute `info_nce` without counting other right answers of the batch as negatives.

    positives: (B, B) bool, [i, j] True where target j also answers query i; the diagonal always does.
    pull_all=False attracts row i to its own target only and leaves the other positives out of both softmaxes.
    pull_all=True attracts it to each of its positives, averaged over them, each against the negatives alone.
    A row whose whole batch is positive adds 0. Without a positive off the diagonal both are `info_nce`.
    """
    scores = _scale_similarities(query_emb, target_emb, temperature)
    positives = torch.as_tensor(positives, device=scores.device)
    if positives.shape != scores.shape or positives.dtype != torch.bool:
        found = f"positives is {positives.dtype} of shape {tuple(positives.shape)}"
        raise ValueError(f"{found}; pass a bool mask of shape {tuple(scores.shape)}, queries by targets.")
    own_target = _diagonal(scores)
    positives = positives | own_target
    if not pull_all:
        return _both_cross_entropies(scores.masked_fill(positives & ~own_target, -torch.inf))
    negatives = scores.masked_fill(positives, -torch.inf)
    loss = scores.new_zeros(())
    for dim in (1, 0):
        against_negatives = torch.logaddexp(scores, negatives.logsumexp(dim, keepdim=True)) - scores
        pulled = torch.where(positives, against_negatives, 0.0).sum(dim) / positives.sum(dim)
        loss = loss + pulled.mean()
    return loss


def supervised_contrast(embeddings, label_idx, temperature=0.1):
    """Pull together the rows of a batch that share a label (Khosla et al., 2020, eq. 2); used in stage 1.

    embeddings: (B, D), unit norm expected; label_idx: (B,) int. Each row with a positive gives the mean over
    its positives of -log softmax over all other rows; the loss is the mean of these rows, 0 where there is
    none.
    """
    own = _diagonal(embeddings)
    scores = _scale_similarities(embeddings, embeddings, temperature).masked_fill(own, -torch.inf)
    positives = (label_idx[:, None] == label_idx) & ~own
    log_share = scores - scores.logsumexp(1, keepdim=True)
    of_row = torch.where(positives, log_share, 0.0).sum(1) / positives.sum(1).clamp_min(1)
    return -of_row.sum() / positives.any(1).sum().clamp_min(1)


def _scale_similarities(query_emb, target_emb, temperature):
    if query_emb.ndim != 2 or query_emb.shape != target_emb.shape or not len(query_emb):
        found = f"query_emb has shape {tuple(query_emb.shape)} and target_emb {tuple(target_emb.shape)}"
        raise ValueError(f"{found}; pass two (B, D) batches of one shape whose rows belong together.")
    if not temperature > 0:
        raise ValueError(f"temperature is {float(temperature)}; pass a value above 0, such as {TEMPERATURE}.")
    dtype = torch.promote_types(torch.promote_types(query_emb.dtype, target_emb.dtype), torch.float32)
    # Autocast would run this product in half precision again, whatever the dtype of its inputs.
    with torch.autocast(query_emb.device.type, enabled=False):
        return query_emb.to(dtype) @ target_emb.to(dtype).transpose(0, 1) / temperature


def _both_cross_entropies(scores):
    own_target = torch.arange(len(scores), device=scores.device)
    return F.cross_entropy(scores, own_target) + F.cross_entropy(scores.transpose(0, 1), own_target)


def _diagonal(scores):
    return torch.eye(len(scores), dtype=torch.bool, device=scores.device)


def _logsumexp_of_negatives(scores, dim):
    return scores.masked_fill(_diagonal(scores), -torch.inf).logsumexp(dim, keepdim=True)


def _weighted_nce(scores, beta, row_norm):
    log_num_negatives = math.log(max(len(scores) - 1, 1))
    own_target = _diagonal(scores)
    loss = -2 * scores.diagonal().mean()
    for dim, norm in ((1, row_norm), (0, _logsumexp_of_negatives(beta * scores, dim=0))):
        log_weight = (log_num_negatives + beta * scores - norm).masked_fill(own_target, 0.0)  # log(alpha)
        loss = loss + (scores + log_weight).logsumexp(dim).mean()
    return loss
