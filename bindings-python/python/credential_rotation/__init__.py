"""Call LLMs through a rotating pool of credentials."""

import atexit

from credential_rotation._native import Outcome, error_codes, leave, version
from credential_rotation.credential import Credential
from credential_rotation.errors import (
    AllCoolingError,
    AttemptsExhaustedError,
    CliNotFoundError,
    ClosedError,
    CredentialFileCorruptError,
    CredentialFilePermissionsError,
    CredentialFileUnreadableError,
    CredentialRotationError,
    DeadlineExceededError,
    DuplicateCredentialError,
    EmptyPromptError,
    InvalidAccountIndexError,
    InvalidConfigError,
    InvalidUrlError,
    LockTimeoutError,
    NoCredentialsError,
    PoolSaturatedError,
    PromptTooLargeError,
    RequestRejectedError,
    RetryBudgetExhaustedError,
    StateUnavailableError,
    StreamInterruptedError,
    UnknownCredentialError,
    UnknownProviderError,
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
    "Fault",
    "InvalidAccountIndexError",
    "InvalidConfigError",
    "InvalidUrlError",
    "LockError",
    "LockTimeoutError",
    "NoCredentialsError",
    "Outcome",
    "PoolSaturatedError",
    "PromptTooLargeError",
    "Provider",
    "QwenWrapper",
    "RequestRejectedError",
    "RetryBudgetExhaustedError",
    "RotationState",
    "StateUnavailableError",
    "StreamInterruptedError",
    "SwitchReason",
    "UnknownCredentialError",
    "UnknownProviderError",
    "Usage",
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
