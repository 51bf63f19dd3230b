"""What a stage-1 classifier gets right: overall, by attribute of the label, and which labels it takes for which."""

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ..labels import Attributes, difference


def accuracies(logits: torch.Tensor, label_idx: np.ndarray) -> dict[str, float]:
    """Top-1, top-5 and mean class accuracy in per cent, of logits (N, C)."""
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
    """Attributes in which labels differ: their values as strings, and the class (C,) of every label in the table's order."""
    attributes = [vars(Attributes.from_json(text)) for text in labels["attributes"]]
    values, classes = {}, {}
    for name in attributes[0]:
        found, of_label = np.unique([str(of[name]) for of in attributes], return_inverse=True)
        if len(found) > 1:
            values[name], classes[name] = found.tolist(), of_label
    return values, classes


def accuracy_by_attribute(logits: torch.Tensor, label_idx: np.ndarray, labels: pd.DataFrame) -> pd.DataFrame:
    """How often the predicted label has the right value of each attribute, beside always guessing the commonest value."""
    guess = logits.argmax(1).numpy()
    rows = []
    for name, classes in attribute_classes(labels)[1].items():
        truth = classes[label_idx]
        rows.append(
            {
                "attribute": name,
                "accuracy": 100 * (classes[guess] == truth).mean(),
                "commonest": 100 * np.bincount(truth).max() / len(truth),
                "values": len(np.unique(truth)),
            }
        )
    return pd.DataFrame(rows)


def confusions(logits: torch.Tensor, label_idx: np.ndarray, labels: pd.DataFrame) -> pd.DataFrame:
    """Wrong predictions by pair of labels, most frequent first, with the attributes that tell the two apart."""
    guess = logits.argmax(1).numpy()
    wrong = guess != label_idx
    pairs = (
        pd.DataFrame({"true": label_idx[wrong], "predicted": guess[wrong]})
        .value_counts()
        .rename("clips")
        .reset_index()
    )
    attributes = [Attributes.from_json(text) for text in labels["attributes"]]
    pairs["differs in"] = [
        ", ".join(change.attribute for change in difference(attributes[a], attributes[b]))
        for a, b in zip(pairs["true"], pairs["predicted"])
    ]
    of_class = np.bincount(label_idx, minlength=len(labels))
    pairs["share"] = 100 * pairs["clips"] / of_class[pairs["true"]]
    for column in ("true", "predicted"):
        pairs[column] = labels["text"].to_numpy()[pairs[column]]
    return pairs


def neighbours(
    features: torch.Tensor, asked: np.ndarray, among: np.ndarray, label_idx: np.ndarray, labels: pd.DataFrame
) -> pd.Series:
    """How often, in per cent, the nearest clip by cosine shares the label and each attribute of it.

    features: (N, D), centred here; `asked`: the rows that ask; `among`: the rows of which the nearest is taken.
    """
    unit = F.normalize(features - features[among].mean(0), dim=1)
    nearest = among[(unit[asked] @ unit[among].T).argmax(1).numpy()]
    ours, theirs = label_idx[asked], label_idx[nearest]
    shared = {"label": (ours == theirs).mean()} | {
        name: (of[ours] == of[theirs]).mean() for name, of in attribute_classes(labels)[1].items()
    }
    return 100 * pd.Series(shared)


def flatten(features: torch.Tensor) -> pd.DataFrame:
    """The two principal axes of features (N, D): columns x, y, each of unit spread."""
    centred = features - features.mean(0)
    axes = torch.linalg.svd(centred, full_matrices=False)[2][:2]
    plane = centred @ axes.T
    return pd.DataFrame((plane / plane.std(0)).numpy(), columns=["x", "y"])
