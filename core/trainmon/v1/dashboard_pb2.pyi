from trainmon.v1 import control_pb2 as _control_pb2
from trainmon.v1 import telemetry_pb2 as _telemetry_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_STATE_UNSPECIFIED: _ClassVar[SessionState]
    SESSION_STATE_STARTING: _ClassVar[SessionState]
    SESSION_STATE_RUNNING: _ClassVar[SessionState]
    SESSION_STATE_PAUSED: _ClassVar[SessionState]
    SESSION_STATE_EVALUATING: _ClassVar[SessionState]
    SESSION_STATE_STOPPING: _ClassVar[SessionState]
    SESSION_STATE_COMPLETED: _ClassVar[SessionState]
    SESSION_STATE_STOPPED: _ClassVar[SessionState]
    SESSION_STATE_FAILED: _ClassVar[SessionState]
    SESSION_STATE_STALLED: _ClassVar[SessionState]
    SESSION_STATE_LINK_LOST: _ClassVar[SessionState]
    SESSION_STATE_DIED: _ClassVar[SessionState]

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_KIND_UNSPECIFIED: _ClassVar[EventKind]
    EVENT_KIND_EPOCH: _ClassVar[EventKind]
    EVENT_KIND_COMMAND: _ClassVar[EventKind]
    EVENT_KIND_ERROR: _ClassVar[EventKind]
    EVENT_KIND_STATUS: _ClassVar[EventKind]
SESSION_STATE_UNSPECIFIED: SessionState
SESSION_STATE_STARTING: SessionState
SESSION_STATE_RUNNING: SessionState
SESSION_STATE_PAUSED: SessionState
SESSION_STATE_EVALUATING: SessionState
SESSION_STATE_STOPPING: SessionState
SESSION_STATE_COMPLETED: SessionState
SESSION_STATE_STOPPED: SessionState
SESSION_STATE_FAILED: SessionState
SESSION_STATE_STALLED: SessionState
SESSION_STATE_LINK_LOST: SessionState
SESSION_STATE_DIED: SessionState
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_EPOCH: EventKind
EVENT_KIND_COMMAND: EventKind
EVENT_KIND_ERROR: EventKind
EVENT_KIND_STATUS: EventKind

class RankSummary(_message.Message):
    __slots__ = ("rank", "producer_id", "hostname", "pid", "state", "last_seen_ms")
    RANK_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    rank: int
    producer_id: str
    hostname: str
    pid: int
    state: SessionState
    last_seen_ms: int
    def __init__(self, rank: _Optional[int] = ..., producer_id: _Optional[str] = ..., hostname: _Optional[str] = ..., pid: _Optional[int] = ..., state: _Optional[_Union[SessionState, str]] = ..., last_seen_ms: _Optional[int] = ...) -> None: ...

