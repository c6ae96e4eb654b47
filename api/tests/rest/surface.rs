//! What every request meets: versions, health, routes, methods, headers, paths.

use crate::harness::*;
use freezer_api::notices::Notices;
use freezer_api::pipeline::health::{HealthOptions, Network};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[tokio::test]
async fn the_root_lists_versions_with_links_to_where_the_request_came() {
    let api = Api::start().await;
    for method in ["GET", "POST"] {
        let answer = api.send(api.request(ALICE, method, "/")).await.expect(300);
        assert_eq!(answer.header("content-type"), "application/json");
        let expected = json!({"versions": [{"id": "v2", "status": "CURRENT", "updated": "2018-02-21T13:30:00",
            "links": [{"href": format!("{}/v2/", api.base), "rel": "self"}]}]});
        assert_eq!(answer.json(), expected);
    }
    let named = api
        .request(ALICE, "GET", "/")
        .header("Host", "backup.example:99")
        .header("X-Forwarded-Proto", "https");
    assert_eq!(
        api.send(named).await.json()["versions"][0]["links"][0]["href"],
        "http://backup.example:99/v2/"
    );

    let behind_proxy =
        Api::start_with(|options| options.trusts_proxy_headers = true, Notices::default()).await;
    let request = behind_proxy
        .request(ALICE, "GET", "/")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "cloud.example")
        .header("X-Forwarded-Prefix", "/backup");
    let answer = behind_proxy.send(request).await;
    assert_eq!(answer.json()["versions"][0]["links"][0]["href"], "https://cloud.example/backup/v2/");
}

#[tokio::test]
async fn a_published_prefix_is_taken_off() {
    let api = Api::start_with(|options| options.url_prefix = "/backup".to_owned(), Notices::default()).await;
    let href = api.send(api.request(ALICE, "GET", "/backup/")).await.expect(300).json();
    assert_eq!(href["versions"][0]["links"][0]["href"], format!("{}/backup/v2/", api.base));
    api.send(api.request(ALICE, "GET", "/backup/v2/p1/jobs/")).await.expect(200);
    api.send(api.request(ALICE, "GET", "/v2/p1/jobs")).await.expect(200);
}

#[tokio::test]
async fn the_home_document_has_the_entries_clients_compare() {
    let api = Api::start().await;
    for path in ["/v2", "/v2/", "//v2//"] {
        let answer = api.send(api.request(ALICE, "GET", path)).await.expect(200);
        assert_eq!(answer.header("content-type"), "application/json-home");
        let resources = answer.json()["resources"].clone();
        assert_eq!(
            resources["rel/backups"],
            json!({"href-template": "/v2/{project_id}/backups/{backup_id}",
                "href-vars": {"project_id": "param/project_id", "backup_id": "param/backup_id"},
                "hints": {"allow": ["GET"], "formats": {"application/json": {}}}})
        );
        assert_eq!(
            resources["rel/jobs"],
            json!({"href-template": "/v2/{project_id}/jobs{?all_projects,offset,limit}",
                "href-vars": {"project_id": "param/project_id", "all_projects": "param/all_projects", "offset": "param/offset", "limit": "param/limit"},
                "hints": {"allow": ["GET", "POST"], "formats": {"application/json": {}}}})
        );
        assert_eq!(resources["rel/job"]["hints"]["allow"], json!(["GET", "PATCH", "POST", "DELETE"]));
    }
}

