/** Call LLMs through a rotating pool of credentials. */
export {
  ERROR_CODES,
  CredentialRotationError,
  EmptyPromptError,
  PromptTooLargeError,
  NoCredentialsError,
  CredentialFileUnreadableError,
  CredentialFileCorruptError,
  CredentialFilePermissionsError,
  InvalidAccountIndexError,
  UnknownCredentialError,
  DuplicateCredentialError,
  CliNotFoundError,
  UnknownProviderError,
  InvalidUrlError,
  InvalidConfigError,
  AllCoolingError,
  PoolSaturatedError,
  DeadlineExceededError,
  RequestRejectedError,
  AttemptsExhaustedError,
  RetryBudgetExhaustedError,
  StreamInterruptedError,
  StateUnavailableError,
  LockTimeoutError,
  ClosedError,
  InvalidJobError,
  JobTooLargeError,
  QueueFullError,
  UnknownJobError,
  UnknownQueueError,
  StaleAttemptError,
  IllegalMoveError,
  WaitTimeoutError,
  BackendUnavailableError,
  BackendUnsuitableError,
  ManagerClosedError,
  type ErrorDetails,
  type Fault,
} from './errors.js';
export {
  AccountManager,
  type AccountEntry,
  type AccountManagerOptions,
  type AccountStats,
  type FolderStats,
  type RotationState,
  type SwitchReason,
} from './accounts.js';
export { Credential, type CredentialOptions } from './credential.js';
export {
  CredentialPool,
  type CredentialPoolOptions,
  type CredentialSource,
  type CredentialStatus,
  type PoolOptions,
  type Strategy,
} from './pool.js';
export { factsOf, type Classifier, type ErrorFacts, type NamedFault } from './faults.js';
export {
  Job,
  type Enqueued,
  type JobFailure,
  type JobProgress,
  type JobSpec,
  type JobState,
  type Refused,
  type RetryPolicy,
} from './job.js';
export { JobEvents, type JobEvent } from './job-events.js';
export {
  JobManager,
  type JobFilter,
  type JobPage,
  type LogLine,
  type PurgeOptions,
  type QueueCounts,
  type QueueLimits,
  type Schedule,
  type ScheduleOptions,
  type WaitOptions,
  type WorkerPresence,
} from './jobs.js';
export { Outcome, type Attempt, type Usage } from './outcome.js';
export type { Provider, Response, SendContext } from './provider.js';
export { QwenWrapper, type QwenCallOptions, type QwenOptions } from './qwen.js';
export type { Message, Request } from './request.js';
export type { RunContext, RunOptions, Work } from './run.js';
export { AnswerStream, type Chunk } from './stream.js';
export { ClaimedJob, JobContext, JsonText, Snooze, Unrecoverable } from './attempt.js';
export { Handlers, type JobHandler } from './handlers.js';
export {
  Worker,
  type Lane,
  type WorkerOptions,
  type WorkerReport,
} from './worker.js';
export { version } from './version.js';
export {
  Wrapper,
  type CacheOptions,
  type CallOptions,
  type CompleteOptions,
  type Policy,
  type TargetOptions,
  type WrapperOptions,
} from './wrapper.js';
