"""Starting a session: what the user gave is checked here, and only here may it raise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainmon.capture import bare
from trainmon.capture.ranks.group import agreed_run_key, rank_and_world
from trainmon.capture.registration import check_normalization, describe_run
from trainmon.config import Settings
from trainmon.errors import ConfigurationError
from trainmon.manager import PluginManager, get_manager
from trainmon.session import Session

__all__ = ["start_session"]


def _manager_with(adapter: str) -> PluginManager:
    """Return this process' plugins with the adapter among them.

    Raises:
        ConfigurationError: There is no such adapter, or it is disabled or broken.
    """
    manager = get_manager("trainer")
    if adapter == bare.NAME and not manager.knows(adapter):
        manager.register(bare.BareLoop(), bare.NAME)
    if not manager.load(adapter):
        expected = "the name of an installed, working plugin (see `trainmon plugins`)"
        raise ConfigurationError("adapter", adapter, expected)
    return manager


def start_session(
    name: str = "",
    *,
    monitor: str | None = None,
    class_names: Sequence[str] = (),
    total_epochs: int | None = None,
    batches_per_epoch: int | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    normalization: Mapping[str, Sequence[float]] | None = None,
    framework: str = "",
    framework_version: str = "",
    run_key: str | None = None,
    adapter: str = bare.NAME,
    rank: int | None = None,
    world_size: int | None = None,
    settings: Settings | None = None,
) -> Session:
    """Start showing a run.

    Args:
        name: For people; unset: TRAINMON_SESSION_NAME, else the script's.
        monitor: ``host:port``; unset: TRAINMON_MONITOR, else 127.0.0.1:50051. It need not be up.
        class_names: Name of each class, by index.
        total_epochs: Epochs of the run.
        batches_per_epoch: Training batches per epoch.
        hyperparameters: For people.
        normalization: ``{"mean": [...], "std": [...]}`` per channel, of pixels from 0 to 1; undone.
        framework: For people; unset: guessed from what is loaded.
        framework_version: For people.
        run_key: Shared by a session's processes; unset: TRAINMON_RUN_KEY, else the ranks' own.
        adapter: The plugin that feeds the session.
        rank: Of this process, from 0; unset: that of the process group, else RANK.
        world_size: Ranks of the run; unset: likewise, else WORLD_SIZE.
        settings: Validated settings; unset: from the environment.

    Returns:
        The session, to be used as a context manager.

    Raises:
        ConfigurationError: An argument or a TRAINMON_ variable cannot be used.
    """
    settings = settings or Settings.from_environment(monitor=monitor)
    if (rank, world_size) == (None, None):
        rank, world_size = rank_and_world()
    info = describe_run(
        name=name or settings.session_name,
        class_names=class_names,
        total_epochs=total_epochs,
        batches_per_epoch=batches_per_epoch,
        hyperparameters=hyperparameters,
        framework=framework,
        framework_version=framework_version,
        run_key=run_key or settings.run_key or agreed_run_key(),
        rank=rank or 0,
        world_size=world_size or 1,
    )
    manager = _manager_with(adapter)
    session = Session(info, settings, check_normalization(normalization), adapter, manager)
    session.start()
    return session
