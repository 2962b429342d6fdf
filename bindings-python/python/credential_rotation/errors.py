"""The exceptions of this package: one class for each code of the core.

Texts and codes are the core's; here are only the classes to tell them apart by.
"""

import json
from typing import Any

__all__ = [
    "AllCoolingError",
    "AttemptsExhaustedError",
    "BackendUnavailableError",
    "BackendUnsuitableError",
    "CliNotFoundError",
    "ClosedError",
    "CredentialFileCorruptError",
    "CredentialFilePermissionsError",
    "CredentialFileUnreadableError",
    "CredentialRotationError",
    "DeadlineExceededError",
    "DuplicateCredentialError",
    "EmptyPromptError",
    "IllegalMoveError",
    "InvalidAccountIndexError",
    "InvalidConfigError",
    "InvalidJobError",
    "InvalidUrlError",
    "JobError",
    "JobTooLargeError",
    "LockTimeoutError",
    "ManagerClosedError",
    "NoCredentialsError",
    "PoolSaturatedError",
    "PromptTooLargeError",
    "QueueFullError",
    "RequestRejectedError",
    "RetryBudgetExhaustedError",
    "StaleAttemptError",
    "StateUnavailableError",
    "StreamInterruptedError",
    "UnknownCredentialError",
    "UnknownJobError",
    "UnknownProviderError",
    "UnknownQueueError",
    "WaitTimeoutError",
]