/// Each entry is a route with all its verbs, and each route has an entry.
#[tokio::test]
async fn the_home_document_names_what_there_is() {
    let api = Api::start().await;
    let mut routes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (method, path) in freezer_api::routes::operations() {
        if path.starts_with("/v2/") {
            routes.entry(path).or_default().insert(method.to_string());
        }
    }
    let resources = api.send(api.request(ALICE, "GET", "/v2")).await.expect(200).json()["resources"].clone();
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (relation, entry) in resources.as_object().unwrap() {
        let template = entry["href-template"].as_str().unwrap();
        let (path, query) = template.split_once("{?").unwrap_or((template, "}"));
        let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let in_query = query.trim_end_matches('}').split(',').filter(|name| !name.is_empty());
        let variables: BTreeSet<&str> = in_path.chain(in_query).collect();
        let told: BTreeSet<&str> =
            entry["href-vars"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(told, variables, "{relation}");
        let allow = entry["hints"]["allow"].as_array().unwrap().iter();
        let allow: BTreeSet<String> = allow.map(|verb| verb.as_str().unwrap().to_owned()).collect();
        // Upstream's entry of that name is the item's with one verb, and clients compare it.
        if relation == "rel/backups" {
            assert!(allow.is_subset(&routes[path]), "{allow:?}");
            continue;
        }
        assert_eq!(named.insert(path.to_owned(), allow), None, "{relation}: {path} is named twice");
    }
    assert_eq!(named, routes);
}

#[tokio::test]
async fn health_follows_the_marker_file() {
    let marker = tempfile::tempdir().unwrap();
    let file = marker.path().join("disable");
    let watched = file.clone();
    let api = Api::start_with(
        move |options| options.health.disable_by_file_path = Some(watched),
        Notices::default(),
    )
    .await;
    let ask = async |method: &str, path: &str, accept: &str| {
        api.send(api.request(ALICE, method, path).header("Accept", accept)).await
    };
    for (method, path, accept, status, text) in [
        ("GET", "/healthcheck", "*/*", 200, "OK"),
        ("POST", "/healthcheck/", "*/*", 200, "OK"),
        ("GET", "/healthcheck/deep/down", "image/png", 200, "OK"),
        ("HEAD", "/healthcheck", "*/*", 204, ""),
        (
            "GET",
            "/healthcheck",
            "application/json",
            200,
            "{\n    \"detailed\": false,\n    \"reasons\": [\n        \"OK\"\n    ]\n}",
        ),
    ] {
        let answer = ask(method, path, accept).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, text), "{method} {path}");
        let kind = if accept == "application/json" { accept } else { "text/plain" };
        assert!(text.is_empty() || answer.header("content-type").starts_with(kind), "{:?}", answer.headers);
    }
    std::fs::write(&file, "").unwrap();
    assert_eq!(ask("GET", "/healthcheck", "*/*").await.expect(503).text, "DISABLED BY FILE");
    assert_eq!(ask("HEAD", "/healthcheck", "*/*").await.expect(503).text, "");
    assert_eq!(
        ask("GET", "/healthcheck", "application/json").await.expect(503).json()["reasons"],
        json!(["DISABLED BY FILE"])
    );
    std::fs::remove_file(&file).unwrap();
    ask("GET", "/healthcheck", "*/*").await.expect(200);
}

#[tokio::test]
async fn health_is_told_as_the_operator_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let with = async |change: &dyn Fn(&mut HealthOptions)| {
        Api::start_with(|options| change(&mut options.health), Notices::default()).await
    };
    let asked = async |api: &Api, header: (&str, &str)| {
        api.send(api.request(ALICE, "GET", "/healthcheck").header(header.0, header.1)).await
    };
    let (as_json, proxied) = (("Accept", "application/json"), ("X-Forwarded-For", "192.0.2.1"));

    // Nobody is told whose network is not named, nor, if so asked, who came through a proxy.
    let elsewhere =
        with(&|health| health.allowed_sources = vec![Network::parse("192.0.2.0/24").unwrap()]).await;
    asked(&elsewhere, proxied).await.expect(404);
    let here = with(&|health| health.allowed_sources = vec![Network::parse("127.0.0.0/8").unwrap()]).await;
    asked(&here, proxied).await.expect(200);
    let direct = with(&|health| health.ignore_proxied_requests = true).await;
    asked(&direct, proxied).await.expect(404);
    asked(&direct, as_json).await.expect(200);

    // A file for each port; the server of a test has been told port 0.
    let ports = with(&|health| {
        health.backends = vec!["disable_by_files_ports".to_owned()];
        health.disable_by_file_paths = vec![(0, at("this")), (9090, at("other"))];
        health.detailed = true;
    })
    .await;
    std::fs::write(at("other"), "").unwrap();
    let told = asked(&ports, as_json).await.expect(200).json();
    assert_eq!((&told["detailed"], &told["reasons"][0]["reason"]), (&json!(true), &json!("OK")));
    std::fs::write(at("this"), "").unwrap();
    let told = asked(&ports, as_json).await.expect(503).json();
    let reason =
        json!({"class": "DisableByFilesPortsHealthcheck", "details": "", "reason": "DISABLED BY FILE"});
    assert_eq!(told["reasons"], json!([reason]));

    // Files that must be there.
    let enabled = with(&|health| {
        health.backends = vec!["enable_by_files".to_owned()];
        health.enable_by_file_paths = vec![at("this"), at("that")];
    })
    .await;
    assert_eq!(asked(&enabled, ("Accept", "*/*")).await.expect(503).text, "FILE PATH MISSING");
    std::fs::write(at("that"), "").unwrap();
    let page = asked(&enabled, ("Accept", "text/html")).await.expect(200);
    assert!(page.header("content-type").starts_with("text/html") && page.text.contains("<td>OK</td>"));
}

