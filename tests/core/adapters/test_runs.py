"""One session per training, however it is reached, and counts that go on over its fits."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import weakref
from collections.abc import Iterator

import psutil
import pytest

import trainmon
from stack import Stack
from trainmon import adapters
from trainmon.adapters import harmless, open_run, say, wanted
from trainmon.config import Settings
from trainmon.errors import StopTraining
from viewer import viewer

#: Nobody listens there.
NOWHERE = "127.0.0.1:9"


def settings(**given: object) -> Settings:
    """Settings of a run that nobody watches, and of which nothing is to be left."""
    # From the environment, for the relay writes below TRAINMON_HOME.
    return Settings.from_environment(
        monitor=NOWHERE, exit_timeout_s=0.0, relay_linger_s=0.0, **given
    )


class Model:
    """An owner that is compared by what it holds, and cannot be hashed."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    __hash__ = None


@pytest.fixture(autouse=True)
def relays_end(isolated_test: None) -> Iterator[None]:
    """Wait for the relays: one may still start when its short session has ended."""
    yield
    psutil.wait_procs(psutil.Process().children(), timeout=30)


@pytest.fixture
def opened(relays_end: None) -> Iterator[list[trainmon.Session]]:
    """Sessions that are closed with the test."""
    sessions: list[trainmon.Session] = []
    yield sessions
    for session in sessions:
        session.close()


def steps(session: trainmon.Session, epochs: int, batches: int) -> None:
    """Tell of some epochs."""
    for _ in range(epochs):
        for _ in range(batches):
            session.batch_end(loss=1.0)
        session.epoch_end()


def test_fits_of_one_model_are_one_run(opened) -> None:
    """The second fit joins the first one's run, and every count goes on where it stood."""
    model = Model()
    first = open_run(model, adapter="bare", total_epochs=2, settings=settings())
    opened.append(first)
    first.resume_at(0, 0, attempt=3)
    steps(first, 2, 5)
    first.close()
    second = open_run(model, adapter="bare", total_epochs=4, settings=settings())
    opened.append(second)
    assert second.info.run_key == first.info.run_key
    assert second.info.producer_id != first.info.producer_id
    assert (second.global_step, second.epoch, second.attempt) == (10, 2, 3)
    assert second.info.total_epochs == 6


def test_a_fit_after_the_end_runs_on_the_page(processes: Stack) -> None:
    """A session that has completed shows as running when its model is fitted again, then ends."""
    _, address = processes.monitor()
    model = Model()
    linked = Settings.from_environment(monitor=address, exit_timeout_s=20.0)
    with viewer(address) as seen:
        with open_run(model, adapter="bare", settings=linked) as session:
            steps(session, 1, 5)
        before = seen.in_state("COMPLETED")
        assert before.HasField("ended_ms")
        with open_run(model, adapter="bare", settings=linked) as session:
            steps(session, 1, 1)
            again = seen.in_state("RUNNING")
            assert again.session_id == before.session_id
            assert not again.HasField("ended_ms")
        after = seen.session(lambda summary: summary.HasField("ended_ms"))
        assert after.global_step == 5
        assert list(seen.metrics(after.session_id, "loss")["loss"].steps) == list(range(6))


def test_two_models_are_two_runs(opened) -> None:
    """Each model has its run, also while both train."""
    models = [Model(), Model()]
    opened += [open_run(model, adapter="bare", settings=settings()) for model in models]
    assert len({session.info.run_key for session in opened}) == 2


def test_keys_of_several_models_are_numbered(opened) -> None:
    """A run key that is set goes to the first model, numbered to the next: as on every rank."""
    models = [Model() for _ in range(3)]
    key = f"key of {os.getpid()}"
    keyed = settings(run_key=key)
    opened += [open_run(model, adapter="bare", settings=keyed) for model in models]
    for session in opened:
        session.close()
    opened.append(open_run(models[1], adapter="bare", settings=keyed))
    keys = [session.info.run_key for session in opened]
    assert keys == [key, f"{key}-2", f"{key}-3", f"{key}-2"]


def test_a_training_that_is_shown_gets_no_second_session(opened, caplog) -> None:
    """A second callback of the same model gets None, and that is said once."""
    model = Model()
    opened.append(open_run(model, adapter="bare", settings=settings()))
    with caplog.at_level(logging.INFO, "trainmon"):
        assert open_run(model, adapter="bare", settings=settings()) is None
        assert open_run(model, adapter="bare", settings=settings()) is None
    assert len(caplog.records) == 1
    assert "already shows" in caplog.text


def test_a_session_of_the_script_shows_what_trains_in_it() -> None:
    """Within `start_session` no adapter opens another; after it, one does."""
    model = Model()
    with trainmon.start_session("own", settings=settings()):
        assert open_run(model, adapter="bare", settings=settings()) is None
    with open_run(model, adapter="bare", settings=settings()) as session:
        assert not session.closed


def test_threads_that_open_at_once_get_one_session(opened) -> None:
    """Of many threads that come with the same model, one gets the session."""
    model, gate = Model(), threading.Barrier(8)

    def come() -> None:
        gate.wait()
        opened.append(open_run(model, adapter="bare", settings=settings()))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [session for session in opened if session is not None]
    opened[:] = found
    assert len(found) == 1


