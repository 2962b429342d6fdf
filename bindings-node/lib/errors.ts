/**
 * Errors: one class per code of the core, built from its JSON.
 *
 * Texts and codes are the core's; here are only the classes to tell them apart by.
 */
import { errorCodes } from '../native/index.js';

import type { CredentialStatus } from './pool.js';
import { camelKeys, type Wire } from './wire.js';

/** Why an attempt failed. */
export interface Fault {
  /** What happened, such as `rate_limited`. */
  readonly reason: string;
  /** In words, for a person. */
  readonly message: string;
  /** The HTTP status, where there was one. */
  readonly status?: number;
  /** What the endpoint answered, without the secret. */
  readonly body?: string;
}

/** What an error tells beyond its code and message. */
export interface ErrorDetails {
  /** The last attempt's fault. */
  readonly fault?: Fault;
  /** The text that a stream had handed on before it broke. */
  readonly partial?: string;
  /** When the first credential comes back, in milliseconds since the epoch. */
  readonly earliest?: number | null;
  /** Each credential and why it is out. */
  readonly credentials?: readonly CredentialStatus[];
  /** The member of a job, queue or option that cannot be so. */
  readonly field?: string;
  /** What is too large: `payload` or `result`. */
  readonly what?: string;
  /** How large it is, in bytes. */
  readonly bytes?: number;
  /** How large it may be, in bytes. */
  readonly limit?: number;
  /** The queue that is full or unknown. */
  readonly queue?: string;
  /** The job. */
  readonly id?: string;
  /** The attempt that is over. */
  readonly epoch?: number;
  /** The state that the job is in. */
  readonly state?: string;
  /** The version that was expected of a session. */
  readonly expected?: number;
  /** The version that it has. */
  readonly actual?: number;
  /** How large something is. */
  readonly size?: number;
  /** The line of an import that is none. */
  readonly line?: number;
  /** The template that cannot be filled. */
  readonly template?: string;
  /** How long was waited, in milliseconds. */
  readonly waitedMs?: number;
  /** Where the jobs are, without user and password. */
  readonly backend?: string;
}

/** Any error of this package. */
export class CredentialRotationError extends Error {
  /** The stable code: the same in every language. */
  readonly code: string;
  /** What there is to know beyond the message. */
  readonly details: ErrorDetails;

  /** From what the core says. */
  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.details = details;
  }

  /** The last attempt's fault, for errors that end one. */
  get fault(): Fault | undefined {
    return this.details.fault;
  }

  /** The error as JSON. */
  toJSON(): Record<string, unknown> {
    return { name: this.name, code: this.code, message: this.message, details: this.details };
  }
}

/** There is nothing to ask. */
export class EmptyPromptError extends CredentialRotationError {}
/** The prompt is over the wrapper's limit. */
export class PromptTooLargeError extends CredentialRotationError {}
/** A pool without a credential. */
export class NoCredentialsError extends CredentialRotationError {}
/** A credential file that cannot be opened or read. */
export class CredentialFileUnreadableError extends CredentialRotationError {}
/** A credential file whose content is not a credential. */
export class CredentialFileCorruptError extends CredentialRotationError {}
/** A credential file that others can read or write. */
export class CredentialFilePermissionsError extends CredentialRotationError {}
/** An account number outside the folder's range. */
export class InvalidAccountIndexError extends CredentialRotationError {}
/** No credential of that name in the pool. */
export class UnknownCredentialError extends CredentialRotationError {}
/** Two credentials of one name. */
export class DuplicateCredentialError extends CredentialRotationError {}
/** The program of a CLI provider is not installed. */
export class CliNotFoundError extends CredentialRotationError {}
/** No provider of that name. */
export class UnknownProviderError extends CredentialRotationError {}
/** A base URL that cannot be called. */
export class InvalidUrlError extends CredentialRotationError {}
/** A configuration value that cannot be used. */
export class InvalidConfigError extends CredentialRotationError {}
/** No credential may be used now; nothing was sent upstream. */
export class AllCoolingError extends CredentialRotationError {
  /** When the first credential comes back; `null` when none will by itself. */
  get earliest(): Date | null {
    const at = this.details.earliest;
    return typeof at === 'number' ? new Date(at) : null;
  }