class SessionSummary(_message.Message):
    __slots__ = ("session_id", "session_name", "framework", "state", "timestamp_ms", "epoch", "total_epochs", "batch_index", "batches_per_epoch", "global_step", "loss", "current_fps", "average_fps", "pictures_per_second", "world_size", "ranks", "started_ms", "ended_ms", "last_seen_ms", "status_message", "viewers")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_NAME_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TOTAL_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCH_INDEX_FIELD_NUMBER: _ClassVar[int]
    BATCHES_PER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_STEP_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FPS_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_FPS_FIELD_NUMBER: _ClassVar[int]
    PICTURES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    WORLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    RANKS_FIELD_NUMBER: _ClassVar[int]
    STARTED_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    STATUS_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    VIEWERS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    session_name: str
    framework: str
    state: SessionState
    timestamp_ms: int
    epoch: int
    total_epochs: int
    batch_index: int
    batches_per_epoch: int
    global_step: int
    loss: float
    current_fps: float
    average_fps: float
    pictures_per_second: float
    world_size: int
    ranks: _containers.RepeatedCompositeFieldContainer[RankSummary]
    started_ms: int
    ended_ms: int
    last_seen_ms: int
    status_message: str
    viewers: int
    def __init__(self, session_id: _Optional[str] = ..., session_name: _Optional[str] = ..., framework: _Optional[str] = ..., state: _Optional[_Union[SessionState, str]] = ..., timestamp_ms: _Optional[int] = ..., epoch: _Optional[int] = ..., total_epochs: _Optional[int] = ..., batch_index: _Optional[int] = ..., batches_per_epoch: _Optional[int] = ..., global_step: _Optional[int] = ..., loss: _Optional[float] = ..., current_fps: _Optional[float] = ..., average_fps: _Optional[float] = ..., pictures_per_second: _Optional[float] = ..., world_size: _Optional[int] = ..., ranks: _Optional[_Iterable[_Union[RankSummary, _Mapping]]] = ..., started_ms: _Optional[int] = ..., ended_ms: _Optional[int] = ..., last_seen_ms: _Optional[int] = ..., status_message: _Optional[str] = ..., viewers: _Optional[int] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("timestamp_ms", "max_sessions", "after_session_id")
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    AFTER_SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    max_sessions: int
    after_session_id: str
    def __init__(self, timestamp_ms: _Optional[int] = ..., max_sessions: _Optional[int] = ..., after_session_id: _Optional[str] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("timestamp_ms", "sessions", "left_out")
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    sessions: _containers.RepeatedCompositeFieldContainer[SessionSummary]
    left_out: int
    def __init__(self, timestamp_ms: _Optional[int] = ..., sessions: _Optional[_Iterable[_Union[SessionSummary, _Mapping]]] = ..., left_out: _Optional[int] = ...) -> None: ...

class WatchSessionsRequest(_message.Message):
    __slots__ = ("timestamp_ms",)
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    def __init__(self, timestamp_ms: _Optional[int] = ...) -> None: ...

class WatchSessionsResponse(_message.Message):
    __slots__ = ("timestamp_ms", "sessions", "removed_session_ids", "reset")
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_SESSION_IDS_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    sessions: _containers.RepeatedCompositeFieldContainer[SessionSummary]
    removed_session_ids: _containers.RepeatedScalarFieldContainer[str]
    reset: bool
    def __init__(self, timestamp_ms: _Optional[int] = ..., sessions: _Optional[_Iterable[_Union[SessionSummary, _Mapping]]] = ..., removed_session_ids: _Optional[_Iterable[str]] = ..., reset: bool = ...) -> None: ...

class WatchSessionRequest(_message.Message):
    __slots__ = ("session_id", "frames_per_second", "tile_size", "resume_cursor", "timestamp_ms")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FRAMES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    TILE_SIZE_FIELD_NUMBER: _ClassVar[int]
    RESUME_CURSOR_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    frames_per_second: float
    tile_size: int
    resume_cursor: str
    timestamp_ms: int
    def __init__(self, session_id: _Optional[str] = ..., frames_per_second: _Optional[float] = ..., tile_size: _Optional[int] = ..., resume_cursor: _Optional[str] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class SessionSnapshot(_message.Message):
    __slots__ = ("summary", "registration", "config", "epochs", "commands", "performance_data", "batch_data", "reset", "timestamp_ms", "notes", "missing_records", "errors")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_DATA_FIELD_NUMBER: _ClassVar[int]
    BATCH_DATA_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    MISSING_RECORDS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    summary: SessionSummary
    registration: _telemetry_pb2.RegisterTrainingSessionRequest
    config: _telemetry_pb2.SessionConfig
    epochs: _containers.RepeatedCompositeFieldContainer[_telemetry_pb2.EpochData]
    commands: _containers.RepeatedCompositeFieldContainer[_control_pb2.CommandRecord]
    performance_data: _telemetry_pb2.PerformanceData
    batch_data: _telemetry_pb2.BatchData
    reset: bool
    timestamp_ms: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    missing_records: int
    errors: _containers.RepeatedCompositeFieldContainer[_telemetry_pb2.ErrorResponse]
    def __init__(self, summary: _Optional[_Union[SessionSummary, _Mapping]] = ..., registration: _Optional[_Union[_telemetry_pb2.RegisterTrainingSessionRequest, _Mapping]] = ..., config: _Optional[_Union[_telemetry_pb2.SessionConfig, _Mapping]] = ..., epochs: _Optional[_Iterable[_Union[_telemetry_pb2.EpochData, _Mapping]]] = ..., commands: _Optional[_Iterable[_Union[_control_pb2.CommandRecord, _Mapping]]] = ..., performance_data: _Optional[_Union[_telemetry_pb2.PerformanceData, _Mapping]] = ..., batch_data: _Optional[_Union[_telemetry_pb2.BatchData, _Mapping]] = ..., reset: bool = ..., timestamp_ms: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ..., missing_records: _Optional[int] = ..., errors: _Optional[_Iterable[_Union[_telemetry_pb2.ErrorResponse, _Mapping]]] = ...) -> None: ...

class KeepAlive(_message.Message):
    __slots__ = ("timestamp_ms", "summary")
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    summary: SessionSummary
    def __init__(self, timestamp_ms: _Optional[int] = ..., summary: _Optional[_Union[SessionSummary, _Mapping]] = ...) -> None: ...

class WatchSessionResponse(_message.Message):
    __slots__ = ("timestamp_ms", "cursor", "snapshot", "batch_data", "epoch_data", "performance_data", "status_update", "metric_data", "command_record", "error", "keep_alive")
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    BATCH_DATA_FIELD_NUMBER: _ClassVar[int]
    EPOCH_DATA_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_DATA_FIELD_NUMBER: _ClassVar[int]
    STATUS_UPDATE_FIELD_NUMBER: _ClassVar[int]
    METRIC_DATA_FIELD_NUMBER: _ClassVar[int]
    COMMAND_RECORD_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    KEEP_ALIVE_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    cursor: str
    snapshot: SessionSnapshot
    batch_data: _telemetry_pb2.BatchData
    epoch_data: _telemetry_pb2.EpochData
    performance_data: _telemetry_pb2.PerformanceData
    status_update: _telemetry_pb2.StatusUpdate
    metric_data: _telemetry_pb2.MetricData
    command_record: _control_pb2.CommandRecord
    error: _telemetry_pb2.ErrorResponse
    keep_alive: KeepAlive
    def __init__(self, timestamp_ms: _Optional[int] = ..., cursor: _Optional[str] = ..., snapshot: _Optional[_Union[SessionSnapshot, _Mapping]] = ..., batch_data: _Optional[_Union[_telemetry_pb2.BatchData, _Mapping]] = ..., epoch_data: _Optional[_Union[_telemetry_pb2.EpochData, _Mapping]] = ..., performance_data: _Optional[_Union[_telemetry_pb2.PerformanceData, _Mapping]] = ..., status_update: _Optional[_Union[_telemetry_pb2.StatusUpdate, _Mapping]] = ..., metric_data: _Optional[_Union[_telemetry_pb2.MetricData, _Mapping]] = ..., command_record: _Optional[_Union[_control_pb2.CommandRecord, _Mapping]] = ..., error: _Optional[_Union[_telemetry_pb2.ErrorResponse, _Mapping]] = ..., keep_alive: _Optional[_Union[KeepAlive, _Mapping]] = ...) -> None: ...

class SendCommandRequest(_message.Message):
    __slots__ = ("session_id", "command", "timestamp_ms")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    command: _control_pb2.ControlCommand
    timestamp_ms: int
    def __init__(self, session_id: _Optional[str] = ..., command: _Optional[_Union[_control_pb2.ControlCommand, _Mapping]] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class QueryMetricsRequest(_message.Message):
    __slots__ = ("session_id", "series", "first_step", "last_step", "max_points", "timestamp_ms")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    FIRST_STEP_FIELD_NUMBER: _ClassVar[int]
    LAST_STEP_FIELD_NUMBER: _ClassVar[int]
    MAX_POINTS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    series: _containers.RepeatedScalarFieldContainer[str]
    first_step: int
    last_step: int
    max_points: int
    timestamp_ms: int
    def __init__(self, session_id: _Optional[str] = ..., series: _Optional[_Iterable[str]] = ..., first_step: _Optional[int] = ..., last_step: _Optional[int] = ..., max_points: _Optional[int] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class QueryMetricsResponse(_message.Message):
    __slots__ = ("series", "cursor", "timestamp_ms")
    SERIES_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    series: _containers.RepeatedCompositeFieldContainer[_telemetry_pb2.MetricSeries]
    cursor: str
    timestamp_ms: int
    def __init__(self, series: _Optional[_Iterable[_Union[_telemetry_pb2.MetricSeries, _Mapping]]] = ..., cursor: _Optional[str] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class GetBatchRequest(_message.Message):
    __slots__ = ("session_id", "step", "timestamp_ms")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    step: int
    timestamp_ms: int
    def __init__(self, session_id: _Optional[str] = ..., step: _Optional[int] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class GetBatchResponse(_message.Message):
    __slots__ = ("batch_data", "timestamp_ms")
    BATCH_DATA_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    batch_data: _telemetry_pb2.BatchData
    timestamp_ms: int
    def __init__(self, batch_data: _Optional[_Union[_telemetry_pb2.BatchData, _Mapping]] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class QueryEventsRequest(_message.Message):
    __slots__ = ("session_id", "kind", "after", "timestamp_ms")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    kind: EventKind
    after: int
    timestamp_ms: int
    def __init__(self, session_id: _Optional[str] = ..., kind: _Optional[_Union[EventKind, str]] = ..., after: _Optional[int] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class QueryEventsResponse(_message.Message):
    __slots__ = ("epochs", "commands", "errors", "statuses", "next", "timestamp_ms")
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    epochs: _containers.RepeatedCompositeFieldContainer[_telemetry_pb2.EpochData]
    commands: _containers.RepeatedCompositeFieldContainer[_control_pb2.CommandRecord]
    errors: _containers.RepeatedCompositeFieldContainer[_telemetry_pb2.ErrorResponse]
    statuses: _containers.RepeatedCompositeFieldContainer[_telemetry_pb2.StatusUpdate]
    next: int
    timestamp_ms: int
    def __init__(self, epochs: _Optional[_Iterable[_Union[_telemetry_pb2.EpochData, _Mapping]]] = ..., commands: _Optional[_Iterable[_Union[_control_pb2.CommandRecord, _Mapping]]] = ..., errors: _Optional[_Iterable[_Union[_telemetry_pb2.ErrorResponse, _Mapping]]] = ..., statuses: _Optional[_Iterable[_Union[_telemetry_pb2.StatusUpdate, _Mapping]]] = ..., next: _Optional[int] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class DeleteSessionRequest(_message.Message):
    __slots__ = ("session_id", "timestamp_ms")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    timestamp_ms: int
    def __init__(self, session_id: _Optional[str] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class DeleteSessionResponse(_message.Message):
    __slots__ = ("timestamp_ms",)
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    def __init__(self, timestamp_ms: _Optional[int] = ...) -> None: ...
