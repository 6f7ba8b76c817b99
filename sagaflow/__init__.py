"""Sagas for Python: declared as classes, executed so that nothing is lost and nothing is stuck.

>>> from sagaflow import Engine, Saga, step
"""

from .core.definition import SagaDefinition, StepDefinition
from .core.retry import Retry
from .core.state import SagaStatus, StepStatus
from .engine.answer import Answer, Verdict
from .engine.engine import Engine
from .engine.handle import SagaHandle
from .engine.reports import Health, SagaPage
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
    StoreUnavailable,
    Unroutable,
)
from .record import SagaRecord, StepError, StepRecord
from .saga import DefinitionWarning, Saga, Step, StepRef, step

__all__ = [
    "Abort",
    "Answer",
    "BrokerUnavailable",
    "ConfigurationError",
    "DefinitionError",
    "DefinitionWarning",
    "Engine",
    "Fault",
    "Health",
    "InboxFull",
    "NoEngine",
    "PayloadError",
    "PayloadTooLarge",
    "Retry",
    "RetryLater",
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
    "StepDefinition",
    "StepError",
    "StepRecord",
    "StepRef",
    "StepStatus",
    "StoreUnavailable",
    "Unroutable",
    "Verdict",
    "step",
]
