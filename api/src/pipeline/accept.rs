//! Answers are JSON: a request that admits none of it gets 406 with an empty body.

use crate::error::ApiError;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::ACCEPT;
use actix_web::middleware::Next;

/// Middleware; lets through what admits JSON.
pub async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let accepted = request.headers().get(ACCEPT).is_none_or(|value| value.to_str().is_ok_and(admits_json));
    if !accepted {
        return Err(ApiError::not_acceptable().into());
    }
    next.call(request).await
}

fn admits_json(accept: &str) -> bool {
    accept.trim().is_empty()
        || accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let is_refused = parts.any(|part| {
                part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
            });
            let is_json = matches!(
                media.as_str(),
                "*/*" | "application/*" | "application/json" | "application/json-home"
            );
            is_json && !is_refused
        })
}

#[cfg(test)]
mod tests {
    use super::admits_json;

    #[test]
    fn ranges() {
        for good in [
            "",
            "*/*",
            "application/json",
            "text/html, */*;q=0.1",
            "application/*",
            "Application/JSON; charset=utf-8",
        ] {
            assert!(admits_json(good), "{good}");
        }
        for bad in ["text/html", "application/xml", "application/json;q=0", "text/*, application/json; q=0.0"]
        {
            assert!(!admits_json(bad), "{bad}");
        }
    }
}
