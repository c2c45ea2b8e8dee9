"""What a training is doing, from what it says, what its relay sees, and silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmon.monitor.liveness import Liveness, joint_state
from trainmon.v1.dashboard_pb2 import SessionState
from trainmon.v1.telemetry_pb2 import TrainerLiveness, TrainingStatus


def status(name):
    """Return a TrainingStatus by its short name."""
    return TrainingStatus.Value(f"TRAINING_STATUS_{name}")


def seen(name):
    """Return a TrainerLiveness by its short name."""
    return TrainerLiveness.Value(f"TRAINER_LIVENESS_{name}")


def name_of(state):
    """Return the short name of a SessionState."""
    return SessionState.Name(state)[len("SESSION_STATE_") :]


def life_of(*statuses, link=True):
    """Return a life that has said these things."""
    life = Liveness(5.0, now=0.0)
    if link:
        life.link_opened()
    for each in statuses:
        life.said(status(each), seen("UNSPECIFIED"))
    return life


@pytest.mark.parametrize(
    "said",
    ["STARTING", "RUNNING", "PAUSED", "EVALUATING", "STOPPING", "COMPLETED", "STOPPED", "FAILED"],
)
def test_each_status_has_its_state(said):
    """What a training says is what is shown, while nothing speaks against it."""
    assert name_of(life_of(said).state) == said


@pytest.mark.parametrize(
    ("said", "shown"),
    [("RUNNING", "STALLED"), ("EVALUATING", "EVALUATING"), ("PAUSED", "PAUSED")],
)
def test_only_a_running_training_stalls(said, shown):
    """No steps while paused or evaluating is no stall."""
    life = life_of(said)
    life.seen(seen("SILENT"))
    assert name_of(life.state) == shown
    life.seen(seen("UNSPECIFIED"))
    assert name_of(life.state) == shown
    life.seen(seen("STEPPING"))
    assert name_of(life.state) == said


def test_a_death_is_no_failure():
    """FAILED by the relay for a vanished process is DIED; FAILED by the script is FAILED."""
    life = life_of("RUNNING")
    life.said(status("FAILED"), seen("DIED"))
    assert name_of(life.state) == "DIED"
    assert life.ended
    assert name_of(life_of("RUNNING", "FAILED").state) == "FAILED"


def test_a_death_seen_before_the_last_records_is_not_the_end():
    """A heartbeat tells of the death at once; the end comes behind what is still to be sent."""
    life = life_of("RUNNING")
    life.seen(seen("DIED"))
    assert name_of(life.state) == "DIED"
    assert not life.ended


def test_a_goodbye_outweighs_a_vanished_process():
    """A process that said COMPLETED and then ended did not die."""
    life = life_of("RUNNING", "COMPLETED")
    life.seen(seen("DIED"))
    life.link_ended(1.0)
    assert name_of(life.state) == "COMPLETED"


def test_a_lost_link_comes_back():
    """LINK_LOST lasts until a stream opens; then the last known status holds."""
    life = life_of("RUNNING")
    life.link_ended(1.0)
    assert name_of(life.state) == "LINK_LOST"
    life.registered(2.0)
    assert name_of(life.state) == "LINK_LOST"
    life.link_opened()
    assert name_of(life.state) == "RUNNING"


def test_a_take_over_is_no_lost_link_unless_no_stream_follows():
    """Between the new registration and its stream the state stays, but not for ever."""
    life = life_of("RUNNING")
    life.link_superseded(10.0)
    life.registered(10.0)
    life.check(14.9)
    assert name_of(life.state) == "RUNNING"
    life.check(15.1)
    assert name_of(life.state) == "LINK_LOST"


def test_steps_prove_that_it_runs():
    """A trainer that never said RUNNING runs when batches end; a paused one stays paused."""
    life = life_of()
    life.stepped()
    assert name_of(life.state) == "RUNNING"
    paused = life_of("PAUSED")
    paused.stepped()
    assert name_of(paused.state) == "PAUSED"


@pytest.mark.parametrize(
    ("ranks", "shown"),
    [
        ([["RUNNING"], ["PAUSED"]], "RUNNING"),
        ([["COMPLETED"], ["RUNNING"]], "RUNNING"),
        ([["COMPLETED"], ["FAILED"]], "FAILED"),
        ([["COMPLETED"], ["STOPPED"]], "STOPPED"),
        ([["COMPLETED"], ["COMPLETED"]], "COMPLETED"),
        ([], "STARTING"),
    ],
)
def test_several_ranks_have_one_state(ranks, shown):
    """The first living rank speaks for the run; when all have ended, the worst end does."""
    assert name_of(joint_state([life_of(*said) for said in ranks])) == shown


@given(
    st.lists(
        st.one_of(
            st.sampled_from(TrainingStatus.values()).map(lambda value: ("said", value)),
            st.sampled_from(TrainerLiveness.values()).map(lambda value: ("seen", value)),
            st.sampled_from(["open", "end", "step", "check"]).map(lambda name: (name, 0)),
        ),
        max_size=30,
    )
)
def test_no_history_breaks_the_machine(history):
    """Whatever happens in whatever order, there is one state that can be shown."""
    life = Liveness(5.0, 0.0)
    for now, (what, value) in enumerate(history):
        {
            "said": lambda value=value: life.said(value, seen("UNSPECIFIED")),
            "seen": lambda value=value: life.seen(value),
            "open": life.link_opened,
            "end": lambda now=now: life.link_ended(float(now)),
            "step": life.stepped,
            "check": lambda now=now: life.check(float(now)),
        }[what]()
        assert life.state in SessionState.values()
        assert life.state != SessionState.SESSION_STATE_UNSPECIFIED