#[tokio::test]
async fn unknown_routes_and_wrong_methods() {
    let api = Api::start().await;
    for path in [
        "/v1",
        "/v1/jobs",
        "/v2/p1",
        "/v2/p1/nothing",
        "/v2/p1/jobs/a/b",
        "/v3/p1/jobs",
        "/favicon.ico",
        "/v2/p1/sessions/s/actions",
    ] {
        let answer = api.send(api.request(ALICE, "GET", path)).await.expect(404);
        assert_eq!(answer.json(), json!({"title": "404 Not Found"}), "{path}");
        assert_eq!((answer.header("content-type"), answer.header("vary")), ("application/json", "Accept"));
    }
    for (path, allow) in [
        ("/v2", "GET, OPTIONS"),
        ("/v2/p1/jobs", "GET, POST, OPTIONS"),
        ("/v2/p1/jobs/x", "GET, PATCH, POST, DELETE, OPTIONS"),
        ("/v2/p1/jobs/x/event", "POST, OPTIONS"),
        ("/v2/p1/jobs/x/runs", "GET, OPTIONS"),
        ("/v2/p1/runs", "GET, OPTIONS"),
        ("/v2/p1/runs/x", "GET, PATCH, OPTIONS"),
        ("/v2/p1/actions", "GET, POST, OPTIONS"),
        ("/v2/p1/actions/x", "GET, PATCH, POST, DELETE, OPTIONS"),
        ("/v2/p1/clients", "GET, POST, OPTIONS"),
        ("/v2/p1/clients/x", "GET, DELETE, OPTIONS"),
        ("/v2/p1/sessions", "GET, POST, OPTIONS"),
        ("/v2/p1/sessions/x", "GET, PATCH, POST, DELETE, OPTIONS"),
        ("/v2/p1/sessions/x/action", "POST, OPTIONS"),
        ("/v2/p1/backups", "GET, POST, OPTIONS"),
        ("/v2/p1/backups/x", "GET, PATCH, DELETE, OPTIONS"),
    ] {
        let answer = api.send(api.request(ALICE, "PUT", path)).await.expect(405);
        assert_eq!(answer.json(), json!({"title": "405 Method Not Allowed"}), "{path}");
        assert_eq!((answer.header("allow"), answer.header("vary")), (allow, "Accept"), "{path}");
        let answer = api.send(api.request(ALICE, "OPTIONS", path)).await.expect(200);
        assert_eq!((answer.header("allow"), answer.text.as_str()), (allow, ""), "{path}");
    }
    let answer = api.send(api.request(ALICE, "POST", "/v2/p1/sessions/x/jobs/y")).await.expect(405);
    assert_eq!(answer.header("allow"), "PUT, DELETE, OPTIONS");
}

