//! The faults that can be scripted, and the words endpoints have for them.

use serde::Deserialize;

/// What goes wrong in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptedFault {
    /// 429 without a billing code.
    RateLimited,
    /// 429 `insufficient_quota`; Anthropic: 402 `billing_error`.
    InsufficientQuota,
    /// 429 `credit_balance_exhausted`; Anthropic: 402 `billing_error`.
    CreditBalanceExhausted,
    /// DashScope's 429 `Throttling.RateQuota`: a throttle.
    RateQuota,
    /// DashScope's 429 `Throttling.AllocationQuota`: a quota.
    AllocationQuota,
    /// Qwen's 429 "Free allocated quota exceeded."
    FreeQuotaExhausted,
    /// 402; Anthropic: `billing_error`.
    Billing,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404 for the model.
    ModelNotFound,
    /// 400.
    BadRequest,
    /// 400 `context_length_exceeded`.
    ContextTooLong,
    /// 400 for the content policy.
    ContentPolicy,
    /// 413.
    TooLarge,
    /// 422.
    Unprocessable,
    /// 500.
    ServerError,
    /// 502.
    BadGateway,
    /// 503.
    Unavailable,
    /// 529 `overloaded_error`.
    Overloaded,
    /// 200 with an HTML page.
    Html,
    /// 200 with JSON that does not parse.
    MalformedJson,
    /// 200 with an answer that has no text.
    Empty,
    /// 200 with an error object as the body.
    ErrorInOk,
    /// 200 with an error event in the stream, after `after` pieces.
    ErrorEvent,
    /// Silence: before the head, or after `after` pieces.
    Stall,
    /// The connection is reset (RST): before the head, or after `after` pieces.
    Reset,
    /// The connection is closed (FIN): before the head, or after `after` pieces.
    Close,
    /// The body ends as if whole, without the end of the answer.
    Truncated,
}

/// A fault in the words of both wire formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words {
    /// OpenAI's status, `type` and `code`.
    pub(super) openai: (u16, &'static str, &'static str),
    /// Anthropic's status and `type`.
    pub(super) anthropic: (u16, &'static str),
    pub(super) message: &'static str,
}

impl ScriptedFault {
    /// The fault that an HTTP status alone stands for; none for a success.
    pub(super) fn of_status(status: u16) -> Option<Self> {
        Some(match status {
            ..=399 => return None,
            401 => Self::Unauthorized,
            402 => Self::Billing,
            403 => Self::Forbidden,
            404 => Self::ModelNotFound,
            413 => Self::TooLarge,
            422 => Self::Unprocessable,
            429 => Self::RateLimited,
            400..=499 => Self::BadRequest,
            502 => Self::BadGateway,
            503 => Self::Unavailable,
            529 => Self::Overloaded,
            _ => Self::ServerError,
        })
    }

    /// Its words; none for faults that are not an error answer.
    pub(super) fn words(self) -> Option<Words> {
        let (openai, anthropic, message) = match self {
            Self::RateLimited => (
                (429, "requests", "rate_limit_exceeded"),
                (429, "rate_limit_error"),
                "Rate limit reached for requests.",
            ),
            Self::InsufficientQuota => (
                (429, "insufficient_quota", "insufficient_quota"),
                (402, "billing_error"),
                "You exceeded your current quota, please check your plan and billing details.",
            ),
            Self::CreditBalanceExhausted => (
                (429, "billing", "credit_balance_exhausted"),
                (402, "billing_error"),
                "Your credit balance is exhausted.",
            ),
            Self::RateQuota => (
                (429, "Throttling.RateQuota", "Throttling.RateQuota"),
                (429, "rate_limit_error"),
                "Requests rate limit exceeded, please try again later.",
            ),
            Self::AllocationQuota => (
                (
                    429,
                    "Throttling.AllocationQuota",
                    "Throttling.AllocationQuota",
                ),
                (429, "rate_limit_error"),
                "Allocated quota exceeded, please increase your quota limit.",
            ),
            Self::FreeQuotaExhausted => (
                (429, "insufficient_quota", "insufficient_quota"),
                (402, "billing_error"),
                "Free allocated quota exceeded.",
            ),
            Self::Billing => (
                (402, "billing", "payment_required"),
                (402, "billing_error"),
                "Payment required: please check your plan and billing details.",
            ),
            Self::Unauthorized => (
                (401, "invalid_request_error", "invalid_api_key"),
                (401, "authentication_error"),
                "Incorrect API key provided.",
            ),
            Self::Forbidden => (
                (403, "permission_error", "permission_denied"),
                (403, "permission_error"),
                "Your API key does not have permission to use the specified resource.",
            ),
            Self::ModelNotFound => (
                (404, "invalid_request_error", "model_not_found"),
                (404, "not_found_error"),
                "The model does not exist or you do not have access to it.",
            ),
            Self::BadRequest => (
                (400, "invalid_request_error", "invalid_value"),
                (400, "invalid_request_error"),
                "The request is not valid.",
            ),
            Self::ContextTooLong => (
                (400, "invalid_request_error", "context_length_exceeded"),
                (400, "invalid_request_error"),
                "prompt is too long: this model's maximum context length is 8192 tokens.",
            ),
            Self::ContentPolicy => (
                (400, "invalid_request_error", "content_policy_violation"),
                (400, "invalid_request_error"),
                "Your request was rejected as a result of our content policy: output blocked by content filtering policy.",
            ),
            Self::TooLarge => (
                (413, "invalid_request_error", "request_too_large"),
                (413, "request_too_large"),
                "Request exceeds the maximum size.",
            ),
            Self::Unprocessable => (
                (422, "invalid_request_error", "unprocessable_entity"),
                (422, "invalid_request_error"),
                "The request cannot be processed.",
            ),
            Self::ServerError => (
                (500, "server_error", "internal_error"),
                (500, "api_error"),
                "The server had an error while processing your request.",
            ),
            Self::BadGateway => (
                (502, "server_error", "bad_gateway"),
                (502, "api_error"),
                "Bad gateway.",
            ),
            Self::Unavailable => (
                (503, "server_error", "service_unavailable"),
                (503, "api_error"),
                "The service is temporarily unavailable.",
            ),
            Self::Overloaded => (
                (529, "server_error", "overloaded"),
                (529, "overloaded_error"),
                "Overloaded",
            ),
            Self::Html
            | Self::MalformedJson
            | Self::Empty
            | Self::ErrorInOk
            | Self::ErrorEvent
            | Self::Stall
            | Self::Reset
            | Self::Close
            | Self::Truncated => return None,
        };
        Some(Words {
            openai,
            anthropic,
            message,
        })
    }
}
