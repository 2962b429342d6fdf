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
export { Outcome, type Attempt, type Usage } from './outcome.js';
export type { Provider, Response, SendContext } from './provider.js';
export { QwenWrapper, type QwenCallOptions, type QwenOptions } from './qwen.js';
export type { Message, Request } from './request.js';
export type { RunContext, RunOptions, Work } from './run.js';
export { AnswerStream, type Chunk } from './stream.js';
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