class CredentialRotationError(Exception):
    """Any error of this package.

    ``code`` is stable and the same in every language; ``details`` has what there
    is to know beyond the message: ``fault``, ``partial``, ``earliest``, ``credentials``.
    """

    code: str = "internal"

    def __init__(self, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details: dict[str, Any] = details or {}

    @property
    def fault(self) -> dict[str, Any] | None:
        """The last attempt's fault, for errors that end one."""
        fault: dict[str, Any] | None = self.details.get("fault")
        return fault

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep the details across processes."""
        return (type(self), (str(self), self.details))


class EmptyPromptError(CredentialRotationError, ValueError):
    """There is nothing to ask."""

    code = "empty_prompt"


class PromptTooLargeError(CredentialRotationError, ValueError):
    """The prompt is over the wrapper's limit."""

    code = "prompt_too_large"


class NoCredentialsError(CredentialRotationError):
    """The sources hold no credential."""

    code = "no_credentials"


class CredentialFileUnreadableError(CredentialRotationError):
    """A credential file cannot be opened."""

    code = "credential_file_unreadable"


class CredentialFileCorruptError(CredentialRotationError):
    """A credential file's content is no credential."""

    code = "credential_file_corrupt"


class CredentialFilePermissionsError(CredentialRotationError):
    """Other users can read a credential file."""

    code = "credential_file_permissions"


class InvalidAccountIndexError(CredentialRotationError, ValueError):
    """An account number outside the folder's range."""

    code = "invalid_account_index"


class UnknownCredentialError(CredentialRotationError, KeyError):
    """The pool has no credential of that id."""

    code = "unknown_credential"

    def __str__(self) -> str:
        """Give the message as it is, where a ``KeyError`` would quote it."""
        return str(self.args[0])


class DuplicateCredentialError(CredentialRotationError, ValueError):
    """Two credentials have one id."""

    code = "duplicate_credential"


class CliNotFoundError(CredentialRotationError):
    """The program of a CLI provider is not installed."""

    code = "cli_not_found"


class UnknownProviderError(CredentialRotationError, ValueError):
    """There is no provider of that name."""

    code = "unknown_provider"


class InvalidUrlError(CredentialRotationError, ValueError):
    """A base URL cannot be called."""

    code = "invalid_url"


class InvalidConfigError(CredentialRotationError, ValueError):
    """An option, file or variable cannot be used."""

    code = "invalid_config"


class AllCoolingError(CredentialRotationError):
    """No credential may be used now; ``earliest`` is in epoch milliseconds."""

    code = "all_cooling"

    @property
    def earliest(self) -> int | None:
        """When the first credential comes back."""
        earliest: int | None = self.details.get("earliest")
        return earliest

    @property
    def credentials(self) -> list[dict[str, Any]]:
        """Each credential and why it is out."""
        credentials: list[dict[str, Any]] = self.details.get("credentials", [])
        return credentials


class PoolSaturatedError(CredentialRotationError):
    """Too many calls wait for a credential."""

    code = "pool_saturated"


class DeadlineExceededError(CredentialRotationError, TimeoutError):
    """The call's deadline passed."""

    code = "deadline_exceeded"


class RequestRejectedError(CredentialRotationError):
    """The endpoint refuses this request from anyone."""

    code = "request_rejected"


class AttemptsExhaustedError(CredentialRotationError):
    """Every attempt that was allowed failed."""

    code = "attempts_exhausted"


class RetryBudgetExhaustedError(CredentialRotationError):
    """Too many calls of this wrapper fail; retries are suspended."""

    code = "retry_budget_exhausted"


class StreamInterruptedError(CredentialRotationError):
    """A stream broke after its first piece had been handed on."""

    code = "stream_interrupted"

    @property
    def partial(self) -> str:
        """The text that was handed on."""
        return str(self.details.get("partial", ""))


class StateUnavailableError(CredentialRotationError):
    """A state file or folder cannot be used."""

    code = "state_unavailable"


class LockTimeoutError(CredentialRotationError, TimeoutError):
    """Another process holds a lock for too long."""

    code = "lock_timeout"


class ClosedError(CredentialRotationError):
    """The wrapper was closed."""

    code = "closed"


class JobError(CredentialRotationError):
    """A refusal or a trouble of where jobs are kept."""


class InvalidJobError(JobError, ValueError):
    """A field that no job, queue or limit can have."""

    code = "invalid_job"


class JobTooLargeError(JobError, ValueError):
    """A payload or result over the limit."""

    code = "job_too_large"


class QueueFullError(JobError):
    """A queue takes no more until jobs leave it."""

    code = "queue_full"


class UnknownJobError(JobError, LookupError):
    """There is no job of that id."""

    code = "unknown_job"


class UnknownQueueError(JobError, LookupError):
    """No queue of that name has ever had a job or a setting."""

    code = "unknown_queue"


class StaleAttemptError(JobError):
    """A write of an attempt that is over; nothing was changed."""

    code = "stale_attempt"


class IllegalMoveError(JobError):
    """The job's state does not allow it; nothing was changed."""

    code = "illegal_move"


class WaitTimeoutError(JobError, TimeoutError):
    """The wait for a job's end was longer than allowed."""

    code = "wait_timeout"


class BackendUnavailableError(JobError, ConnectionError):
    """The server or file does not answer as it should."""

    code = "backend_unavailable"


class BackendUnsuitableError(JobError):
    """The server or file cannot hold jobs as it is set up."""

    code = "backend_unsuitable"


class ManagerClosedError(JobError):
    """The manager was closed."""

    code = "manager_closed"


class SessionError(CredentialRotationError):
    """A refusal of where sessions are kept; the session is as it was."""


class InvalidSessionError(SessionError, ValueError):
    """A field that no session can have."""

    code = "invalid_session"


class UnknownSessionError(SessionError, LookupError):
    """There is no session of that id, or it is another owner's."""

    code = "unknown_session"


class SessionTakenError(SessionError):
    """A session of that id is there."""

    code = "session_taken"


class StaleVersionError(SessionError):
    """The session has gone on since it was read."""

    code = "stale_version"


class SessionTooLargeError(SessionError, ValueError):
    """Something is over a limit of the session's."""

    code = "session_too_large"


class UnknownFileError(SessionError, LookupError):
    """No file of that name is kept with the session."""

    code = "unknown_file"


class InvalidImportError(SessionError, ValueError):
    """A line of an export is none; nothing was taken in."""

    code = "invalid_import"


class ConversationError(CredentialRotationError):
    """A refusal of a conversation; the session is as it was."""


class InvalidConversationError(ConversationError, ValueError):
    """A setting or argument that cannot be used."""

    code = "invalid_conversation"


class NotTrainedError(ConversationError):
    """Something is to be written in a style that was never taught."""

    code = "not_trained"


class EmptyDocumentError(ConversationError, ValueError):
    """A document without text."""

    code = "empty_document"


class TemplateFieldError(ConversationError, ValueError):
    """A prompt lacks a field, or has one that cannot be put in."""

    code = "template_field"


class UnknownTemplateError(ConversationError, LookupError):
    """There is no prompt of that name."""

    code = "unknown_template"


class WindowTooSmallError(ConversationError):
    """What must be sent is over the window."""

    code = "window_too_small"


class SessionBusyError(ConversationError):
    """Others are at turn in the session: too many wait, or it took too long."""

    code = "session_busy"


class NoAnswerError(ConversationError):
    """The model said nothing."""

    code = "no_answer"


class DocumentError(CredentialRotationError):
    """A document that cannot be read."""


class DocumentEmptyError(DocumentError, ValueError):
    """There is nothing in the document."""

    code = "document_empty"


class DocumentTooLargeError(DocumentError, ValueError):
    """The document is larger than a document may be."""

    code = "document_too_large"


class DocumentNotSupportedError(DocumentError, ValueError):
    """The document is something else than its name says, or nothing that can be read."""

    code = "document_not_supported"


class DocumentEncryptedError(DocumentError):
    """The document is locked with a password."""

    code = "document_encrypted"


class DocumentNoTextError(DocumentError):
    """The document's pages are pictures."""

    code = "document_no_text"


class DocumentDamagedError(DocumentError):
    """The document is broken beyond what can be repaired."""

    code = "document_damaged"


class DocumentLimitError(DocumentError):
    """Reading the document costs more than is allowed."""

    code = "document_limit"


class DocumentUnreadableError(DocumentError, OSError):
    """The document's file cannot be read."""

    code = "document_unreadable"


class DocumentBusyError(DocumentError):
    """Other documents are being read: it waited for long."""

    code = "document_busy"


class DocumentCancelledError(DocumentError):
    """The reading of the document was called off."""

    code = "document_cancelled"


def _all(kind: type[CredentialRotationError]) -> list[type[CredentialRotationError]]:
    found = [one for sub in kind.__subclasses__() for one in (sub, *_all(sub))]
    return [one for one in found if "code" in vars(one)]


CLASSES: dict[str, type[CredentialRotationError]] = {
    kind.code: kind for kind in _all(CredentialRotationError)
}


def from_wire(text: str) -> CredentialRotationError:
    """Build the exception that the core's JSON tells of."""
    return from_details(json.loads(text))


def from_details(told: dict[str, Any]) -> CredentialRotationError:
    """Do the same once it is read."""
    details = dict(told)
    code, message = details.pop("code"), details.pop("message")
    return CLASSES.get(code, CredentialRotationError)(message, details)
