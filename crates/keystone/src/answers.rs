//! What a client is told when it is not let in, word for word as keystonemiddleware does.

use actix_web::HttpResponse;
use actix_web::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use serde_json::json;

const UNAUTHORIZED: &str = r#"{"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}}"#;
const EXPLANATION: &str = "The server is currently unavailable. Please try again at a later time.";
const DETAIL: &str = "The Keystone service is temporarily unavailable.";

/// `WWW-Authenticate: Keystone uri="…"`. None if the address cannot stand in a header.
pub(crate) fn challenge(www_authenticate_uri: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("Keystone uri=\"{www_authenticate_uri}\"")).ok()
}

pub(crate) fn unauthorized(challenge: Option<&HeaderValue>) -> HttpResponse {
    let mut response = HttpResponse::Unauthorized();
    response.insert_header((CONTENT_TYPE, "application/json"));
    if let Some(challenge) = challenge {
        response.insert_header((WWW_AUTHENTICATE, challenge.clone()));
    }
    response.body(UNAUTHORIZED)
}

/// 503 in the form the client asks for; browsers and curl (`*/*`) get HTML, as webob has it.
pub(crate) fn unavailable(request_headers: &HeaderMap) -> HttpResponse {
    let accept = text_of(request_headers, &ACCEPT).unwrap_or_default();
    let (content_type, body) = if accept.contains("html") || accept.contains("*/*") {
        let html = format!(
            "<html>\n <head>\n  <title>503 Service Unavailable</title>\n </head>\n <body>\n  \
             <h1>503 Service Unavailable</h1>\n  {EXPLANATION}<br /><br />\n{DETAIL}\n\n\n </body>\n</html>"
        );
        ("text/html; charset=UTF-8", html)
    } else if accept.contains("application/json") {
        let message = format!("{EXPLANATION}<br /><br />\n{DETAIL}\n\n");
        let body =
            json!({"message": message, "code": "503 Service Unavailable", "title": "Service Unavailable"});
        ("application/json", body.to_string())
    } else {
        ("text/plain; charset=UTF-8", format!("503 Service Unavailable\n\n{EXPLANATION}\n\n {DETAIL}  "))
    };
    HttpResponse::ServiceUnavailable().insert_header((CONTENT_TYPE, content_type)).body(body)
}

pub(crate) fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
