"""From logits to TEI's scores."""

import os
from collections.abc import Sequence

import numpy as np

from tests.servers.tei.model import Floats
from tests.servers.tei.refusals import not_a_number

Prediction = dict[str, object]


def sigmoid(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def predictions(logits: Floats, labels: Sequence[str], *, raw: bool) -> list[Prediction]:
    """Labels by descending score."""
    if len(logits) > 1 and np.isnan(logits).any():
        os.abort()  # as TEI does, which compares them before it looks
    scores = logits if raw else sigmoid(logits) if len(logits) == 1 else _softmax(logits)
    if np.isnan(scores).any():
        raise not_a_number()
    order = np.argsort(scores, kind="stable")[::-1]
    return [{"score": scores[at], "label": labels[at]} for at in order]


def _softmax(logits: Floats) -> Floats:
    """Shifted by the logit that is largest in size, not in value: steep negative ones overflow, as in TEI."""
    with np.errstate(over="ignore", invalid="ignore"):
        powers = np.exp(logits - logits[np.abs(logits).argmax()])
        return np.asarray(powers / powers.sum(), np.float32)
