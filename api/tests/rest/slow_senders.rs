//! Requests that never come to an end are ended, while others are served.

use crate::harness::*;
use freezer_api::notices::Notices;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn begun(api: &Api, text: &str) -> TcpStream {
    let mut socket = TcpStream::connect(api.base.strip_prefix("http://").unwrap()).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    socket
}

#[tokio::test]
async fn partial_requests_are_refused_while_others_are_served() {
    let short = |options: &mut freezer_api::ApiOptions| {
        options.head_timeout = Duration::from_secs(1);
        options.body_timeout = Duration::from_millis(200);
    };
    let api = Api::start_with(short, Notices::default()).await;
    let head = "POST /v2/p1/backups HTTP/1.1\r\nHost: x\r\nX-User-Id: alice\r\nX-Project-Id: p1\r\nX-Roles: member\r\n";
    let mut held = Vec::new();
    for number in 0..100 {
        // half of them stop in the middle of the body, the others in the middle of a header
        let rest = if number % 2 == 0 { "Content-Length: 100\r\n\r\n{\"container\"" } else { "X-Sl" };
        held.push(begun(&api, &format!("{head}{rest}")).await);
    }
    api.get(ALICE, "/backups").await.expect(200);
    for mut socket in held {
        let mut answer = Vec::new();
        // until the server closes it
        let _ = socket.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    api.get(ALICE, "/backups").await.expect(200);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_not_for_ever() {
    let brief = |options: &mut freezer_api::ApiOptions| options.keep_alive = Duration::from_secs(1);
    let api = Api::start_with(brief, Notices::default()).await;
    let request = "GET /v2/p1/backups HTTP/1.1\r\nHost: x\r\nX-User-Id: alice\r\nX-Project-Id: p1\r\nX-Roles: member\r\n\r\n";
    let mut socket = begun(&api, &request.repeat(2)).await;
    let mut answer = Vec::new();
    // until the server closes it, which is no reset: all was said and read
    socket.read_to_end(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8(answer).unwrap().matches("HTTP/1.1 200 ").count(), 2);
}
