"""The Trainer's callback: by hand or by itself, for either package, and never twice."""

# ruff: noqa: ARG002 - Lightning gives every hook the same arguments

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from trainmon.adapters import ending_of, harmless, join_ranks, open_run, wanted
from trainmon_lightning import describe
from trainmon_lightning.bases import framework_of, made_for_lightning
from trainmon_lightning.capture import Overrides, StepCapture
from trainmon_lightning.fit import Fit
from trainmon_lightning.texts import decoder_of

if TYPE_CHECKING:
    from trainmon.adapters.batches import Where
    from trainmon.config import Settings
    from trainmon.session import Session

__all__ = ["AutomaticCallback", "TrainmonCallback"]

#: Where a checkpoint says which attempt wrote it. Lightning itself ignores what it does not know.
_KEY = "trainmon"


class TrainmonCallback:
    """Shows a Trainer's fit and lets it be steered.

    An instance is also a ``Callback`` of ``lightning.pytorch`` or ``pytorch_lightning``, of
    whichever is imported.

    Args:
        name: Of the run, for people; unset: the script's.
        images: Where the pictures are in a batch: an index, a key, a path such as ``"0.image"``, or
            a function of the batch; unset: what looks like pictures.
        texts: Where the texts or token ids are, likewise; unset: strings, and ``input_ids`` where
            the module or data module has a ``tokenizer``.
        outputs: Where the predictions are: name of a child module, whose output they are, or key
            of what ``training_step`` returns; unset: see ``docs/frameworks/lightning.md``.
        targets: Where the truth is in a batch, likewise; unset: what looks like it.
        class_names: Name of each class; unset: the data module's or the dataset's.
        normalization: ``{"mean": [...], "std": [...]}`` of the pictures.
        controls: Knobs of one's own by name: a function that takes the value, a pair
            ``(set, get)``, a path of the module such as ``"dropout.p"``, or a mapping of what
            ``Session.add_control`` takes.
        settings: Validated settings; unset: from the environment.
    """

    #: Of several on one Trainer the first by hand works, else the first.
    by_hand: ClassVar[bool] = True
    #: The class that was written: instances are of one made of it.
    written_as: ClassVar[type[Any]]

    def __new__(cls, *_: Any, **__: Any) -> TrainmonCallback:  # noqa: PYI034 - of another class
        """Make the instance a callback of Lightning, too."""
        made = cls if "written_as" in vars(cls) else made_for_lightning(cls)
        instance: TrainmonCallback = object.__new__(made)
        return instance

    def __init__(
        self,
        name: str = "",
        *,
        images: Where | None = None,
        texts: Where | None = None,
        outputs: Where | None = None,
        targets: Where | None = None,
        class_names: Sequence[str] = (),
        normalization: Mapping[str, Sequence[float]] | None = None,
        controls: Mapping[str, Any] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._name = name
        self._overrides = Overrides(images=images, texts=texts, outputs=outputs, targets=targets)
        self._class_names = tuple(class_names)
        self._normalization = normalization
        self._controls = dict(controls or {})
        self._settings = settings
        self._forget()
        self._loaded: int | None = None

    def _forget(self) -> None:
        self._fit: Fit | None = None
        self._session: Session | None = None
        self._capture: StepCapture | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy or pickle what the user said; a copy shows nothing yet."""
        kept = {"_fit", "_session", "_capture", "_loaded", "log", "log_dict"}
        state = {name: value for name, value in vars(self).items() if name not in kept}
        return _again, (type(self).written_as,), state

    @property
    def session(self) -> Session | None:
        """The session of the fit under way; None between fits."""
        return self._session

    def add_control(
        self,
        /,
        name: str,
        set: Callable[[Any], object],  # noqa: A002 - reads as what it is: get and set
        get: Callable[[], Any] | None = None,
        **spec: Any,
    ) -> TrainmonCallback:
        """Offer a knob, as :meth:`trainmon.Session.add_control` does; returns the callback."""
        self._controls[name] = {"set": set, "get": get, **spec}
        if self._session is not None:
            self._session.add_control(name, set, get, **spec)
        return self

    # The fit.

    @harmless
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Watch the module, before anything of it is compiled."""
        self._end("COMPLETED")  # of a fit that was left in a way nobody told us
        if self._is_to_work(trainer):
            self._capture = StepCapture(self._overrides)
            self._capture.install(pl_module)

    @harmless
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the session: loaders, optimizers and the place to go on from are known."""
        capture = self._capture
        if capture is None:
            return
        session = self._open(trainer)
        if session is None:
            self._end("COMPLETED")
            return
        self._session = session
        capture.classes = len(session.info.class_names)
        capture.decode = decoder_of(trainer)
        capture.drop()
        try:
            self._fit = Fit(session, trainer, capture, self._controls)
        finally:
            if self._fit is None:
                self._end("COMPLETED")  # nobody would feed it

    @harmless
    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, index: int) -> None:
        """A batch begins."""
        if self._fit is not None:
            self._fit.batch_begins(batch)

    @harmless
    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """The step has run forward, once."""
        if self._fit is not None:
            self._fit.before_backward(loss)

    @harmless
    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, index: int
    ) -> None:
        """A batch ended."""
        if self._fit is not None:
            self._fit.batch_ended(outputs, batch)

    @harmless
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """A validation begins; the first may be Lightning's check of its own sanity."""
        if self._fit is not None:
            self._fit.validation_begins()

    @harmless
    def on_validation_batch_end(self, trainer: Any, pl_module: Any, *_: Any, **__: Any) -> None:
        """A batch of a validation ended."""
        if self._fit is not None:
            self._fit.validation_batch_ended()
        elif self._capture is not None:
            self._capture.drop()

    @harmless
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """A validation ended."""
        if self._fit is not None:
            self._fit.validation_ended()

    @harmless
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """An epoch ended, and its validation."""
        if self._fit is not None:
            self._fit.epoch_ended()

    @harmless
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """No batch comes any more: leave the module as it was, for a script that now exports it."""
        if self._capture is not None:
            self._capture.remove()

    @harmless
    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        """Note in a checkpoint which attempt wrote it."""
        if self._session is not None:
            checkpoint[_KEY] = {"attempt": self._session.attempt}

    @harmless
    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        """Note that the fit goes on from a checkpoint, and which attempt wrote it."""
        if str(getattr(trainer.state.fn, "value", trainer.state.fn)) != "fit":
            return
        known = checkpoint.get(_KEY)
        self._loaded = int(known["attempt"]) + 1 if isinstance(known, Mapping) else 0

    @harmless
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The fit was left by this exception."""
        if type(exception).__name__ == "SIGTERMException":  # a SystemExit of Lightning's own
            self._end("STOPPED", "ended by SIGTERM")
        else:
            self._end(*ending_of(exception))
        self._loaded = None

    @harmless
    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """The fit ended as it should."""
        self._end("COMPLETED")
        self._loaded = None

    # Inside.

    def _wants_to(self) -> bool:
        return True

    def _is_to_work(self, trainer: Any) -> bool:
        """Return whether this is the one of the Trainer's callbacks of ours that works."""
        ours = [
            each
            for each in trainer.callbacks
            if isinstance(each, TrainmonCallback) and each._wants_to()  # noqa: SLF001 - of this class
        ]
        return bool(ours) and max(ours, key=lambda each: each.by_hand) is self

    def _open(self, trainer: Any) -> Session | None:
        framework, version = framework_of(trainer)
        last = describe.epochs_of_run(trainer)
        session = open_run(
            trainer.lightning_module,
            adapter="lightning",
            name=self._name,
            framework=framework,
            framework_version=version,
            class_names=self._class_names or describe.class_names(trainer),
            total_epochs=None if last is None else max(0, last - int(trainer.current_epoch)),
            batches_per_epoch=describe.known_batches(trainer),
            hyperparameters=describe.hyperparameters(trainer),
            normalization=self._normalization,
            rank=int(trainer.global_rank),
            world_size=int(trainer.world_size),
            settings=self._settings,
        )
        if session is None:
            return None
        if self._loaded is not None:
            self._resume(session, trainer, last)
        if session.info.world_size > 1:
            join_ranks(session)
        return session

    def _resume(self, session: Session, trainer: Any, last: int | None) -> None:
        """Go on where the checkpoint stands."""
        done = describe.batches_done(trainer)
        again = session.attempt + (done < session.global_step)
        epoch = int(trainer.current_epoch)
        session.resume_at(done, epoch, attempt=max(self._loaded or 0, again))
        if last is not None:
            session.describe(total_epochs=last)

    def _end(self, status: str, message: str = "") -> None:
        fit, session, capture = self._fit, self._session, self._capture
        self._forget()
        if capture is not None:
            capture.remove()
        if fit is not None:
            fit.end(status, message)
        elif session is not None:
            session.close(status, message)


class AutomaticCallback(TrainmonCallback):
    """What automatic attachment gives every Trainer; gives way to one by hand."""

    by_hand: ClassVar[bool] = False

    def _wants_to(self) -> bool:
        return wanted()


def _again(kind: type[TrainmonCallback]) -> TrainmonCallback:
    """Return an instance for Lightning as it is imported in this process."""
    instance = kind.__new__(kind)
    instance._forget()  # noqa: SLF001 - of this module
    instance._loaded = None  # noqa: SLF001 - of this module
    return instance