  /** Each credential and why it is out. */
  get credentials(): readonly CredentialStatus[] {
    return this.details.credentials ?? [];
  }
}
/** Too many calls wait for a credential. */
export class PoolSaturatedError extends CredentialRotationError {}
/** The call's overall deadline passed. */
export class DeadlineExceededError extends CredentialRotationError {}
/** The endpoint refuses this request from anyone. */
export class RequestRejectedError extends CredentialRotationError {}
/** Every attempt that was allowed failed. */
export class AttemptsExhaustedError extends CredentialRotationError {}
/** Retries stopped because most calls of this wrapper fail. */
export class RetryBudgetExhaustedError extends CredentialRotationError {}
/** A stream broke after its first piece had been handed on. */
export class StreamInterruptedError extends CredentialRotationError {
  /** The text that was handed on. */
  get partial(): string {
    return this.details.partial ?? '';
  }
}
/** A state file or folder that cannot be used. */
export class StateUnavailableError extends CredentialRotationError {}
/** A lock that another process kept for too long. */
export class LockTimeoutError extends CredentialRotationError {}
/** A call after `close`. */
export class ClosedError extends CredentialRotationError {}
/** A job, queue, limit or option that cannot be so. */
export class InvalidJobError extends CredentialRotationError {}
/** A payload or result over the limit. */
export class JobTooLargeError extends CredentialRotationError {}
/** A queue that takes no more until jobs leave it. */
export class QueueFullError extends CredentialRotationError {}
/** No job of that id. */
export class UnknownJobError extends CredentialRotationError {}
/** No queue of that name. */
export class UnknownQueueError extends CredentialRotationError {}
/** A write of an attempt that is over. */
export class StaleAttemptError extends CredentialRotationError {}
/** A move that the job's state does not allow. */
export class IllegalMoveError extends CredentialRotationError {}
/** A job that did not end in the time that was waited. */
export class WaitTimeoutError extends CredentialRotationError {}
/** The server or file of the jobs does not answer as it should. */
export class BackendUnavailableError extends CredentialRotationError {}
/** The server or file answers, but cannot hold jobs as it is set up. */
export class BackendUnsuitableError extends CredentialRotationError {}
/** A use of a job manager after `close`. */
export class ManagerClosedError extends CredentialRotationError {}

/** A field that no session can have. */
export class InvalidSessionError extends CredentialRotationError {}
/** No session of that id, or it is another owner's. */
export class UnknownSessionError extends CredentialRotationError {}
/** A session of that id is there. */
export class SessionTakenError extends CredentialRotationError {}
/** The session has gone on since it was read. */
export class StaleVersionError extends CredentialRotationError {}
/** Something is over a limit of the session's. */
export class SessionTooLargeError extends CredentialRotationError {}
/** No file of that name is kept with the session. */
export class UnknownFileError extends CredentialRotationError {}
/** A line of an export is none. */
export class InvalidImportError extends CredentialRotationError {}
/** A setting or argument of a conversation that cannot be used. */
export class InvalidConversationError extends CredentialRotationError {}
/** Something is to be written in a style that was never taught. */
export class NotTrainedError extends CredentialRotationError {}
/** A document without text to train on. */
export class EmptyDocumentError extends CredentialRotationError {}
/** A prompt lacks a field, or has one that cannot be put in. */
export class TemplateFieldError extends CredentialRotationError {}
/** No prompt of that name. */
export class UnknownTemplateError extends CredentialRotationError {}
/** What must be sent is over the window. */
export class WindowTooSmallError extends CredentialRotationError {}
/** Others are at turn in the session: too many wait, or it took too long. */
export class SessionBusyError extends CredentialRotationError {}
/** The model said nothing. */
export class NoAnswerError extends CredentialRotationError {}
/** There is nothing in the document. */
export class DocumentEmptyError extends CredentialRotationError {}
/** The document is larger than a document may be. */
export class DocumentTooLargeError extends CredentialRotationError {}
/** The document is something else than its name says, or nothing that can be read. */
export class DocumentNotSupportedError extends CredentialRotationError {}
/** The document is locked with a password. */
export class DocumentEncryptedError extends CredentialRotationError {}
/** The document's pages are pictures. */
export class DocumentNoTextError extends CredentialRotationError {}
/** The document is broken beyond what can be repaired. */
export class DocumentDamagedError extends CredentialRotationError {}
/** Reading the document costs more than is allowed. */
export class DocumentLimitError extends CredentialRotationError {}
/** The document's file cannot be read. */
export class DocumentUnreadableError extends CredentialRotationError {}
/** Other documents are being read: it waited for long. */
export class DocumentBusyError extends CredentialRotationError {}
/** The reading of the document was called off. */
export class DocumentCancelledError extends CredentialRotationError {}