def test_the_model_is_not_kept_alive(opened) -> None:
    """Only a weak reference is kept, and another model at the same place is another run."""
    model = Model()
    opened.append(open_run(model, adapter="bare", settings=settings()))
    opened[0].close()
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_an_owner_without_weak_references_is_a_run_each_fit(opened) -> None:
    """A dict, say, cannot be remembered: its fits are runs of their own."""
    owner = {"weights": 1}
    for _ in range(2):
        opened.append(open_run(owner, adapter="bare", settings=settings()))
        opened[-1].close()
    assert opened[0].info.run_key != opened[1].info.run_key


@pytest.mark.parametrize(
    "wrong",
    [{"rank": 7}, {"class_names": "cat"}, {"adapter": "nobody"}, {"total_epochs": "many"}],
    ids=str,
)
def test_what_cannot_be_used_is_said_and_nothing_is_raised(wrong, caplog) -> None:
    """With a bad argument there is no session, the reason is logged, and the training goes on."""
    assert open_run(Model(), **{"adapter": "bare", "settings": settings(), **wrong}) is None
    assert "this training is not shown" in caplog.text


def test_a_bad_variable_is_said_and_nothing_is_raised(monkeypatch, caplog) -> None:
    """The same holds of the environment."""
    monkeypatch.setenv("TRAINMON_MONITOR", "nowhere at all")
    assert open_run(Model(), adapter="bare") is None
    assert "TRAINMON_MONITOR is 'nowhere at all'" in caplog.text


def test_the_environment_names_the_run(opened, monkeypatch) -> None:
    """TRAINMON_SESSION_NAME holds where the script gives no name."""
    monkeypatch.setattr("trainmon.capture.lifecycle._run_keys", set())
    named = settings(session_name="from outside")
    opened.append(open_run(Model(), adapter="bare", settings=named))
    opened.append(open_run(Model(), adapter="bare", name="from inside", settings=named))
    opened.append(open_run(Model(), adapter="bare", settings=named))
    names = [each.info.session_name for each in opened]
    assert names == ["from outside", "from inside", "from outside (3)"]


def test_wanted_means_that_a_monitor_is_named(monkeypatch) -> None:
    """Automatic attachment is asked for by TRAINMON_MONITOR alone."""
    assert not wanted()
    monkeypatch.setenv("TRAINMON_MONITOR", NOWHERE)
    assert wanted()


class Callback:
    """A framework's callback with a session, or none yet."""

    def __init__(self, session: trainmon.Session | None = None) -> None:
        self.session = session

    @harmless
    def on_step(self, error: BaseException) -> str:
        """Raise it."""
        raise error

    @harmless
    def on_end(self, answer: str) -> str:
        """Answer."""
        return answer


def test_a_callback_that_raises_is_counted_and_said_once(opened, caplog) -> None:
    """What a method raises is shown by its session, and the method answers None."""
    opened.append(open_run(Model(), adapter="bare", settings=settings()))
    callback = Callback(opened[0])
    for _ in range(3):
        assert callback.on_step(ValueError("bad shape")) is None
    assert callback.on_end("fine") == "fine"
    assert opened[0].counts["failures"] == 3
    assert caplog.text.count("on_step: ValueError: bad shape") == 1


@pytest.mark.parametrize("closed", [True, False])
def test_a_callback_without_an_open_session_is_logged_once(opened, caplog, closed) -> None:
    """Before the session is there, and after its end, the log alone can say it."""
    callback = Callback()
    if closed:
        opened.append(open_run(Model(), adapter="bare", settings=settings()))
        opened[0].close()
        callback.session = opened[0]
    for _ in range(3):
        assert callback.on_step(ValueError(f"nobody to tell {closed}")) is None
    assert caplog.text.count("trainmon: on_step: ValueError: nobody to tell") == 1


@pytest.mark.parametrize("error", [StopTraining("id"), KeyboardInterrupt(), SystemExit(3)], ids=str)
def test_what_asks_the_training_to_end_passes(error) -> None:
    """A stop, Ctrl-C and an exit are not ours to swallow."""
    with pytest.raises(type(error)):
        Callback().on_step(error)


def test_a_choice_is_said_once(opened, caplog) -> None:
    """What `say` tells is logged once a session, whatever handlers do."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("a stranger's handler")

    opened.append(open_run(Model(), adapter="bare", settings=settings()))
    with caplog.at_level(logging.INFO, "trainmon"):
        say(opened[0], "images: batch[0]")
        say(opened[0], "images: batch[0]")
        handler = Handler()
        logging.getLogger("trainmon").addHandler(handler)
        try:
            say(opened[0], "truth: batch[1]")
        finally:
            logging.getLogger("trainmon").removeHandler(handler)
    assert [record.message for record in caplog.records].count("trainmon: images: batch[0]") == 1
    # Once by `say`, and once when that failure itself was to be logged.
    assert opened[0].counts["failures"] == 2


def test_a_forked_child_is_no_second_run(opened) -> None:
    """A forked worker has no open session of its parent's, and nothing to say of it."""
    model = Model()
    opened.append(open_run(model, adapter="bare", settings=settings()))
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child
        closed = opened[0].closed
        os._exit(0 if closed else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert not opened[0].closed
    assert "trainmon.adapters" in sys.modules


def test_the_kit_has_what_it_says() -> None:
    """Every public name is there, though each is imported only where it is first used."""
    assert all(callable(getattr(adapters, name)) for name in adapters.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = adapters.no_such_name
