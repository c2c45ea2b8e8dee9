"""A training of several ranks over gloo, a loop of one's own, that logs what every step was.

python ranks_training.py FOLDER --steps N: the ranks find each other by a file in the folder, or as
torchrun told them. Each writes FOLDER/log-RANK: step, learning rate and loss, exact.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import trainmon


def options() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--pace", type=float, default=0.005, help="seconds a step takes at least")
    parser.add_argument("--alone", action="store_true", help="without trainmon")
    parser.add_argument("--apart", action="store_true", help="no collective holds the ranks")
    parser.add_argument("--early", action="store_true", help="the session before the group")
    return parser.parse_args()


def join(folder: Path) -> None:
    """Make the process group; a collective fails after three seconds."""
    timeout = timedelta(seconds=3)
    if "MASTER_ADDR" in os.environ:
        dist.init_process_group("gloo", timeout=timeout)
        return
    rank, told = int(os.environ["RANK"]), folder / "port"
    if rank == 0:
        store = dist.TCPStore("127.0.0.1", 0, 2, is_master=True, wait_for_workers=False)
        (folder / "port.new").write_text(str(store.port))
        (folder / "port.new").rename(told)
    else:
        while not told.exists():  # the other process starts as slowly as this one
            time.sleep(0.01)
        store = dist.TCPStore("127.0.0.1", int(told.read_text()), 2, is_master=False)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timeout)


def averaged(model: torch.nn.Module) -> None:
    """Give every rank the mean of all ranks' gradients, as DDP does."""
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad)
        parameter.grad /= dist.get_world_size()


def train(given: argparse.Namespace, session: Any, log: Any) -> None:
    """Train on numbers that differ between the ranks."""
    rank = dist.get_rank()
    torch.manual_seed(1)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(rank)
    for step in range(given.steps):
        if session is not None:
            session.control_point(optimizer)
        inputs = torch.randn(8, 4, generator=generator)
        loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if not given.apart:
            averaged(model)
        optimizer.step()
        log.write(f"{step} {optimizer.param_groups[0]['lr'].hex()} {loss.item().hex()}\n")
        if session is not None:
            session.batch_end(loss=loss)
        time.sleep(given.pace)


def main() -> None:
    """Train as the command line says."""
    given = options()
    torch.set_num_threads(1)
    if not given.early:
        join(given.folder)
    shown = nullcontext() if given.alone else trainmon.start_session("ranks")
    with shown as session:
        if given.early:
            join(given.folder)
        with (given.folder / f"log-{dist.get_rank()}").open("w", buffering=1) as log:
            train(given, session, log)
    dist.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
