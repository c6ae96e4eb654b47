//! `/`: the versions document, without a token, to any method.

use crate::pipeline::origin::Origin;
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use serde_json::json;

/// Answers 300: clients choose from the list. Links point to where the request came in.
pub async fn root(request: HttpRequest) -> HttpResponse {
    let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
    let document = json!({"versions": [{
        "id": "v2",
        "status": "CURRENT",
        "updated": "2018-02-21T13:30:00",
        "links": [{"href": format!("{}/v2/", origin.0), "rel": "self"}],
    }]});
    HttpResponse::build(StatusCode::MULTIPLE_CHOICES).json(document)
}
