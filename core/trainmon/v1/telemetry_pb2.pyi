from trainmon.v1 import control_pb2 as _control_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TrainingStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAINING_STATUS_UNSPECIFIED: _ClassVar[TrainingStatus]
    TRAINING_STATUS_STARTING: _ClassVar[TrainingStatus]
    TRAINING_STATUS_RUNNING: _ClassVar[TrainingStatus]
    TRAINING_STATUS_PAUSED: _ClassVar[TrainingStatus]
    TRAINING_STATUS_EVALUATING: _ClassVar[TrainingStatus]
    TRAINING_STATUS_STOPPING: _ClassVar[TrainingStatus]
    TRAINING_STATUS_COMPLETED: _ClassVar[TrainingStatus]
    TRAINING_STATUS_STOPPED: _ClassVar[TrainingStatus]
    TRAINING_STATUS_FAILED: _ClassVar[TrainingStatus]

class TrainerLiveness(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAINER_LIVENESS_UNSPECIFIED: _ClassVar[TrainerLiveness]
    TRAINER_LIVENESS_STEPPING: _ClassVar[TrainerLiveness]
    TRAINER_LIVENESS_SILENT: _ClassVar[TrainerLiveness]
    TRAINER_LIVENESS_DIED: _ClassVar[TrainerLiveness]

class ConvergenceStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONVERGENCE_STATUS_UNSPECIFIED: _ClassVar[ConvergenceStatus]
    CONVERGENCE_STATUS_IMPROVING: _ClassVar[ConvergenceStatus]
    CONVERGENCE_STATUS_PLATEAU: _ClassVar[ConvergenceStatus]
    CONVERGENCE_STATUS_CONVERGED: _ClassVar[ConvergenceStatus]
    CONVERGENCE_STATUS_DIVERGING: _ClassVar[ConvergenceStatus]

class ErrorCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_CODE_UNSPECIFIED: _ClassVar[ErrorCode]
    ERROR_CODE_INVALID_MESSAGE: _ClassVar[ErrorCode]
    ERROR_CODE_HEARTBEAT_TIMEOUT: _ClassVar[ErrorCode]
    ERROR_CODE_RESOURCE_EXHAUSTED: _ClassVar[ErrorCode]
    ERROR_CODE_CONNECTION_TIMEOUT: _ClassVar[ErrorCode]
    ERROR_CODE_UNKNOWN_SESSION: _ClassVar[ErrorCode]
    ERROR_CODE_SESSION_CLOSED: _ClassVar[ErrorCode]
    ERROR_CODE_SESSION_SUPERSEDED: _ClassVar[ErrorCode]
    ERROR_CODE_MESSAGE_TOO_LARGE: _ClassVar[ErrorCode]
    ERROR_CODE_UNSUPPORTED_PROTOCOL: _ClassVar[ErrorCode]
    ERROR_CODE_UNAUTHENTICATED: _ClassVar[ErrorCode]

class PictureLimit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PICTURE_LIMIT_UNSPECIFIED: _ClassVar[PictureLimit]
    PICTURE_LIMIT_OVERHEAD_BUDGET: _ClassVar[PictureLimit]
    PICTURE_LIMIT_SLOW_LINK: _ClassVar[PictureLimit]
TRAINING_STATUS_UNSPECIFIED: TrainingStatus
TRAINING_STATUS_STARTING: TrainingStatus
TRAINING_STATUS_RUNNING: TrainingStatus
TRAINING_STATUS_PAUSED: TrainingStatus
TRAINING_STATUS_EVALUATING: TrainingStatus
TRAINING_STATUS_STOPPING: TrainingStatus
TRAINING_STATUS_COMPLETED: TrainingStatus
TRAINING_STATUS_STOPPED: TrainingStatus
TRAINING_STATUS_FAILED: TrainingStatus
TRAINER_LIVENESS_UNSPECIFIED: TrainerLiveness
TRAINER_LIVENESS_STEPPING: TrainerLiveness
TRAINER_LIVENESS_SILENT: TrainerLiveness
TRAINER_LIVENESS_DIED: TrainerLiveness
CONVERGENCE_STATUS_UNSPECIFIED: ConvergenceStatus
CONVERGENCE_STATUS_IMPROVING: ConvergenceStatus
CONVERGENCE_STATUS_PLATEAU: ConvergenceStatus
CONVERGENCE_STATUS_CONVERGED: ConvergenceStatus
CONVERGENCE_STATUS_DIVERGING: ConvergenceStatus
ERROR_CODE_UNSPECIFIED: ErrorCode
ERROR_CODE_INVALID_MESSAGE: ErrorCode
ERROR_CODE_HEARTBEAT_TIMEOUT: ErrorCode
ERROR_CODE_RESOURCE_EXHAUSTED: ErrorCode
ERROR_CODE_CONNECTION_TIMEOUT: ErrorCode
ERROR_CODE_UNKNOWN_SESSION: ErrorCode
ERROR_CODE_SESSION_CLOSED: ErrorCode
ERROR_CODE_SESSION_SUPERSEDED: ErrorCode
ERROR_CODE_MESSAGE_TOO_LARGE: ErrorCode
ERROR_CODE_UNSUPPORTED_PROTOCOL: ErrorCode
ERROR_CODE_UNAUTHENTICATED: ErrorCode
PICTURE_LIMIT_UNSPECIFIED: PictureLimit
PICTURE_LIMIT_OVERHEAD_BUDGET: PictureLimit
PICTURE_LIMIT_SLOW_LINK: PictureLimit

class RegisterTrainingSessionRequest(_message.Message):
    __slots__ = ("run_key", "producer_id", "protocol_version", "session_name", "framework", "framework_version", "class_names", "total_epochs", "batches_per_epoch", "hyperparameters", "hostname", "pid", "rank", "world_size", "controls", "sends_metric_data", "timestamp_ms", "session_id", "checksum")
    class HyperparametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUN_KEY_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_NAME_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_FIELD_NUMBER: _ClassVar[int]
    FRAMEWORK_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_PER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    HYPERPARAMETERS_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    WORLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    SENDS_METRIC_DATA_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    run_key: str
    producer_id: str
    protocol_version: int
    session_name: str
    framework: str
    framework_version: str
    class_names: _containers.RepeatedScalarFieldContainer[str]
    total_epochs: int
    batches_per_epoch: int
    hyperparameters: _containers.ScalarMap[str, str]
    hostname: str
    pid: int
    rank: int
    world_size: int
    controls: _containers.RepeatedCompositeFieldContainer[_control_pb2.ControlSpec]
    sends_metric_data: bool
    timestamp_ms: int
    session_id: str
    checksum: int
    def __init__(self, run_key: _Optional[str] = ..., producer_id: _Optional[str] = ..., protocol_version: _Optional[int] = ..., session_name: _Optional[str] = ..., framework: _Optional[str] = ..., framework_version: _Optional[str] = ..., class_names: _Optional[_Iterable[str]] = ..., total_epochs: _Optional[int] = ..., batches_per_epoch: _Optional[int] = ..., hyperparameters: _Optional[_Mapping[str, str]] = ..., hostname: _Optional[str] = ..., pid: _Optional[int] = ..., rank: _Optional[int] = ..., world_size: _Optional[int] = ..., controls: _Optional[_Iterable[_Union[_control_pb2.ControlSpec, _Mapping]]] = ..., sends_metric_data: bool = ..., timestamp_ms: _Optional[int] = ..., session_id: _Optional[str] = ..., checksum: _Optional[int] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("session_id", "config", "stored_sequence", "timestamp_ms", "checksum")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    STORED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    config: SessionConfig
    stored_sequence: int
    timestamp_ms: int
    checksum: int
    def __init__(self, session_id: _Optional[str] = ..., config: _Optional[_Union[SessionConfig, _Mapping]] = ..., stored_sequence: _Optional[int] = ..., timestamp_ms: _Optional[int] = ..., checksum: _Optional[int] = ...) -> None: ...

class SessionConfig(_message.Message):
    __slots__ = ("heartbeat_interval_ms", "heartbeat_timeout_ms", "max_images", "tile_size", "image_quality", "frames_per_second", "performance_every_n_batches", "max_message_bytes", "timestamp_ms", "viewers", "takes_joined")
    HEARTBEAT_INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGES_FIELD_NUMBER: _ClassVar[int]
    TILE_SIZE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_QUALITY_FIELD_NUMBER: _ClassVar[int]
    FRAMES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_EVERY_N_BATCHES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    VIEWERS_FIELD_NUMBER: _ClassVar[int]
    TAKES_JOINED_FIELD_NUMBER: _ClassVar[int]
    heartbeat_interval_ms: int
    heartbeat_timeout_ms: int
    max_images: int
    tile_size: int
    image_quality: int
    frames_per_second: float
    performance_every_n_batches: int
    max_message_bytes: int
    timestamp_ms: int
    viewers: int
    takes_joined: bool
    def __init__(self, heartbeat_interval_ms: _Optional[int] = ..., heartbeat_timeout_ms: _Optional[int] = ..., max_images: _Optional[int] = ..., tile_size: _Optional[int] = ..., image_quality: _Optional[int] = ..., frames_per_second: _Optional[float] = ..., performance_every_n_batches: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., timestamp_ms: _Optional[int] = ..., viewers: _Optional[int] = ..., takes_joined: bool = ...) -> None: ...

class TelemetryRequest(_message.Message):
    __slots__ = ("session_id", "timestamp_ms", "batch_data", "epoch_data", "performance_data", "status_update", "heartbeat", "metric_data", "command_result", "producer_id", "sequence", "joined", "checksum")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    BATCH_DATA_FIELD_NUMBER: _ClassVar[int]
    EPOCH_DATA_FIELD_NUMBER: _ClassVar[int]
    PERFORMANCE_DATA_FIELD_NUMBER: _ClassVar[int]
    STATUS_UPDATE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    METRIC_DATA_FIELD_NUMBER: _ClassVar[int]
    COMMAND_RESULT_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    timestamp_ms: int
    batch_data: BatchData
    epoch_data: EpochData
    performance_data: PerformanceData
    status_update: StatusUpdate
    heartbeat: Heartbeat
    metric_data: MetricData
    command_result: _control_pb2.CommandResult
    producer_id: str
    sequence: int
    joined: int
    checksum: int
    def __init__(self, session_id: _Optional[str] = ..., timestamp_ms: _Optional[int] = ..., batch_data: _Optional[_Union[BatchData, _Mapping]] = ..., epoch_data: _Optional[_Union[EpochData, _Mapping]] = ..., performance_data: _Optional[_Union[PerformanceData, _Mapping]] = ..., status_update: _Optional[_Union[StatusUpdate, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., metric_data: _Optional[_Union[MetricData, _Mapping]] = ..., command_result: _Optional[_Union[_control_pb2.CommandResult, _Mapping]] = ..., producer_id: _Optional[str] = ..., sequence: _Optional[int] = ..., joined: _Optional[int] = ..., checksum: _Optional[int] = ...) -> None: ...

class TelemetryResponse(_message.Message):
    __slots__ = ("timestamp_ms", "acknowledgment", "command", "error", "config", "heartbeat", "checksum")
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGMENT_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    acknowledgment: Acknowledgment
    command: _control_pb2.ControlCommand
    error: ErrorResponse
    config: SessionConfig
    heartbeat: HeartbeatReply
    checksum: int
    def __init__(self, timestamp_ms: _Optional[int] = ..., acknowledgment: _Optional[_Union[Acknowledgment, _Mapping]] = ..., command: _Optional[_Union[_control_pb2.ControlCommand, _Mapping]] = ..., error: _Optional[_Union[ErrorResponse, _Mapping]] = ..., config: _Optional[_Union[SessionConfig, _Mapping]] = ..., heartbeat: _Optional[_Union[HeartbeatReply, _Mapping]] = ..., checksum: _Optional[int] = ...) -> None: ...

class Acknowledgment(_message.Message):
    __slots__ = ("acknowledged_sequence", "timestamp_ms")
    ACKNOWLEDGED_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    acknowledged_sequence: int
    timestamp_ms: int
    def __init__(self, acknowledged_sequence: _Optional[int] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class ImageData(_message.Message):
    __slots__ = ("image_bytes", "format", "width", "height", "channels")
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    image_bytes: bytes
    format: str
    width: int
    height: int
    channels: int
    def __init__(self, image_bytes: _Optional[bytes] = ..., format: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., channels: _Optional[int] = ...) -> None: ...

class ClassScore(_message.Message):
    __slots__ = ("class_index", "label", "score")
    CLASS_INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    class_index: int
    label: str
    score: float
    def __init__(self, class_index: _Optional[int] = ..., label: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class BoundingBox(_message.Message):
    __slots__ = ("x_min", "y_min", "x_max", "y_max", "class_index", "label", "score")
    X_MIN_FIELD_NUMBER: _ClassVar[int]
    Y_MIN_FIELD_NUMBER: _ClassVar[int]
    X_MAX_FIELD_NUMBER: _ClassVar[int]
    Y_MAX_FIELD_NUMBER: _ClassVar[int]
    CLASS_INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    x_min: float
    y_min: float
    x_max: float
    y_max: float
    class_index: int
    label: str
    score: float
    def __init__(self, x_min: _Optional[float] = ..., y_min: _Optional[float] = ..., x_max: _Optional[float] = ..., y_max: _Optional[float] = ..., class_index: _Optional[int] = ..., label: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class TokenLoss(_message.Message):
    __slots__ = ("token", "loss")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    token: str
    loss: float
    def __init__(self, token: _Optional[str] = ..., loss: _Optional[float] = ...) -> None: ...

class TextData(_message.Message):
    __slots__ = ("text", "tokens")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    text: str
    tokens: _containers.RepeatedCompositeFieldContainer[TokenLoss]
    def __init__(self, text: _Optional[str] = ..., tokens: _Optional[_Iterable[_Union[TokenLoss, _Mapping]]] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("predicted_class", "predicted_label", "confidence", "top_k_scores", "values", "mask", "boxes", "text")
    PREDICTED_CLASS_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_LABEL_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    TOP_K_SCORES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    predicted_class: int
    predicted_label: str
    confidence: float
    top_k_scores: _containers.RepeatedCompositeFieldContainer[ClassScore]
    values: _containers.RepeatedScalarFieldContainer[float]
    mask: ImageData
    boxes: _containers.RepeatedCompositeFieldContainer[BoundingBox]
    text: str
    def __init__(self, predicted_class: _Optional[int] = ..., predicted_label: _Optional[str] = ..., confidence: _Optional[float] = ..., top_k_scores: _Optional[_Iterable[_Union[ClassScore, _Mapping]]] = ..., values: _Optional[_Iterable[float]] = ..., mask: _Optional[_Union[ImageData, _Mapping]] = ..., boxes: _Optional[_Iterable[_Union[BoundingBox, _Mapping]]] = ..., text: _Optional[str] = ...) -> None: ...

class GroundTruth(_message.Message):
    __slots__ = ("true_class", "true_label", "true_classes", "values", "mask", "boxes", "text")
    TRUE_CLASS_FIELD_NUMBER: _ClassVar[int]
    TRUE_LABEL_FIELD_NUMBER: _ClassVar[int]
    TRUE_CLASSES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    true_class: int
    true_label: str
    true_classes: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    mask: ImageData
    boxes: _containers.RepeatedCompositeFieldContainer[BoundingBox]
    text: str
    def __init__(self, true_class: _Optional[int] = ..., true_label: _Optional[str] = ..., true_classes: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[float]] = ..., mask: _Optional[_Union[ImageData, _Mapping]] = ..., boxes: _Optional[_Iterable[_Union[BoundingBox, _Mapping]]] = ..., text: _Optional[str] = ...) -> None: ...

class BatchData(_message.Message):
    __slots__ = ("timestamp_ms", "epoch", "batch_index", "global_step", "optimizer_step", "batch_size", "batch_loss", "images", "texts", "predictions", "ground_truth", "sample_losses", "sample_steps", "attempt")
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BATCH_INDEX_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_STEP_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_STEP_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    BATCH_LOSS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    GROUND_TRUTH_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_LOSSES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_STEPS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    epoch: int
    batch_index: int
    global_step: int
    optimizer_step: int
    batch_size: int
    batch_loss: float
    images: _containers.RepeatedCompositeFieldContainer[ImageData]
    texts: _containers.RepeatedCompositeFieldContainer[TextData]
    predictions: _containers.RepeatedCompositeFieldContainer[Prediction]
    ground_truth: _containers.RepeatedCompositeFieldContainer[GroundTruth]
    sample_losses: _containers.RepeatedScalarFieldContainer[float]
    sample_steps: _containers.RepeatedScalarFieldContainer[float]
    attempt: int
    def __init__(self, timestamp_ms: _Optional[int] = ..., epoch: _Optional[int] = ..., batch_index: _Optional[int] = ..., global_step: _Optional[int] = ..., optimizer_step: _Optional[int] = ..., batch_size: _Optional[int] = ..., batch_loss: _Optional[float] = ..., images: _Optional[_Iterable[_Union[ImageData, _Mapping]]] = ..., texts: _Optional[_Iterable[_Union[TextData, _Mapping]]] = ..., predictions: _Optional[_Iterable[_Union[Prediction, _Mapping]]] = ..., ground_truth: _Optional[_Iterable[_Union[GroundTruth, _Mapping]]] = ..., sample_losses: _Optional[_Iterable[float]] = ..., sample_steps: _Optional[_Iterable[float]] = ..., attempt: _Optional[int] = ...) -> None: ...

class EpochData(_message.Message):
    __slots__ = ("timestamp_ms", "epoch", "average_loss", "average_accuracy", "validation_loss", "validation_accuracy", "learning_rate", "convergence_status", "duration_ms", "metrics", "global_step", "attempt")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_LOSS_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_LOSS_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    CONVERGENCE_STATUS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_STEP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    epoch: int
    average_loss: float
    average_accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    convergence_status: ConvergenceStatus
    duration_ms: int
    metrics: _containers.ScalarMap[str, float]
    global_step: int
    attempt: int
    def __init__(self, timestamp_ms: _Optional[int] = ..., epoch: _Optional[int] = ..., average_loss: _Optional[float] = ..., average_accuracy: _Optional[float] = ..., validation_loss: _Optional[float] = ..., validation_accuracy: _Optional[float] = ..., learning_rate: _Optional[float] = ..., convergence_status: _Optional[_Union[ConvergenceStatus, str]] = ..., duration_ms: _Optional[int] = ..., metrics: _Optional[_Mapping[str, float]] = ..., global_step: _Optional[int] = ..., attempt: _Optional[int] = ...) -> None: ...

class GpuUsage(_message.Message):
    __slots__ = ("index", "name", "utilization_percent", "memory_used_bytes", "memory_total_bytes")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    index: int
    name: str
    utilization_percent: float
    memory_used_bytes: int
    memory_total_bytes: int
    def __init__(self, index: _Optional[int] = ..., name: _Optional[str] = ..., utilization_percent: _Optional[float] = ..., memory_used_bytes: _Optional[int] = ..., memory_total_bytes: _Optional[int] = ...) -> None: ...

class LossCount(_message.Message):
    __slots__ = ("kind", "reason", "count", "best_effort")
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    BEST_EFFORT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    reason: str
    count: int
    best_effort: bool
    def __init__(self, kind: _Optional[str] = ..., reason: _Optional[str] = ..., count: _Optional[int] = ..., best_effort: bool = ...) -> None: ...

class PerformanceData(_message.Message):
    __slots__ = ("timestamp_ms", "global_step", "batch_time_ms", "current_fps", "average_fps", "epoch_remaining_ms", "run_remaining_ms", "pictures_per_second", "cpu_percent", "memory_bytes", "host_memory_total_bytes", "host_memory_used_bytes", "gpus", "relay_cpu_percent", "relay_memory_bytes", "capture_us", "losses", "clock_offset_ms", "round_trip_ms", "epoch", "batch_index", "cpu_count", "picture_limit")
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_STEP_FIELD_NUMBER: _ClassVar[int]
    BATCH_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FPS_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_FPS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    RUN_REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    PICTURES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    CPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    HOST_MEMORY_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    HOST_MEMORY_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    RELAY_CPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    RELAY_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_US_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    CLOCK_OFFSET_MS_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_MS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BATCH_INDEX_FIELD_NUMBER: _ClassVar[int]
    CPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    PICTURE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    global_step: int
    batch_time_ms: float
    current_fps: float
    average_fps: float
    epoch_remaining_ms: float
    run_remaining_ms: float
    pictures_per_second: float
    cpu_percent: float
    memory_bytes: int
    host_memory_total_bytes: int
    host_memory_used_bytes: int
    gpus: _containers.RepeatedCompositeFieldContainer[GpuUsage]
    relay_cpu_percent: float
    relay_memory_bytes: int
    capture_us: float
    losses: _containers.RepeatedCompositeFieldContainer[LossCount]
    clock_offset_ms: float
    round_trip_ms: float
    epoch: int
    batch_index: int
    cpu_count: int
    picture_limit: PictureLimit
    def __init__(self, timestamp_ms: _Optional[int] = ..., global_step: _Optional[int] = ..., batch_time_ms: _Optional[float] = ..., current_fps: _Optional[float] = ..., average_fps: _Optional[float] = ..., epoch_remaining_ms: _Optional[float] = ..., run_remaining_ms: _Optional[float] = ..., pictures_per_second: _Optional[float] = ..., cpu_percent: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., host_memory_total_bytes: _Optional[int] = ..., host_memory_used_bytes: _Optional[int] = ..., gpus: _Optional[_Iterable[_Union[GpuUsage, _Mapping]]] = ..., relay_cpu_percent: _Optional[float] = ..., relay_memory_bytes: _Optional[int] = ..., capture_us: _Optional[float] = ..., losses: _Optional[_Iterable[_Union[LossCount, _Mapping]]] = ..., clock_offset_ms: _Optional[float] = ..., round_trip_ms: _Optional[float] = ..., epoch: _Optional[int] = ..., batch_index: _Optional[int] = ..., cpu_count: _Optional[int] = ..., picture_limit: _Optional[_Union[PictureLimit, str]] = ...) -> None: ...

class MetricSeries(_message.Message):
    __slots__ = ("name", "steps", "times", "values", "minimums", "maximums", "counts", "attempt")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TIMES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MINIMUMS_FIELD_NUMBER: _ClassVar[int]
    MAXIMUMS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    name: str
    steps: _containers.RepeatedScalarFieldContainer[float]
    times: _containers.RepeatedScalarFieldContainer[float]
    values: _containers.RepeatedScalarFieldContainer[float]
    minimums: _containers.RepeatedScalarFieldContainer[float]
    maximums: _containers.RepeatedScalarFieldContainer[float]
    counts: _containers.RepeatedScalarFieldContainer[int]
    attempt: int
    def __init__(self, name: _Optional[str] = ..., steps: _Optional[_Iterable[float]] = ..., times: _Optional[_Iterable[float]] = ..., values: _Optional[_Iterable[float]] = ..., minimums: _Optional[_Iterable[float]] = ..., maximums: _Optional[_Iterable[float]] = ..., counts: _Optional[_Iterable[int]] = ..., attempt: _Optional[int] = ...) -> None: ...

class MetricData(_message.Message):
    __slots__ = ("series", "timestamp_ms")
    SERIES_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    series: _containers.RepeatedCompositeFieldContainer[MetricSeries]
    timestamp_ms: int
    def __init__(self, series: _Optional[_Iterable[_Union[MetricSeries, _Mapping]]] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class SessionDetails(_message.Message):
    __slots__ = ("class_names", "total_epochs", "batches_per_epoch", "hyperparameters", "controls", "notes")
    class HyperparametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_PER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    HYPERPARAMETERS_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    class_names: _containers.RepeatedScalarFieldContainer[str]
    total_epochs: int
    batches_per_epoch: int
    hyperparameters: _containers.ScalarMap[str, str]
    controls: _containers.RepeatedCompositeFieldContainer[_control_pb2.ControlSpec]
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, class_names: _Optional[_Iterable[str]] = ..., total_epochs: _Optional[int] = ..., batches_per_epoch: _Optional[int] = ..., hyperparameters: _Optional[_Mapping[str, str]] = ..., controls: _Optional[_Iterable[_Union[_control_pb2.ControlSpec, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class StatusUpdate(_message.Message):
    __slots__ = ("timestamp_ms", "status", "message", "global_step", "trainer", "details")
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    GLOBAL_STEP_FIELD_NUMBER: _ClassVar[int]
    TRAINER_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    status: TrainingStatus
    message: str
    global_step: int
    trainer: TrainerLiveness
    details: SessionDetails
    def __init__(self, timestamp_ms: _Optional[int] = ..., status: _Optional[_Union[TrainingStatus, str]] = ..., message: _Optional[str] = ..., global_step: _Optional[int] = ..., trainer: _Optional[_Union[TrainerLiveness, str]] = ..., details: _Optional[_Union[SessionDetails, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("timestamp_ms", "sequence_number", "trainer", "last_step_age_ms")
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    TRAINER_FIELD_NUMBER: _ClassVar[int]
    LAST_STEP_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    timestamp_ms: int
    sequence_number: int
    trainer: TrainerLiveness
    last_step_age_ms: int
    def __init__(self, timestamp_ms: _Optional[int] = ..., sequence_number: _Optional[int] = ..., trainer: _Optional[_Union[TrainerLiveness, str]] = ..., last_step_age_ms: _Optional[int] = ...) -> None: ...

class HeartbeatReply(_message.Message):
    __slots__ = ("sequence_number", "client_timestamp_ms", "received_ms", "sent_ms", "timestamp_ms")
    SEQUENCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_MS_FIELD_NUMBER: _ClassVar[int]
    SENT_MS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    sequence_number: int
    client_timestamp_ms: int
    received_ms: float
    sent_ms: float
    timestamp_ms: int
    def __init__(self, sequence_number: _Optional[int] = ..., client_timestamp_ms: _Optional[int] = ..., received_ms: _Optional[float] = ..., sent_ms: _Optional[float] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class ErrorResponse(_message.Message):
    __slots__ = ("code", "message", "timestamp_ms")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    code: ErrorCode
    message: str
    timestamp_ms: int
    def __init__(self, code: _Optional[_Union[ErrorCode, str]] = ..., message: _Optional[str] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...
