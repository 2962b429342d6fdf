//! For tests, ours and users': a simulated LLM endpoint and a clock set by hand.
//!
//! [`SimulatedEndpoint`] is an HTTP server on loopback that speaks OpenAI chat
//! completions, Anthropic Messages and an OAuth token endpoint, and fails as a
//! [`Scenario`] tells it to, key by key. No network is needed.
//!
//! # The JSON form of a scenario
//! One form for Rust, Python, Node and the shell. Unknown members are refused.
//!
//! ```json
//! {
//!   "keys": {
//!     "sk-throttled": [{"fault": "rate_limited", "retry_after": 30, "times": 2}, {"text": "back again"}],
//!     "sk-broke": [{"fault": "insufficient_quota"}],
//!     "sk-good": [{"text": "You said: {prompt}", "usage": {"input_tokens": 3, "output_tokens": 4}}]
//!   },
//!   "default": [{}],
//!   "unknown": "401",
//!   "record": true,
//!   "models": ["sim-1"],
//!   "oauth": {"refresh_tokens": ["refresh-1"], "expires_in": 3600}
//! }
//! ```
//!
//! A script is a list of steps. Each serves one request, or as many as `times`
//! says; the last one goes on for ever unless it says `times`, and then plain
//! answers follow. `default` serves keys that are not listed, unless `unknown`
//! is `"401"`. A request without a key is always a 401.
//!
//! | member of a step | meaning |
//! |---|---|
//! | `fault` | what goes wrong, see [`ScriptedFault`]; none: an answer |
//! | `times` | requests that this step serves |
//! | `status` | the HTTP status; without `fault` it also names the fault (`{"status": 429}`) |
//! | `message`, `code` | the error's words and its code (Anthropic: its type) |
//! | `error` | the fault whose error object `error_in_ok` and `error_event` carry; default `overloaded` |
//! | `echo_key` | the error's message ends with the key, to test redaction |
//! | `retry_after` | the header: a number, or any text as it is |
//! | `retry_after_date` | the header as an HTTP date, so many seconds from now |
//! | `retry_after_ms` | the `retry-after-ms` header |
//! | `headers` | further headers |
//! | `delay_ms` | silence before the head of the answer |
//! | `text` | the answer; `{prompt}`, `{model}` and `{hit}` are filled in; default `echo: {prompt}` |
//! | `pieces` | the answer as the exact pieces of a stream, in place of `text` |
//! | `bytes` | the answer is so many bytes of filler; streamed in constant memory |
//! | `usage` | `input_tokens`, `output_tokens`, `cached_tokens`; default by length |
//! | `finish_reason` | as the endpoint would send it |
//! | `tool_calls` | list of `{"name", "arguments", "id"}` |
//! | `piece_ms` | pause after each piece of a stream |
//! | `split` | the body is written so many bytes at a time |
//! | `after` | `stall`, `reset`, `close`, `truncated`, `error_event`: pieces of the answer that come first |
//! | `for_ms` | a `stall` ends after so long and the answer goes on; default never |

mod answer;
mod anthropic;
mod body;
mod catalogue;
mod clock;
mod dialect;
mod drain;
mod endpoint;
pub mod jobs;
mod ledger;
mod oauth;
mod openai;
mod scenario;
mod serve;
pub mod sessions;
mod socket;

pub use catalogue::ScriptedFault;
pub use clock::ManualClock;
pub use drain::drain_until_idle;
pub use endpoint::SimulatedEndpoint;
pub use ledger::SeenRequest;
pub use oauth::{OAuthScenario, Redemptions};
pub use scenario::{RetryAfter, Scenario, Script, Step, ToolCall, UnknownKey};

#[cfg(test)]
mod endpoint_tests;
#[cfg(test)]
mod raw_client;
