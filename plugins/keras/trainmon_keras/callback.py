"""The callback: one line in ``model.fit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from trainmon.adapters import harmless
from trainmon_keras.call import call_of
from trainmon_keras.choose import Pick
from trainmon_keras.fit import Fit, end_forgotten, open_fit
from trainmon_keras.options import Options

if TYPE_CHECKING:
    from trainmon.config import Settings
    from trainmon.session import Session

__all__ = ["TrainmonCallback"]


class TrainmonCallback(keras.callbacks.Callback):  # type: ignore[misc] # keras has no types
    """Shows a fit in trainmon, and takes commands from there.

    Every argument is optional; what is chosen without one is told in the log and on the page.

    Args:
        name: Of the run, for people.
        class_names: Name of each class, by index; unset: those of the dataset, if it knows them.
        images: Where the pictures are in x: a key, an index or a function of x; False: none.
        targets: Likewise the truth, in y.
        outputs: Likewise the prediction, in what the model returns.
        box_format: How the boxes of y are told, such as ``rel_xywh``; unset: as the model's
            ``bounding_box_format``, else ``xyxy``.
        normalization: ``{"mean": [...], "std": [...]}`` by which the pictures were normalised, per
            channel, of pixels from 0 to 1.
        vocabulary: Words by token id, where x holds token ids; unset: that of the model's
            TextVectorization.
        checkpoints: Folder for the checkpoints that the page asks for.
        controls: Knobs of one's own by name: a function that takes the value, a pair
            ``(set, get)``, a path of the model such as ``"loss_weight"``, or a mapping of what
            ``Session.add_control`` takes. See :meth:`add_control`.
        settings: Validated settings; unset: from the environment.
    """

    def __init__(
        self,
        name: str = "",
        *,
        class_names: Sequence[str] = (),
        images: Pick = None,
        targets: Pick = None,
        outputs: Pick = None,
        box_format: str = "",
        normalization: Mapping[str, Sequence[float]] | None = None,
        vocabulary: Sequence[str] = (),
        checkpoints: str | Path = "trainmon-checkpoints",
        controls: Mapping[str, Any] | None = None,
        settings: Settings | None = None,
    ) -> None:
        super().__init__()
        self._options = Options(
            name=name,
            class_names=class_names,
            images=images,
            targets=targets,
            outputs=outputs,
            box_format=box_format,
            normalization=normalization,
            vocabulary=vocabulary,
            checkpoints=checkpoints,
            controls=dict(controls or {}),
            settings=settings,
        )
        self._fit: Fit | None = None

    @property
    def session(self) -> Session | None:
        """The session of the fit under way, or of the last one; None: another shows it."""
        return None if self._fit is None else self._fit.session

    def add_control(
        self,
        /,
        name: str,
        set: Callable[[Any], object],  # noqa: A002 - reads as what it is: get and set
        get: Callable[[], Any] | None = None,
        **spec: Any,
    ) -> TrainmonCallback:
        """Offer a knob, as :meth:`trainmon.Session.add_control` does; returns the callback.

        What is set must be a ``keras.Variable`` for a compiled step to see it. On JAX the model's
        variables are up to date while ``set`` and ``get`` run.
        """
        control = {"set": set, "get": get, **spec}
        self._options.controls[name] = control
        if self._fit is not None:
            self._fit.offer({name: control})
        return self

    @harmless
    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras'
        """Open the session."""
        model = getattr(self._model, "module", self._model)  # Torch's DistributedDataParallel
        call = call_of(model)
        end_forgotten(model, call)
        self._fit = open_fit(model, call, self._options, self.params or {})
        if self._fit is not None:
            self._fit.begin()

    @harmless
    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras'
        """Take commands."""
        if self._fit is not None:
            self._fit.epoch_began(epoch)

    @harmless
    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras'
        """Tell of the epoch."""
        if self._fit is not None:
            self._fit.epoch_ended(logs or {})

    @harmless
    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras'
        """Show that the validation runs."""
        if self._fit is not None:
            self._fit.evaluation_began()

    @harmless
    def on_test_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras'
        """Take commands between two batches of the validation."""
        if self._fit is not None:
            self._fit.visit()

    @harmless
    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras'
        """Show that the training goes on."""
        if self._fit is not None:
            self._fit.evaluation_ended()

    @harmless
    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - Keras'
        """Close the session."""
        if self._fit is not None:
            self._fit.end()
