//! Requests that never come to an end are ended, while others are served; and heads that are none, or too much.

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

const CALLER: &str = "Host: x\r\nX-User-Id: alice\r\nX-Project-Id: p1\r\nX-Roles: member\r\n";

/// All that is answered to such bytes until the server closes.
async fn answered(api: &Api, text: String) -> String {
    let mut socket = TcpStream::connect(api.base.strip_prefix("http://").unwrap()).await.unwrap();
    // The server may have closed before all was sent.
    let _ = socket.write_all(text.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn odd_heads_are_refused_and_head_has_no_body() {
    let short = |options: &mut freezer_api::ApiOptions| options.body_timeout = Duration::from_secs(1);
    let api = Api::start_with(short, Notices::default()).await;
    let get = |more: &str| format!("GET /v2/p1/jobs HTTP/1.1\r\n{CALLER}{more}Connection: close\r\n\r\n");
    let post = |more: &str| format!("POST /v2/p1/backups HTTP/1.1\r\n{CALLER}Connection: close\r\n{more}");
    let refused = [
        ("many headers", get(&"X-More: 1\r\n".repeat(200)), "431"),
        ("two hosts", get("Host: y\r\n"), "400"),
        ("no version of ours", get("").replace("HTTP/1.1", "HTTP/9.9"), "400"),
        ("a name with a space", get("X More: 1\r\n"), "400"),
        (
            "two lengths of a body",
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "400",
        ),
        ("twice a length", post("Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} "), "400"),
        ("less than nothing", post("Content-Length: -1\r\n\r\n"), "400"),
        ("a length that is none", post("Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), "400"),
        ("packed", post("Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\u{1f}\u{b}\u{8}\u{0}"), "400"),
    ];
    let answers = refused.map(|(what, text, status)| {
        let api = &api;
        async move { (what, answered(api, text).await, status) }
    });
    for (what, answer, status) in futures_util::future::join_all(answers).await {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
        let refusals = answer.matches(&format!("HTTP/1.1 {status} ")).count();
        assert_eq!(answer.matches("HTTP/1.1 ").count(), refusals, "{what}: {answer}");
    }
    // More than is ever read: what is said then may be lost, as not all was taken.
    let endless = answered(&api, get(&format!("X-Long: {}\r\n", "x".repeat(200 << 10)))).await;
    assert!(endless.is_empty() || endless.starts_with("HTTP/1.1 431 "), "{endless}");

    // A head alone is a verb like others that no path knows; the connection goes on.
    for path in ["/v2/p1/jobs", "/v2/p1/jobs/x", "/v2"] {
        let head = format!("HEAD {path} HTTP/1.1\r\n{CALLER}\r\n");
        let mut socket = begun(&api, &head).await;
        let mut first = Vec::new();
        while !first.ends_with(b"\r\n\r\n") {
            first.push(socket.read_u8().await.unwrap());
        }
        let first = String::from_utf8(first).unwrap();
        assert!(first.starts_with("HTTP/1.1 405 ") && first.contains("allow: GET, "), "{first}");
        socket.write_all(get("").as_bytes()).await.unwrap();
        let mut second = String::new();
        socket.read_to_string(&mut second).await.unwrap();
        assert!(second.starts_with("HTTP/1.1 200 ") && second.ends_with("{\"jobs\":[]}"), "{second}");
    }
    api.get(ALICE, "/backups").await.expect(200);
}

/// What is held of bodies is bounded: who sends many large ones at once, and ends none, is refused the next; others are served.
#[tokio::test]
async fn large_bodies_that_do_not_end_are_in_nobody_elses_way() {
    /// The room of one project, as [`freezer_api::room`] has it, in bodies of the usual limit.
    const ROOM_OF_PROJECT: usize = 16;
    let patient = |options: &mut freezer_api::ApiOptions| options.body_timeout = Duration::from_secs(10);
    let api = Api::start_with(patient, Notices::default()).await;
    let length = freezer_api::ApiOptions::default().max_body_bytes;
    let head = format!("POST /v2/p1/backups HTTP/1.1\r\n{CALLER}Content-Length: {length}\r\n\r\n");
    let mut held = Vec::new();
    for _ in 0..ROOM_OF_PROJECT {
        held.push(begun(&api, &format!("{head}{{\"container\": \"{}", "x".repeat(100 << 10))).await);
    }
    // Too long for a record: 400 says that all of it was read.
    let large = serde_json::json!({"backup_metadata": {"text": "x".repeat(100 << 10)}});
    let send = async |who: Who| api.call(who, "POST", "/backups", large.clone()).await;
    // Until all of those are being read.
    let mut refused = send(ALICE).await;
    for _ in 0..100 {
        if refused.status == 429 {
            break;
        }
        assert_eq!(refused.status, 400, "{}", refused.text);
        refused = send(ALICE).await;
    }
    assert_eq!(refused.header("retry-after"), "10");
    let text = "Too many large bodies are being sent at the moment; try again later.";
    refused.expect_error(429, "Too Many Requests", text);
    send(OTTO).await.expect(400);
    let small = serde_json::json!({"freezer_action": {"action": "backup"}});
    api.call(ALICE, "POST", "/actions", small).await.expect(201);
    // What breaks off gives its room back.
    drop(held);
    send(ALICE).await.expect(400);
}