#[tokio::test]
async fn slashes_are_served_and_never_redirected() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    for path in ["/v2/p1/jobs", "/v2/p1/jobs/", "/v2/p1//jobs", "//v2/p1/jobs//"] {
        api.send(api.request(ALICE, "POST", path).body(job_body().to_string())).await.expect(201);
        let listed = api.send(api.request(ALICE, "GET", &format!("{path}?limit=1"))).await.expect(200);
        assert_eq!(listed.json()["jobs"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn content_types_do_not_matter_and_accept_does() {
    let api = Api::start().await;
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "no type at all"] {
        let mut request = api
            .request(ALICE, "POST", "/v2/p1/backups")
            .body(r#"{"container": "c", "hostname": "h", "backup_name": "b"}"#);
        if !kind.is_empty() {
            request = request.header("Content-Type", kind);
        }
        api.send(request).await.expect(201);
    }
    for (accept, status) in [
        ("application/json", 200),
        ("*/*", 200),
        ("text/html, */*;q=0.5", 200),
        ("text/html", 406),
        ("application/xml", 406),
    ] {
        let answer = api.send(api.request(ALICE, "GET", "/v2/p1/backups").header("Accept", accept)).await;
        assert_eq!(answer.status, status, "{accept}");
        assert!(status == 200 || answer.text.is_empty());
    }
}

#[tokio::test]
async fn request_ids_are_adopted_made_and_safe() {
    let api = Api::start().await;
    let with = async |sent: &str| {
        let request = api.request(ALICE, "GET", "/v2/p1/jobs").header("X-OpenStack-Request-ID", sent);
        api.send(request).await.header("x-openstack-request-id").to_owned()
    };
    let id = "req-3f1f8c4e-5b3a-4a57-9a0e-0f1a2b3c4d5e";
    assert_eq!(with(id).await, id);
    assert_eq!(with(&id["req-".len()..]).await, id);
    let made = with("forged id [admin admin]").await;
    assert!(made.starts_with("req-") && made.len() == 40, "{made}");
    // also on refusals
    let answer = api.send(api.request(NOBODY, "GET", "/v2/p1/jobs")).await.expect(403);
    assert!(answer.header("x-openstack-request-id").starts_with("req-"));
    // not where nobody was authenticated
    for path in ["/", "/healthcheck", "/healthcheck/"] {
        let answer = api.send(api.request(ALICE, "GET", path).header("X-OpenStack-Request-ID", id)).await;
        assert_eq!(answer.headers.get("x-openstack-request-id"), None, "{path}");
    }
    assert!(!api.send(api.request(ALICE, "GET", "/v2")).await.header("x-openstack-request-id").is_empty());
}

#[tokio::test]
async fn absent_items_are_an_empty_404() {
    let api = Api::start().await;
    for path in
        ["/jobs/x", "/actions/x", "/sessions/x", "/clients/x", "/backups/x", "/runs/x", "/jobs/x/runs"]
    {
        let answer = api.get(ALICE, path).await.expect(404);
        assert_eq!((answer.text.as_str(), answer.header("content-length")), ("", "0"), "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    for (path, kind) in
        [("/jobs/x", "Job"), ("/actions/x", "Action"), ("/sessions/x", "Session"), ("/backups/x", "Backup")]
    {
        let answer = api.call(ALICE, "PATCH", path, json!({})).await;
        answer.expect_error(404, "Not Found", &format!("{kind} x not found"));
    }
    for path in ["/jobs/x", "/actions/x", "/sessions/x", "/clients/x", "/backups/x"] {
        let answer = api.call(ALICE, "DELETE", path, Value::Null).await.expect(204);
        assert_eq!(answer.text, "");
    }
}

#[tokio::test]
async fn metrics_count_by_route_and_only_where_asked_for() {
    let api = Api::start().await;
    api.send(api.request(ALICE, "GET", "/metrics")).await.expect(404);
    let api = Api::start_with(|options| options.serves_metrics = true, Notices::default()).await;
    api.get(ALICE, "/jobs/one").await.expect(404);
    api.get(ALICE, "/jobs/two").await.expect(404);
    let text = api.send(api.request(ALICE, "GET", "/metrics")).await.expect(200).text;
    let line =
        r#"freezer_api_requests_total{route="/v2/{project_id}/jobs/{job_id}",method="GET",status="404"} 2"#;
    assert!(text.contains(line), "{text}");
    assert!(text.contains("freezer_api_request_duration_seconds_bucket"), "{text}");
    assert!(!text.contains("/jobs/one"), "{text}");
    assert!(text.contains("freezer_api_requests_in_progress 1"), "{text}");
}
