"""The process group of this training, found without importing the framework it belongs to."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import uuid4

from trainmon._guard import describe
from trainmon.capture.ranks.store import Store

__all__ = ["Group", "agreed_run_key", "find_group", "rank_and_world", "shared_run_key"]

_log = logging.getLogger("trainmon")

#: A call that takes longer fails, instead of holding whoever made it.
_TIMEOUT = timedelta(seconds=10)

#: Every rank opens its sessions in the same order, so the numbers are the same on all.
_joins = count()
_keys = count()


@dataclass(frozen=True)
class Group:
    """What several ranks share.

    Args:
        store: On a connection of its own.
        rank: Of this process.
        world_size: Ranks there are.
        usable: Returns whether the store may still be touched.
    """

    store: Store
    rank: int
    world_size: int
    usable: Callable[[], bool]


class _TorchStore:
    """A torch.distributed store as a :class:`Store`."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def has(self, keys: Sequence[str]) -> bool:
        return bool(self._store.check(list(keys)))

    def read(self, key: str) -> str:
        # Only ever of a key that is there: else it would wait for one.
        return bytes(self._store.get(key)).decode()

    def write(self, key: str, value: str) -> None:
        self._store.set(key, value)

    def claim(self, key: str, value: str) -> str:
        return bytes(self._store.compare_set(key, "", value)).decode()


def _distributed() -> Any:
    """Return torch.distributed where the training has a process group, else None."""
    module = sys.modules.get("torch.distributed")
    if module is None or not module.is_available() or not module.is_initialized():
        return None
    return module


def _default_store(module: Any) -> Any:
    return module.distributed_c10d._get_default_store()  # noqa: SLF001 - there is no public way


def _own_store(module: Any, prefix: str) -> Any:
    """Return the group's store on another connection: the training's own waits for none of ours."""
    store = module.PrefixStore(f"trainmon/{prefix}", _default_store(module).clone())
    store.set_timeout(_TIMEOUT)
    return store


def find_group() -> Group | None:
    """Return the default process group of torch.distributed; None: there is none of several ranks.

    Raises:
        Exception: Whatever a store raises that cannot be used this way.
    """
    module = _distributed()
    if module is None or module.get_world_size() < 2:
        return None
    group, pid = module.group.WORLD, os.getpid()

    def usable() -> bool:
        # The group may have been destroyed, and another one made.
        return os.getpid() == pid and module.is_initialized() and module.group.WORLD is group

    store = _TorchStore(_own_store(module, f"{next(_joins)}"))
    return Group(store, module.get_rank(), module.get_world_size(), usable)


def rank_and_world(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return this process' rank and how many there are: (0, 1) where nothing tells of others.

    Told by the process group of torch.distributed, else by RANK and WORLD_SIZE, which torchrun and
    its like set.
    """
    module = _distributed()
    if module is not None:
        return module.get_rank(), module.get_world_size()
    try:
        rank, world_size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    except (KeyError, ValueError):
        return 0, 1
    return (rank, world_size) if 0 <= rank < world_size else (0, 1)


def shared_run_key(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return one key for all ranks: TRAINMON_RUN_KEY, else one they agree on; None: no ranks do.

    Every rank must ask equally often. Waits for the group's store, which answers at once.

    Raises:
        Exception: Whatever a store raises that cannot be used this way.
    """
    given = environment.get("TRAINMON_RUN_KEY")
    if given:
        return given
    module = _distributed()
    if module is None or module.get_world_size() < 2:
        return None
    store = _TorchStore(_own_store(module, "keys"))
    return store.claim(f"{next(_keys)}", uuid4().hex)


def agreed_run_key() -> str:
    """Return :func:`shared_run_key`, or nothing where there is none or the store cannot be used."""
    try:
        return shared_run_key() or ""
    except Exception as error:  # noqa: BLE001 - law 1: a run in several parts is better than none
        _log.warning("trainmon: the ranks show as runs of their own: %s", describe(error))
        return ""
