"""What a stage-1 classifier gets right: overall, by attribute of the label, and which labels it confuses."""

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ..labels import Attributes, difference


def accuracies(logits: torch.Tensor, label_idx: np.ndarray) -> dict[str, float]:
    """Compute top-1, top-5 and mean class accuracy in per cent, of logits (N, C).

    >>> accuracies(torch.eye(2), np.array([0, 0]))
    {'top-1': 50.0, 'top-5': 100.0, 'mean class': 50.0, 'clips': 2}
    """
    truth = torch.from_numpy(label_idx)
    hits = logits.topk(min(5, logits.shape[1]), 1).indices == truth[:, None]
    by_class = pd.Series(hits[:, 0].numpy()).groupby(label_idx).mean()
    return {
        "top-1": 100 * hits[:, 0].float().mean().item(),
        "top-5": 100 * hits.any(1).float().mean().item(),
        "mean class": 100 * float(by_class.mean()),
        "clips": len(label_idx),
    }


def attribute_classes(labels: pd.DataFrame) -> tuple[dict[str, list[str]], dict[str, np.ndarray]]:
    """Get the attributes in which labels differ: their values, and the class (C,) of each label."""
    attributes = [vars(Attributes.from_json(text)) for text in labels["attributes"]]
    values, classes = {}, {}
    for name in attributes[0]:
        found, of_label = np.unique([str(of[name]) for of in attributes], return_inverse=True)
        if len(found) > 1:
            values[name], classes[name] = found.tolist(), of_label
    return values, classes


def accuracy_by_attribute(logits: torch.Tensor, label_idx: np.ndarray, labels: pd.DataFrame) -> pd.DataFrame:
    """Compare how often each attribute is right with the share of its commonest value."""
    guess, rows = logits.argmax(1).numpy(), []
    for name, classes in attribute_classes(labels)[1].items():
        truth = classes[label_idx]
        accuracy, commonest = (classes[guess] == truth).mean(), np.bincount(truth).max() / len(truth)
        rows.append([name, 100 * accuracy, 100 * commonest, len(np.unique(truth))])
    return pd.DataFrame(rows, columns=["attribute", "accuracy", "commonest", "values"])


def confusions(logits: torch.Tensor, label_idx: np.ndarray, labels: pd.DataFrame) -> pd.DataFrame:
    """Count wrong predictions by pair of labels, most frequent first, and name what differs."""
    guess = logits.argmax(1).numpy()
    wrong = guess != label_idx
    pairs = pd.DataFrame({"true": label_idx[wrong], "predicted": guess[wrong]})
    pairs = pairs.value_counts().rename("clips").reset_index()
    attributes = [Attributes.from_json(text) for text in labels["attributes"]]
    changes = [difference(attributes[a], attributes[b]) for a, b in zip(pairs["true"], pairs["predicted"])]
    pairs["differs in"] = [", ".join(change.attribute for change in changed) for changed in changes]
    of_class = np.bincount(label_idx, minlength=len(labels))
    pairs["share"] = 100 * pairs["clips"] / of_class[pairs["true"]]
    for column in ("true", "predicted"):
        pairs[column] = labels["text"].to_numpy()[pairs[column]]
    return pairs


def neighbours(
    features: torch.Tensor, asked: np.ndarray, among: np.ndarray, label_idx: np.ndarray, labels: pd.DataFrame
) -> pd.Series:
    """Compute how often, in per cent, the nearest clip by cosine shares the label and each attribute of it.

    features: (N, D), centred here; each row of `asked` looks for its nearest row of `among`.
    """
    unit = F.normalize(features - features[among].mean(0), dim=1)
    nearest = among[(unit[asked] @ unit[among].T).argmax(1).numpy()]
    ours, theirs = label_idx[asked], label_idx[nearest]
    classes = {"label": np.arange(len(labels)), **attribute_classes(labels)[1]}
    return 100 * pd.Series({name: (of[ours] == of[theirs]).mean() for name, of in classes.items()})


def flatten(features: torch.Tensor) -> pd.DataFrame:
    """Project features (N, D) on their two principal axes: columns x, y, each of unit standard deviation."""
    centred = features - features.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False)[2][:2]
    plane = centred @ axes.T
    return pd.DataFrame((plane / plane.std(0)).numpy(), columns=["x", "y"])
