"""Sagas for Python: declared as classes, executed so that nothing is lost and nothing is stuck.

>>> from sagaflow import Engine, Saga, step
"""

from .answer import Answer, Verdict
from .core.checking import Rule
from .core.definition import SagaDefinition, StepDefinition, StepKind
from .core.retry import Retry
from .core.state import SagaStatus, StepStatus
from .dynamic import StepSpec
from .engine.checking import Finding
from .engine.engine import Engine
from .engine.handle import SagaHandle
from .engine.reports import Health, SagaPage, Stranded
from .engine.settings import Settings
from .errors import (
    Abort,
    BrokerUnavailable,
    ConfigurationError,
    DefinitionError,
    Fault,
    InboxFull,
    NoEngine,
    PayloadError,
    PayloadTooLarge,
    RetryLater,
    SagaCompensated,
    SagaExists,
    SagaFailed,
    SagaFlowError,
    SagaNotCompleted,
    SagaNotFound,
    StepCancelled,
    StoreUnavailable,
    Unroutable,
)
from .probing import Happened, NotHappened, StillUnknown
from .record import ActRecord, SagaRecord
from .saga import DefinitionWarning, Saga
from .step_record import StepError, StepRecord
from .steps import ChildStep, EachStep, Step, StepRef, WaitStep, step

__all__ = [
    "Abort",
    "ActRecord",
    "Answer",
    "BrokerUnavailable",
    "ChildStep",
    "ConfigurationError",
    "DefinitionError",
    "DefinitionWarning",
    "EachStep",
    "Engine",
    "Fault",
    "Finding",
    "Happened",
    "Health",
    "InboxFull",
    "NoEngine",
    "NotHappened",
    "PayloadError",
    "PayloadTooLarge",
    "Retry",
    "RetryLater",
    "Rule",
    "Saga",
    "SagaCompensated",
    "SagaDefinition",
    "SagaExists",
    "SagaFailed",
    "SagaFlowError",
    "SagaHandle",
    "SagaNotCompleted",
    "SagaNotFound",
    "SagaPage",
    "SagaRecord",
    "SagaStatus",
    "Settings",
    "Step",
    "StepCancelled",
    "StepDefinition",
    "StepError",
    "StepKind",
    "StepRecord",
    "StepRef",
    "StepSpec",
    "StepStatus",
    "StillUnknown",
    "StoreUnavailable",
    "Stranded",
    "Unroutable",
    "Verdict",
    "WaitStep",
    "step",
]
