from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ControlType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTROL_TYPE_UNSPECIFIED: _ClassVar[ControlType]
    CONTROL_TYPE_NUMBER: _ClassVar[ControlType]
    CONTROL_TYPE_INTEGER: _ClassVar[ControlType]
    CONTROL_TYPE_BOOLEAN: _ClassVar[ControlType]
    CONTROL_TYPE_CHOICE: _ClassVar[ControlType]
    CONTROL_TYPE_TRIGGER: _ClassVar[ControlType]

class CommandState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMMAND_STATE_UNSPECIFIED: _ClassVar[CommandState]
    COMMAND_STATE_RECORDED: _ClassVar[CommandState]
    COMMAND_STATE_SENT: _ClassVar[CommandState]
    COMMAND_STATE_UNCONFIRMED: _ClassVar[CommandState]
    COMMAND_STATE_ACCEPTED: _ClassVar[CommandState]
    COMMAND_STATE_APPLIED: _ClassVar[CommandState]
    COMMAND_STATE_REJECTED: _ClassVar[CommandState]
    COMMAND_STATE_EXPIRED: _ClassVar[CommandState]
CONTROL_TYPE_UNSPECIFIED: ControlType
CONTROL_TYPE_NUMBER: ControlType
CONTROL_TYPE_INTEGER: ControlType
CONTROL_TYPE_BOOLEAN: ControlType
CONTROL_TYPE_CHOICE: ControlType
CONTROL_TYPE_TRIGGER: ControlType
COMMAND_STATE_UNSPECIFIED: CommandState
COMMAND_STATE_RECORDED: CommandState
COMMAND_STATE_SENT: CommandState
COMMAND_STATE_UNCONFIRMED: CommandState
COMMAND_STATE_ACCEPTED: CommandState
COMMAND_STATE_APPLIED: CommandState
COMMAND_STATE_REJECTED: CommandState
COMMAND_STATE_EXPIRED: CommandState

class Pause(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Resume(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Stop(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SaveCheckpoint(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Evaluate(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AdjustLearningRate(_message.Message):
    __slots__ = ("optimizer_index", "group", "learning_rate", "factor")
    OPTIMIZER_INDEX_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    optimizer_index: int
    group: int
    learning_rate: float
    factor: float
    def __init__(self, optimizer_index: _Optional[int] = ..., group: _Optional[int] = ..., learning_rate: _Optional[float] = ..., factor: _Optional[float] = ...) -> None: ...

class SetControl(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class ControlCommand(_message.Message):
    __slots__ = ("command_id", "issued_by", "time_to_live_ms", "timestamp_ms", "pause", "resume", "stop", "adjust_learning_rate", "save_checkpoint", "evaluate", "set_control")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    ISSUED_BY_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_LIVE_MS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    ADJUST_LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    SAVE_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    SET_CONTROL_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    issued_by: str
    time_to_live_ms: int
    timestamp_ms: int
    pause: Pause
    resume: Resume
    stop: Stop
    adjust_learning_rate: AdjustLearningRate
    save_checkpoint: SaveCheckpoint
    evaluate: Evaluate
    set_control: SetControl
    def __init__(self, command_id: _Optional[str] = ..., issued_by: _Optional[str] = ..., time_to_live_ms: _Optional[int] = ..., timestamp_ms: _Optional[int] = ..., pause: _Optional[_Union[Pause, _Mapping]] = ..., resume: _Optional[_Union[Resume, _Mapping]] = ..., stop: _Optional[_Union[Stop, _Mapping]] = ..., adjust_learning_rate: _Optional[_Union[AdjustLearningRate, _Mapping]] = ..., save_checkpoint: _Optional[_Union[SaveCheckpoint, _Mapping]] = ..., evaluate: _Optional[_Union[Evaluate, _Mapping]] = ..., set_control: _Optional[_Union[SetControl, _Mapping]] = ...) -> None: ...

class ControlSpec(_message.Message):
    __slots__ = ("name", "title", "description", "type", "minimum", "maximum", "step", "unit", "choices", "destructive", "current_value", "logarithmic", "unavailable_reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    DESTRUCTIVE_FIELD_NUMBER: _ClassVar[int]
    CURRENT_VALUE_FIELD_NUMBER: _ClassVar[int]
    LOGARITHMIC_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    title: str
    description: str
    type: ControlType
    minimum: float
    maximum: float
    step: float
    unit: str
    choices: _containers.RepeatedScalarFieldContainer[str]
    destructive: bool
    current_value: float
    logarithmic: bool
    unavailable_reason: str
    def __init__(self, name: _Optional[str] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., type: _Optional[_Union[ControlType, str]] = ..., minimum: _Optional[float] = ..., maximum: _Optional[float] = ..., step: _Optional[float] = ..., unit: _Optional[str] = ..., choices: _Optional[_Iterable[str]] = ..., destructive: bool = ..., current_value: _Optional[float] = ..., logarithmic: bool = ..., unavailable_reason: _Optional[str] = ...) -> None: ...

class CommandResult(_message.Message):
    __slots__ = ("command_id", "state", "applied_at_step", "previous_value", "applied_value", "effective_value", "message", "timestamp_ms")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    APPLIED_AT_STEP_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VALUE_FIELD_NUMBER: _ClassVar[int]
    APPLIED_VALUE_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_VALUE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    state: CommandState
    applied_at_step: int
    previous_value: float
    applied_value: float
    effective_value: float
    message: str
    timestamp_ms: int
    def __init__(self, command_id: _Optional[str] = ..., state: _Optional[_Union[CommandState, str]] = ..., applied_at_step: _Optional[int] = ..., previous_value: _Optional[float] = ..., applied_value: _Optional[float] = ..., effective_value: _Optional[float] = ..., message: _Optional[str] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class CommandTransition(_message.Message):
    __slots__ = ("state", "timestamp_ms", "message")
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    state: CommandState
    timestamp_ms: int
    message: str
    def __init__(self, state: _Optional[_Union[CommandState, str]] = ..., timestamp_ms: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class CommandRecord(_message.Message):
    __slots__ = ("command", "session_id", "state", "transitions", "result", "timestamp_ms")
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    command: ControlCommand
    session_id: str
    state: CommandState
    transitions: _containers.RepeatedCompositeFieldContainer[CommandTransition]
    result: CommandResult
    timestamp_ms: int
    def __init__(self, command: _Optional[_Union[ControlCommand, _Mapping]] = ..., session_id: _Optional[str] = ..., state: _Optional[_Union[CommandState, str]] = ..., transitions: _Optional[_Iterable[_Union[CommandTransition, _Mapping]]] = ..., result: _Optional[_Union[CommandResult, _Mapping]] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...
