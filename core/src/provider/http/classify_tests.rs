//! One row a rule.

use serde_json::json;

use super::*;
use FaultReason::*;

const NOW: EpochMillis = 784_111_777_000;

fn of(facts: Value) -> Option<Fault> {
    classify(&serde_json::from_value(facts).unwrap(), NOW)
}

fn error(message: &str) -> Value {
    json!({ "error": { "message": message } })
}

#[test]
fn a_status_and_a_body_say_what_happened() {
    for (status, body, reason) in [
        // Bare statuses.
        (301, json!(""), MalformedResponse),
        (400, json!(""), BadRequest),
        (401, json!(""), Unauthorized),
        (402, json!(""), Billing),
        (403, json!(""), Forbidden),
        (404, json!(""), BadRequest),
        (405, json!(""), BadRequest),
        (407, json!(""), Connect),
        (408, json!(""), Timeout),
        (409, json!(""), Overloaded),
        (413, json!(""), TooLarge),
        (422, json!(""), BadRequest),
        (425, json!(""), Overloaded),
        (429, json!(""), RateLimited),
        (451, json!(""), ContentPolicy),
        (500, json!(""), ServerError),
        (502, json!("<html>context window</html>"), ServerError),
        (503, json!(""), Overloaded),
        (504, json!(""), Timeout),
        (524, json!(""), Timeout),
        (529, json!(""), Overloaded),
        // OpenAI.
        (
            401,
            json!({"error": {"message": "Incorrect API key", "type": "invalid_request_error", "code": "invalid_api_key"}}),
            Unauthorized,
        ),
        (
            429,
            json!({"error": {"message": "m", "type": "insufficient_quota", "code": "insufficient_quota"}}),
            QuotaExhausted,
        ),
        (
            429,
            json!({"message": "m", "type": "insufficient_quota", "code": null}),
            QuotaExhausted,
        ),
        (
            429,
            json!({"error": {"code": "credit_balance_exhausted"}}),
            Billing,
        ),
        (
            429,
            json!({"error": {"code": "billing_hard_limit_reached"}}),
            Billing,
        ),
        (400, error("Billing hard limit has been reached"), Billing),
        (
            429,
            json!({"error": {"type": "tokens", "code": "rate_limit_exceeded"}}),
            RateLimited,
        ),
        (
            429,
            error("You exceeded your current quota, please check your plan"),
            QuotaExhausted,
        ),
        (
            400,
            json!({"error": {"code": "context_length_exceeded", "type": "invalid_request_error"}}),
            ContextTooLong,
        ),
        (
            400,
            error("This model's maximum context length is 8192 tokens"),
            ContextTooLong,
        ),
        (
            400,
            json!({"error": {"code": "content_policy_violation"}}),
            ContentPolicy,
        ),
        (
            400,
            json!({"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
            ContentPolicy,
        ),
        (
            404,
            json!({"error": {"message": "The model `x` does not exist", "code": "model_not_found"}}),
            ModelNotFound,
        ),
        (
            403,
            json!({"error": {"message": "Project does not have access to model x"}}),
            ModelNotFound,
        ),
        (404, json!({"error": "model 'x' not found"}), ModelNotFound),
        (404, json!({"detail": "Not Found"}), BadRequest),
        (
            403,
            json!({"error": {"code": "unsupported_country_region_territory"}}),
            Forbidden,
        ),
        (
            400,
            json!({"error": {"message": "m", "type": "invalid_request_error"}}),
            BadRequest,
        ),
        (503, json!({"error": {"code": "slow_down"}}), Overloaded),
        // DashScope.
        (
            429,
            json!({"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"}),
            RateLimited,
        ),
        (
            429,
            json!({"code": "Throttling.AllocationQuota", "message": "Allocated quota exceeded"}),
            QuotaExhausted,
        ),
        (429, json!({"error": {"code": "Throttling"}}), RateLimited),
        (
            403,
            json!({"error": {"code": "AllocationQuota.FreeTierOnly"}}),
            QuotaExhausted,
        ),
        (
            403,
            error("The free tier of the model has been exhausted."),
            QuotaExhausted,
        ),
        (429, error("Free allocated quota exceeded."), QuotaExhausted),
        (
            400,
            json!({"code": "Arrearage", "message": "Access denied"}),
            Billing,
        ),
        (400, json!({"code": "DataInspectionFailed"}), ContentPolicy),
        (
            400,
            json!({"error": {"code": "data_inspection_failed"}}),
            ContentPolicy,
        ),
        (
            400,
            error(
                "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 98304]",
            ),
            ContextTooLong,
        ),
        (401, json!({"code": "InvalidApiKey"}), Unauthorized),
        (403, json!({"code": "Model.AccessDenied"}), ModelNotFound),
        (
            401,
            error("Qwen OAuth free tier was discontinued on 2026-04-15."),
            Discontinued,
        ),
        // Anthropic.
        (
            429,
            json!({"type": "error", "error": {"type": "rate_limit_error", "message": "m"}}),
            RateLimited,
        ),
        (
            529,
            json!({"type": "error", "error": {"type": "overloaded_error"}}),
            Overloaded,
        ),
        (
            401,
            json!({"type": "error", "error": {"type": "authentication_error"}}),
            Unauthorized,
        ),
        (
            403,
            json!({"type": "error", "error": {"type": "permission_error"}}),
            Forbidden,
        ),
        (
            402,
            json!({"type": "error", "error": {"type": "billing_error"}}),
            Billing,
        ),
        (
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API"}}),
            Billing,
        ),
        (
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens"}}),
            ContextTooLong,
        ),
        (
            404,
            json!({"type": "error", "error": {"type": "not_found_error", "message": "model: x"}}),
            ModelNotFound,
        ),
        (
            413,
            json!({"type": "error", "error": {"type": "request_too_large"}}),
            TooLarge,
        ),
        (
            500,
            json!({"type": "error", "error": {"type": "api_error"}}),
            ServerError,
        ),
        (
            504,
            json!({"type": "error", "error": {"type": "timeout_error"}}),
            Timeout,
        ),
        // Gemini.
        (
            429,
            json!({"error": {"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED"}}),
            RateLimited,
        ),
        (
            429,
            json!([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}]),
            QuotaExhausted,
        ),
        (
            400,
            json!({"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}),
            Unauthorized,
        ),
        (
            400,
            json!({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}),
            Unauthorized,
        ),
        (
            403,
            json!({"error": {"code": 403, "status": "PERMISSION_DENIED"}}),
            Forbidden,
        ),
        (
            503,
            json!({"error": {"code": 503, "status": "UNAVAILABLE"}}),
            Overloaded,
        ),
        (
            504,
            json!({"error": {"code": 504, "status": "DEADLINE_EXCEEDED"}}),
            Timeout,
        ),
        (
            400,
            error("The input token count (9) exceeds the maximum number of tokens allowed (8)."),
            ContextTooLong,
        ),
        // AWS.
        (
            429,
            json!({"__type": "com.amazonaws.bedrock#ThrottlingException:http://x/", "message": "Too many requests"}),
            RateLimited,
        ),
        (
            400,
            json!({"__type": "ServiceQuotaExceededException"}),
            QuotaExhausted,
        ),
        (
            403,
            json!({"__type": "ExpiredTokenException"}),
            Unauthorized,
        ),
        (403, json!({"__type": "AccessDeniedException"}), Forbidden),
        (
            400,
            json!({"__type": "ValidationException", "message": "Input is too long for requested model."}),
            ContextTooLong,
        ),
        (400, json!({"__type": "ValidationException"}), BadRequest),
        (
            404,
            json!({"__type": "ResourceNotFoundException"}),
            ModelNotFound,
        ),
        (429, json!({"__type": "ModelNotReadyException"}), Overloaded),
        // Others.
        (402, error("Insufficient Balance"), Billing),
        (
            429,
            json!({"error": {"type": "exceeded_current_quota_error"}}),
            Billing,
        ),
        (
            429,
            json!({"error": {"type": "engine_overloaded_error"}}),
            Overloaded,
        ),
        (429, json!({"error": {"code": "1302"}}), RateLimited),
        (429, json!({"error": {"code": 1113}}), Billing),
        // A message that quotes the prompt does not decide.
        (
            422,
            error("invalid message `insufficient_quota: You exceeded your current quota`"),
            BadRequest,
        ),
        (500, error("maximum context length"), ServerError),
    ] {
        let fault = of(json!({ "status": status, "body": body.clone() })).unwrap();
        assert_eq!(fault.reason, reason, "{status} {body}");
        assert_eq!(fault.status, Some(status));
    }
}

#[test]
fn an_error_inside_a_success_is_told_by_its_body() {
    for (body, reason) in [
        (
            json!({"error": {"code": 429, "message": "x"}}),
            Some(RateLimited),
        ),
        (
            json!({"error": {"code": "502", "message": "x"}}),
            Some(ServerError),
        ),
        (
            json!({"type": "error", "error": {"type": "overloaded_error"}}),
            Some(Overloaded),
        ),
        (
            json!({"error": {"type": "invalid_request_error"}}),
            Some(BadRequest),
        ),
        (json!({"error": {"type": "api_error"}}), Some(ServerError)),
        (
            error("Free allocated quota exceeded."),
            Some(QuotaExhausted),
        ),
        (error("who knows"), None),
        (json!("not JSON"), None),
    ] {
        let fault = of(json!({ "status": 200, "body": body.clone() }));
        assert_eq!(fault.map(|fault| fault.reason), reason, "{body}");
    }
}

#[test]
fn an_exception_without_a_status_is_told_by_its_name_or_kind() {
    for (facts, reason) in [
        (
            json!({"type_name": "openai.APIConnectionError"}),
            Some(Connect),
        ),
        (
            json!({"type_name": "openai.APITimeoutError"}),
            Some(Timeout),
        ),
        (
            json!({"type_name": "openai.RateLimitError"}),
            Some(RateLimited),
        ),
        (
            json!({"type_name": "openai.APIError", "body": {"code": "insufficient_quota"}}),
            Some(QuotaExhausted),
        ),
        (json!({"type_name": "openai.APIError"}), Some(ServerError)),
        (
            json!({"type_name": "anthropic.OverloadedError"}),
            Some(Overloaded),
        ),
        (
            json!({"type_name": "anthropic.AuthenticationError"}),
            Some(Unauthorized),
        ),
        (
            json!({"type_name": "anthropic._exceptions.PermissionDeniedError"}),
            Some(Forbidden),
        ),
        (
            json!({"type_name": "litellm.ContextWindowExceededError"}),
            Some(ContextTooLong),
        ),
        (
            json!({"type_name": "google.api_core.exceptions.ResourceExhausted"}),
            Some(RateLimited),
        ),
        (
            json!({"type_name": "botocore.errorfactory.ThrottlingException"}),
            Some(RateLimited),
        ),
        (
            json!({"type_name": "botocore.exceptions.ClientError", "body": {"Error": {"Code": "AccessDeniedException", "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": 403}}}),
            Some(Forbidden),
        ),
        (
            json!({"type_name": "botocore.exceptions.ClientError", "body": {"Error": {"Code": "Odd"}, "ResponseMetadata": {"HTTPStatusCode": 500}}}),
            Some(ServerError),
        ),
        (
            json!({"type_name": "botocore.exceptions.EndpointConnectionError"}),
            Some(Connect),
        ),
        (
            json!({"type_name": "requests.exceptions.ConnectTimeout"}),
            Some(Timeout),
        ),
        (
            json!({"type_name": "requests.exceptions.ReadTimeout"}),
            Some(Timeout),
        ),
        (
            json!({"type_name": "requests.exceptions.ChunkedEncodingError"}),
            Some(Truncated),
        ),
        (json!({"type_name": "httpx.ConnectError"}), Some(Connect)),
        (
            json!({"type_name": "aiohttp.client_exceptions.ServerDisconnectedError"}),
            Some(Connect),
        ),
        (json!({"type_name": "builtins.TimeoutError"}), Some(Timeout)),
        (json!({"type_name": "TimeoutError"}), Some(Timeout)),
        (
            json!({"type_name": "APIConnectionTimeoutError"}),
            Some(Timeout),
        ),
        (json!({"kind": "UND_ERR_CONNECT_TIMEOUT"}), Some(Timeout)),
        (json!({"kind": "ECONNREFUSED"}), Some(Connect)),
        (
            json!({"kind": "ECONNRESET", "type_name": "TypeError", "message": "fetch failed"}),
            Some(Connect),
        ),
        (json!({"kind": "ETIMEDOUT"}), Some(Timeout)),
        (json!({"kind": "ENOTFOUND"}), Some(Connect)),
        (json!({"kind": "connect"}), Some(Connect)),
        (json!({"kind": "timeout"}), Some(Timeout)),
        (
            json!({"type_name": "RateLimitError", "status": 429}),
            Some(RateLimited),
        ),
        // Not ours to judge.
        (
            json!({"type_name": "ValueError", "message": "insufficient_quota: maximum context length"}),
            None,
        ),
        (
            json!({"type_name": "builtins.KeyError", "message": "model"}),
            None,
        ),
        (
            json!({"type_name": "redis.exceptions.ConnectionError"}),
            None,
        ),
        (json!({"type_name": "elasticsearch.NotFoundError"}), None),
        (json!({"type_name": "NotFoundError"}), None),
        (json!({"kind": "EACCES"}), None),
        (json!({}), None),
    ] {
        let fault = of(facts.clone());
        assert_eq!(fault.map(|fault| fault.reason), reason, "{facts}");
    }
}

#[test]
fn a_wait_is_read_from_headers_and_body_and_only_where_it_explains_the_fault() {
    let used_up =
        json!({"X-RateLimit-Remaining-Requests": "0", "X-RateLimit-Reset-Requests": "6m0s"});
    let delay =
        json!({"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "26s"}]}});
    for (facts, seconds) in [
        (
            json!({"status": 429, "headers": {"Retry-After": "30"}}),
            Some(30),
        ),
        (
            json!({"status": 429, "headers": {"retry-after": "Sun, 06 Nov 1994 08:50:07 GMT"}}),
            Some(30),
        ),
        (
            json!({"status": 503, "headers": {"retry-after": "5"}}),
            Some(5),
        ),
        (
            json!({"status": 429, "headers": {"retry-after": "soon"}}),
            None,
        ),
        (json!({"status": 429, "headers": used_up}), Some(360)),
        (json!({"status": 500, "headers": used_up}), None),
        (json!({"status": 429, "body": delay}), Some(26)),
        (
            json!({"status": 429, "body": delay, "headers": {"retry-after": "3"}}),
            Some(3),
        ),
    ] {
        let wait = of(facts.clone()).unwrap().retry_after;
        assert_eq!(wait.map(|wait| wait.as_secs()), seconds, "{facts}");
    }
}

#[test]
fn the_endpoints_words_come_first_then_the_exceptions() {
    for (facts, words) in [
        (
            json!({"status": 400, "body": {"error": {"message": "bad role"}}, "message": "Error code: 400"}),
            "bad role",
        ),
        (
            json!({"status": 400, "message": "Error code: 400"}),
            "Error code: 400",
        ),
        (
            json!({"status": 500, "body": "upstream died\n"}),
            "HTTP 500: upstream died",
        ),
        (json!({"status": 500, "body": "<html>"}), "HTTP 500"),
        (json!({"kind": "ECONNRESET"}), "ECONNRESET"),
    ] {
        assert_eq!(of(facts).unwrap().message, words);
    }
}

#[test]
fn half_a_key_at_the_cut_is_not_kept() {
    let key = "sk-live-0123456789";
    let body = format!("{}{key}", "x".repeat(super::super::super::TEXT_LIMIT - 5));
    let facts = ErrorFacts {
        status: Some(401),
        body: Some(body),
        ..ErrorFacts::default()
    };
    let fault = classify(&facts.without(&Secret::new(key)), NOW).unwrap();
    assert!(!fault.body.unwrap().contains("sk-l"));
}
