//! The real Keystone behind a server that answers one kind of request by itself: lists of trusts fail.

use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use freezer_testkit::services;

/// Starts it; answers the URL that takes the place of Keystone's.
pub fn start() -> String {
    let server = HttpServer::new(|| App::new().default_service(web::to(pass_on)))
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .unwrap();
    let address = server.addrs()[0];
    tokio::spawn(server.run());
    services::keystone_url().replacen(&origin(), &format!("http://{address}"), 1)
}

/// Scheme, host and port of the real one.
fn origin() -> String {
    let url = reqwest::Url::parse(&services::keystone_url()).unwrap();
    format!("{}://{}", url.scheme(), url.authority())
}

async fn pass_on(request: HttpRequest, body: Bytes) -> HttpResponse {
    if request.method().as_str() == "GET" && request.path().ends_with("/OS-TRUST/trusts") {
        // One that is not tried again.
        return HttpResponse::NotImplemented().finish();
    }
    let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes()).unwrap();
    let mut forwarded = reqwest::Client::new().request(method, format!("{}{}", origin(), request.uri()));
    for (name, value) in request.headers() {
        if !["host", "content-length", "connection"].contains(&name.as_str()) {
            forwarded = forwarded.header(name.as_str(), value.as_bytes());
        }
    }
    let answer = forwarded.body(body.to_vec()).send().await.unwrap();
    let mut response = HttpResponse::build(StatusCode::from_u16(answer.status().as_u16()).unwrap());
    for (name, value) in answer.headers() {
        if !["content-length", "connection", "transfer-encoding"].contains(&name.as_str()) {
            response.append_header((name.as_str(), value.as_bytes()));
        }
    }
    response.body(answer.bytes().await.unwrap())
}
