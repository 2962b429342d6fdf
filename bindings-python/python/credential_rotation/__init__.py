"""Call LLMs through a rotating pool of credentials."""

import atexit
from typing import TYPE_CHECKING, Any

from credential_rotation._native import Outcome, error_codes, leave, version
from credential_rotation.credential import Credential
from credential_rotation.errors import (
    AllCoolingError,
    AttemptsExhaustedError,
    BackendUnavailableError,
    BackendUnsuitableError,
    CliNotFoundError,
    ClosedError,
    CredentialFileCorruptError,
    CredentialFilePermissionsError,
    CredentialFileUnreadableError,
    CredentialRotationError,
    DeadlineExceededError,
    DuplicateCredentialError,
    EmptyPromptError,
    IllegalMoveError,
    InvalidAccountIndexError,
    InvalidConfigError,
    InvalidJobError,
    InvalidUrlError,
    JobError,
    JobTooLargeError,
    LockTimeoutError,
    ManagerClosedError,
    NoCredentialsError,
    PoolSaturatedError,
    PromptTooLargeError,
    QueueFullError,
    RequestRejectedError,
    RetryBudgetExhaustedError,
    StaleAttemptError,
    StateUnavailableError,
    StreamInterruptedError,
    UnknownCredentialError,
    UnknownJobError,
    UnknownProviderError,
    UnknownQueueError,
    WaitTimeoutError,
)
from credential_rotation.outcome import Attempt, Fault, Usage
from credential_rotation.pool import CredentialPool
from credential_rotation.provider import Provider
from credential_rotation.qwen import (
    QUOTA_PATTERNS,
    AccountManager,
    AccountNotFoundError,
    AccountStats,
    CallResult,
    LockError,
    QwenWrapper,
    RotationState,
    SwitchReason,
    WrapperResult,
    create_initial_state,
)
from credential_rotation.stream import AnswerStream, AsyncAnswerStream
from credential_rotation.wrapper import Wrapper

if TYPE_CHECKING:
    from credential_rotation.jobs import Enqueued, Job, JobEvents, JobManager, JobPage
    from credential_rotation.worker import Handlers, JobContext, Snooze, Unrecoverable, Worker

__all__ = [
    "QUOTA_PATTERNS",
    "AccountManager",
    "AccountNotFoundError",
    "AccountStats",
    "AllCoolingError",
    "AnswerStream",
    "AsyncAnswerStream",
    "Attempt",
    "AttemptsExhaustedError",
    "BackendUnavailableError",
    "BackendUnsuitableError",
    "CallResult",
    "CliNotFoundError",
    "ClosedError",
    "Credential",
    "CredentialFileCorruptError",
    "CredentialFilePermissionsError",
    "CredentialFileUnreadableError",
    "CredentialPool",
    "CredentialRotationError",
    "DeadlineExceededError",
    "DuplicateCredentialError",
    "EmptyPromptError",
    "Enqueued",
    "Fault",
    "Handlers",
    "IllegalMoveError",
    "InvalidAccountIndexError",
    "InvalidConfigError",
    "InvalidJobError",
    "InvalidUrlError",
    "Job",
    "JobContext",
    "JobError",
    "JobEvents",
    "JobManager",
    "JobPage",
    "JobTooLargeError",
    "LockError",
    "LockTimeoutError",
    "ManagerClosedError",
    "NoCredentialsError",
    "Outcome",
    "PoolSaturatedError",
    "PromptTooLargeError",
    "Provider",
    "QueueFullError",
    "QwenWrapper",
    "RequestRejectedError",
    "RetryBudgetExhaustedError",
    "RotationState",
    "Snooze",
    "StaleAttemptError",
    "StateUnavailableError",
    "StreamInterruptedError",
    "SwitchReason",
    "UnknownCredentialError",
    "UnknownJobError",
    "UnknownProviderError",
    "UnknownQueueError",
    "Unrecoverable",
    "Usage",
    "WaitTimeoutError",
    "Worker",
    "Wrapper",
    "WrapperResult",
    "__version__",
    "create_initial_state",
    "error_codes",
    "version",
]

__version__: str = version()

# While the interpreter is whole: a thread that spoke to it later could crash it.
atexit.register(leave)
del atexit, leave

# Imported by those who use jobs: a worker needs much that calls do not.
_LATER = {
    "Enqueued": "jobs",
    "Job": "jobs",
    "JobEvents": "jobs",
    "JobManager": "jobs",
    "JobPage": "jobs",
    "Handlers": "worker",
    "JobContext": "worker",
    "Snooze": "worker",
    "Unrecoverable": "worker",
    "Worker": "worker",
}


def __getattr__(name: str) -> Any:
    if (module := _LATER.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    return value
