"""Fits that break off after a change of their rate, and go on with BackupAndRestore."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
from kit import X, Y, convnet, script, watched

from trainmon.events import ControlCommand, ControlKind
from trainmon_keras.controls import apply_control
from trainmon_keras.fit import fit_of

SLOWER = ControlCommand("one", ControlKind.ADJUST_LEARNING_RATE, factor=0.25)


def _decay(_: bool) -> Any:
    return keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.5)


class _Until(keras.callbacks.Callback):
    """Notes each batch's rate; changes it once, as a command does, and breaks off."""

    def __init__(self, change: int, end: int, command: Any = SLOWER) -> None:
        super().__init__()
        self.change, self.end, self.command = change, end, command
        self.rates: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if len(self.rates) == self.change:
            outcome = apply_control(fit_of(self._model), self.command)
            assert outcome is not None
            assert outcome.applied, outcome.message
        if len(self.rates) == self.end:
            raise ValueError("the machine was taken away")


def _broken_off(
    name: str,
    rate: Callable[[bool], Any],
    *,
    change: int = 3,
    end: int = 9,
    others: Callable[[], list[Any]] = list,
    first: bool = False,
    **backup: Any,
) -> list[list[float]]:
    """Train twice, four batches an epoch; return the rates of both.

    Args:
        name: Of the run.
        rate: Given whether this is the second fit, what the optimizer is to have.
        change: Batches after which the rate is changed.
        end: Batches after which the first fit breaks off.
        others: Makes further callbacks.
        first: Whether BackupAndRestore comes before ours.
        backup: Of BackupAndRestore.
    """
    told = []
    for again in (False, True):
        model = convnet()
        optimizer = rate(again)
        if not isinstance(optimizer, keras.optimizers.Optimizer):
            optimizer = keras.optimizers.SGD(optimizer)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        until = _Until(change if not again else -1, end if not again else -1)
        ours = watched(name)
        kept = keras.callbacks.BackupAndRestore(f"backup of {name}", **backup)
        callbacks = [kept, *ours] if first else [*ours, kept]
        with suppress(ValueError):
            model.fit(
                X, Y, batch_size=50, epochs=4, verbose=0, callbacks=[*callbacks, *others(), until]
            )
        told.append(until.rates)
    return told


@script
def schedule_restored() -> Any:
    """A schedule of Keras' own; the backup is read after we began."""
    return _broken_off("schedule_restored", _decay)


@script
def schedule_restored_before() -> Any:
    """The backup is read before we began, and made after every second batch."""
    return _broken_off("schedule_restored_before", _decay, first=True, save_freq=2)


@script
def scheduler_restored() -> Any:
    """A callback sets the rate of each epoch, and comes after ours."""

    def scheduler() -> list[Any]:
        return [keras.callbacks.LearningRateScheduler(lambda epoch: 0.5 / (epoch + 1))]

    return _broken_off("scheduler_restored", lambda _: 0.5, others=scheduler)


@script
def number_restored() -> Any:
    """A number is among the optimizer's variables, and is not changed twice."""
    return _broken_off("number_restored", lambda _: 0.5)


@script
def accumulated_restored() -> Any:
    """The optimizer counts updates, of two batches each."""
    return _broken_off(
        "accumulated_restored", lambda _: keras.optimizers.SGD(0.5, gradient_accumulation_steps=2)
    )


@script
def restored_without_ours() -> None:
    """What broke off left nothing of ours, as without us, and accumulated gradients."""

    def rate(_: bool) -> Any:
        return keras.optimizers.SGD(0.5, gradient_accumulation_steps=2)

    for again in (False, True):
        model = convnet()
        model.compile(rate(again), "sparse_categorical_crossentropy")
        until = _Until(-1, -1 if again else 9)
        ours = watched("restored_without_ours") if again else []
        backup = keras.callbacks.BackupAndRestore("backup without ours")
        with suppress(ValueError):
            model.fit(X, Y, batch_size=50, epochs=4, verbose=0, callbacks=[*ours, backup, until])
        Path("backup without ours/trainmon.json").unlink(missing_ok=True)


@script
def restored_within_the_first_epoch() -> Any:
    """Backed up after its third batch, and broken off before the first epoch ended."""
    return _broken_off("restored_within_the_first_epoch", _decay, change=2, end=3, save_freq=3)


@script
def other_schedule_restored() -> Any:
    """The script has another schedule than the one that was changed."""

    def rate(again: bool) -> Any:
        return keras.optimizers.schedules.ExponentialDecay(0.25 if again else 0.5, 10, 0.5)

    return _broken_off("other_schedule_restored", rate)


@script
def schedule_restored_in_one_process() -> Any:
    """The same model goes on: what was changed after the backup is undone with its weights."""
    model = convnet()
    model.compile(keras.optimizers.SGD(_decay(False)), "sparse_categorical_crossentropy")
    told = []
    for until in (_Until(6, 7), _Until(-1, -1)):
        backup = keras.callbacks.BackupAndRestore("backup in one process")
        callbacks = [*watched("schedule_restored_in_one_process"), backup, until]
        with suppress(ValueError):
            model.fit(X, Y, batch_size=50, epochs=4, verbose=0, callbacks=callbacks)
        told.append(until.rates)
    return told
