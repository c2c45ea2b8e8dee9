"""A fit of normalised pictures of many classes, in a script that says how they were normalised."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from models import LABELS, PICTURES, OneStep, line, loader, trainer
from torch.nn import functional as F  # noqa: N812 - as people write it
from trainmon_lightning import TrainmonCallback

warnings.simplefilter("ignore")
torch.set_num_threads(1)
ours = TrainmonCallback("shown", normalization={"mean": [0.5], "std": [0.25]})
module = OneStep(line(1000), lambda net, batch: F.cross_entropy(net(batch[0]), batch[1]))
data = ((PICTURES - 0.5) / 0.25).repeat(4, 1, 1, 1), LABELS.repeat(4)
trainer(Path(sys.argv[1]), [ours]).fit(module, loader(*data, size=48))
