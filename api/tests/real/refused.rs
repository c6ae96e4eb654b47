//! Bodies and paths that lead nowhere, from those who are let in and from those who are not: each gets its answer, whole.

use crate::stage::{Answer, Person, Stage};
use serde_json::{Value, json};

/// What somebody sends, and the status of the answer.
struct Sent<'a> {
    token: Option<&'a str>,
    accept: &'a str,
    method: &'a str,
    path: &'a str,
    status: u16,
}

/// On a connection of its own: one that was closed too early cannot be told from one that was closed by somebody else.
async fn send(stage: &Stage, project: &str, sent: &Sent<'_>, body: Vec<u8>) -> Answer {
    let method = reqwest::Method::from_bytes(sent.method.as_bytes()).unwrap();
    let mut request = reqwest::Client::new()
        .request(method, format!("{}/v2/{project}{}", stage.base, sent.path))
        .header("Accept", sent.accept)
        .body(body);
    if let Some(token) = sent.token {
        request = request.header("X-Auth-Token", token);
    }
    let answer = request.send().await.unwrap_or_else(|error| {
        panic!("{} {}: no answer, {error:?}", sent.method, sent.path);
    });
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await.unwrap_or_else(|error| {
        panic!("{} {}: {status}, and its text is cut: {error:?}", sent.method, sent.path);
    });
    Answer { status, headers, text }
}

/// Bodies of 10 MiB and broken ones where nobody reads them: the sender is told why, and sees no broken connection.
pub async fn bodies_that_nobody_reads(stage: &Stage, demo: &Person) {
    let (other, reader) = (stage.person("other", "other").await, stage.person("reader", "demo").await);
    let json = "application/json";
    let as_demo =
        |method, path, status| Sent { token: Some(&demo.token), accept: json, method, path, status };
    let large = format!("{{\"description\": \"{}\"}}", "x".repeat(10 << 20)).into_bytes();
    for sent in [
        Sent { token: None, ..as_demo("POST", "/jobs", 401) },
        Sent { token: Some("garbage"), ..as_demo("POST", "/jobs", 401) },
        Sent { token: None, ..as_demo("GET", "/nothing", 401) },
        Sent { token: Some(&other.token), ..as_demo("POST", "/jobs", 403) },
        Sent { token: Some(&other.token), ..as_demo("PATCH", "/jobs/j", 403) },
        Sent { token: Some(&reader.token), ..as_demo("POST", "/jobs", 403) },
        Sent { accept: "text/html", ..as_demo("POST", "/jobs", 406) },
        as_demo("PUT", "/jobs", 405),
        as_demo("POST", "/nothing", 404),
        as_demo("POST", "/jobs/j/nothing", 404),
        as_demo("GET", "/jobs/j", 200),
        as_demo("DELETE", "/jobs/none", 204),
        as_demo("PUT", "/sessions/s/jobs/j", 204),
    ] {
        for body in [large.clone(), b"{\"a\": \xff".to_vec()] {
            let length = body.len();
            let answer = send(stage, &demo.project_id, &sent, body).await;
            let said = format!("{} {} {length}: {} {}", sent.method, sent.path, answer.status, answer.text);
            assert_eq!(answer.status, sent.status, "{said}");
            match sent.status {
                // Those have no text.
                204 | 406 => assert_eq!(answer.text, "", "{said}"),
                200 => assert_eq!(answer.json()["job_id"], "j", "{said}"),
                401 => assert_eq!(answer.json()["error"]["code"], 401, "{said}"),
                _ => assert!(answer.json()["title"].is_string(), "{said}"),
            }
        }
    }
    stage.call(demo, "GET", "/jobs", Value::Null).await.expect(200);
}

/// Ids with what MariaDB compares and stores in ways of its own, in every path that has one.
pub async fn odd_ids_in_every_path(stage: &Stage, demo: &Person) {
    let long = "x".repeat(2000);
    for (method, route) in freezer_api::routes::operations() {
        let Some(path) = route.strip_prefix("/v2/{project_id}").filter(|path| path.contains('{')) else {
            continue;
        };
        for odd in ["%00", "a%00b", "%F0%9F%92%BE", "%E9", "..%2F..", "'%20OR%201=1--", long.as_str()] {
            let ids = ["{job_id}", "{run_id}", "{action_id}", "{session_id}", "{client_id}", "{backup_id}"];
            let path = ids.iter().fold(path.to_owned(), |path, id| path.replace(id, odd));
            assert!(!path.contains('{'), "{path}: an id that this test does not know");
            for body in [json!({}), json!({"start": null})] {
                let answer = stage.call(demo, method.as_str(), &path, body).await;
                let said = format!("{method} {path}: {} {}", answer.status, answer.text);
                match method.as_str() {
                    "DELETE" => assert_eq!(answer.status, 204, "{said}"),
                    _ => assert!([400, 404].contains(&answer.status), "{said}"),
                }
            }
        }
    }
}