type ErrorClass = new (
  code: string,
  message: string,
  details?: ErrorDetails,
) => CredentialRotationError;

/** The class of each code. */
export const ERROR_CLASSES: Readonly<Record<string, ErrorClass>> = Object.freeze({
  empty_prompt: EmptyPromptError,
  prompt_too_large: PromptTooLargeError,
  no_credentials: NoCredentialsError,
  credential_file_unreadable: CredentialFileUnreadableError,
  credential_file_corrupt: CredentialFileCorruptError,
  credential_file_permissions: CredentialFilePermissionsError,
  invalid_account_index: InvalidAccountIndexError,
  unknown_credential: UnknownCredentialError,
  duplicate_credential: DuplicateCredentialError,
  cli_not_found: CliNotFoundError,
  unknown_provider: UnknownProviderError,
  invalid_url: InvalidUrlError,
  invalid_config: InvalidConfigError,
  all_cooling: AllCoolingError,
  pool_saturated: PoolSaturatedError,
  deadline_exceeded: DeadlineExceededError,
  request_rejected: RequestRejectedError,
  attempts_exhausted: AttemptsExhaustedError,
  retry_budget_exhausted: RetryBudgetExhaustedError,
  stream_interrupted: StreamInterruptedError,
  state_unavailable: StateUnavailableError,
  lock_timeout: LockTimeoutError,
  closed: ClosedError,
  invalid_job: InvalidJobError,
  job_too_large: JobTooLargeError,
  queue_full: QueueFullError,
  unknown_job: UnknownJobError,
  unknown_queue: UnknownQueueError,
  stale_attempt: StaleAttemptError,
  illegal_move: IllegalMoveError,
  wait_timeout: WaitTimeoutError,
  backend_unavailable: BackendUnavailableError,
  backend_unsuitable: BackendUnsuitableError,
  manager_closed: ManagerClosedError,
  invalid_session: InvalidSessionError,
  unknown_session: UnknownSessionError,
  session_taken: SessionTakenError,
  stale_version: StaleVersionError,
  session_too_large: SessionTooLargeError,
  unknown_file: UnknownFileError,
  invalid_import: InvalidImportError,
  invalid_conversation: InvalidConversationError,
  not_trained: NotTrainedError,
  empty_document: EmptyDocumentError,
  template_field: TemplateFieldError,
  unknown_template: UnknownTemplateError,
  window_too_small: WindowTooSmallError,
  session_busy: SessionBusyError,
  no_answer: NoAnswerError,
  document_empty: DocumentEmptyError,
  document_too_large: DocumentTooLargeError,
  document_not_supported: DocumentNotSupportedError,
  document_encrypted: DocumentEncryptedError,
  document_no_text: DocumentNoTextError,
  document_damaged: DocumentDamagedError,
  document_limit: DocumentLimitError,
  document_unreadable: DocumentUnreadableError,
  document_busy: DocumentBusyError,
  document_cancelled: DocumentCancelledError,
});

/** Every code of the core. */
export const ERROR_CODES: readonly string[] = Object.freeze(errorCodes());

/** An error as the core writes it. */
export interface WireError extends Wire {
  readonly code: string;
  readonly message: string;
}

/** The typed error that the core's JSON tells of. */
export function errorFromWire(wire: WireError | null): CredentialRotationError {
  if (wire === null) {
    return new CredentialRotationError('internal', 'a fault of this package; see the standard error output');
  }
  const { code, message, ...details } = wire;
  const Class = ERROR_CLASSES[code] ?? CredentialRotationError;
  const error = new Class(code, message, camelKeys(details));
  // The trace begins where the user called, not in this file.
  Error.captureStackTrace(error, errorFromWire);
  return error;
}

/** Does what the core answers at once; its errors come out typed. */
export function typed<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'credential_rotation') {
      throw errorFromWire(JSON.parse(error.message) as WireError);
    }
    throw error;
  }
}
