"""What Keras' own backups lack, kept beside them: how rates were changed, and which attempt it is.

``BackupAndRestore`` saves weights and the variables of the optimizer. A schedule is none of them,
nor is what a ``LearningRateScheduler``'s answers are multiplied by, nor how often steps have been
trained again. They are written to a small file of ours in its folder, before each backup, and read
after Keras has restored one: which one is told from the number of steps that the optimizer made.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from trainmon.adapters import RefusedError, harmless, say
from trainmon_keras.rates import KerasRates, inner

if TYPE_CHECKING:
    from trainmon.session import Session

__all__ = ["Backups", "steps_made"]

_FILE = "trainmon.json"
_WEIGHTS = "latest.weights.h5"
#: With ``double_checkpoint`` Keras may have to fall back on the backup before the last.
_KEPT = 2


def steps_made(model: Any) -> int:
    """Return the batches that the model's optimizer was given, as its variables have it."""
    optimizer = inner(getattr(model, "optimizer", None))
    # ``iterations`` are updates: of several batches each, where gradients are accumulated.
    made = getattr(optimizer, "_iterations", getattr(optimizer, "iterations", None))
    return 0 if made is None else int(keras.ops.convert_to_numpy(made))


class Backups:
    """The ``BackupAndRestore`` callbacks of one fit.

    Args:
        session: Whose attempt it is.
        model: Whose weights are saved.
        callbacks: Of the fit.
        rates: Of the model.
        retrace: Compiles the step anew.
    """

    def __init__(
        self,
        session: Session,
        model: Any,
        callbacks: Sequence[Any],
        rates: KerasRates,
        retrace: Callable[[], None],
    ) -> None:
        self._session = session
        self._model = model
        self._rates = rates
        self._retrace = retrace
        kind = keras.callbacks.BackupAndRestore
        self._backups = [
            each
            for each in callbacks
            if isinstance(each, kind) and "://" not in str(each.backup_dir)  # ours is a plain file
        ]
        self.epochs_before = 0
        """Epochs of the run that were trained before this fit's first."""

    def hang(self) -> None:
        """Keep and restore from now on; what was restored already, too."""
        for backup in self._backups:
            # The order of a fit's callbacks is the script's: it restores before us, or after.
            self._restore(backup)
            self._wrap(backup, "_save_model", self._keep, None)
            self._wrap(backup, "_load_model", None, self._restore)

    def take_off(self) -> None:
        """Leave the callbacks as they were."""
        for backup in self._backups:
            for name in ("_save_model", "_load_model"):
                vars(backup).pop(name, None)

    def restored(self) -> Mapping[str, Any] | None:
        """Return what was kept of the backup that this fit began with; None: with none.

        Of a fit that has trained nothing yet. Empty: nothing was kept of that backup.
        """
        there = [each for each in self._backups if _is_there(each)]
        return (self._kept(there[0]) or {}) if there else None

    def _wrap(
        self,
        backup: Any,
        name: str,
        before: Callable[[Any], object] | None,
        after: Callable[[Any], object] | None,
    ) -> None:
        original = getattr(backup, name, None)
        if original is None:
            return

        @functools.wraps(original)
        def wrapper(*arguments: Any, **named: Any) -> Any:
            if before is not None:
                before(backup)
            result = original(*arguments, **named)
            if after is not None:
                after(backup)
            return result

        setattr(backup, name, wrapper)

    @harmless
    def _keep(self, backup: Any) -> None:
        """Write what belongs to the backup that Keras is about to make."""
        backup.model  # noqa: B018 - brings JAX's variables up to date, as Keras does right after
        kept = {
            "steps_made": steps_made(self._model),
            "global_step": self._session.global_step,
            "attempt": self._session.attempt,
            "epochs_before": self.epochs_before,
            "rates": self._rates.kept(),
        }
        folder = _folder(backup)
        folder.mkdir(parents=True, exist_ok=True)
        others = [each for each in _read(folder) if each["steps_made"] != kept["steps_made"]]
        part = folder / f".{_FILE}.{os.getpid()}"
        part.write_text(json.dumps({"backups": [kept, *others][:_KEPT]}) + "\n", encoding="utf-8")
        part.replace(folder / _FILE)

    @harmless
    def _restore(self, backup: Any) -> None:
        """Make the rates what they were when the backup was made that Keras has restored."""
        kept = self._kept(backup) if _is_there(backup) else None
        if kept is None:
            return
        try:
            if self._rates.restore(kept["rates"]):
                self._retrace()
        except RefusedError as refusal:
            text = f"{refusal}, so what was changed of its learning rate is not: change it again"
            say(self._session, f"a backup was restored, but {text}")

    def _kept(self, backup: Any) -> Mapping[str, Any] | None:
        """Return what was kept of the backup that the model is at; None: nothing."""
        made = steps_made(self._model)
        return next((each for each in _read(_folder(backup)) if each["steps_made"] == made), None)


def _folder(backup: Any) -> Path:
    return Path(backup.backup_dir)


def _is_there(backup: Any) -> bool:
    return (_folder(backup) / _WEIGHTS).exists()


def _read(folder: Path) -> list[Any]:
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return [each for each in known["backups"] if isinstance(each["steps_made"], int)]
    return []
