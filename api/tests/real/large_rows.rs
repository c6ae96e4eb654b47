//! Rows of the largest legal size, many of them: lists and searches of them take no more memory than a piece of the list.

use crate::stage::{Person, Stage};
use serde_json::{Value, json};

const ROWS: usize = 200;
/// What a document of 64 KiB still has room for beside its names.
const FILL_BYTES: usize = 64_000;

/// Lists of short texts: as a tree of values such a thing takes many times its size.
fn fill(bytes: usize) -> Value {
    json!(vec!["abcdefgh"; bytes / 11])
}

fn memory_kib(stage: &Stage, what: &str) -> u64 {
    let pid = stage.daemon.pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap().to_owned();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

async fn make(stage: &Stage, who: &Person) {
    stage.call(who, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
    for number in 0..ROWS {
        let record =
            json!({"container": "c", "hostname": "h", "backup_name": "b", "broken_links": fill(FILL_BYTES)});
        stage.call(who, "POST", "/backups", record).await.expect(201);
        let options = json!({"action": "backup", "excluded": fill(FILL_BYTES)});
        let action = json!({"freezer_action": options});
        stage.call(who, "POST", &format!("/actions/a{number}"), action).await.expect(201);
    }
    // Each job has as much as a job may have.
    for number in 0..ROWS {
        let actions: Vec<Value> =
            (0..4).map(|n| json!({"action_id": format!("a{}", (number + n) % ROWS)})).collect();
        let job = json!({"client_id": "node1", "job_actions": actions});
        stage.call(who, "POST", &format!("/jobs/j{number}"), job).await.expect(201);
    }
    let status = "s".repeat(255);
    let member = json!({"client_id": "node1", "status": status, "result": status});
    let members: serde_json::Map<String, Value> =
        (0..ROWS).map(|number| (format!("j{number}"), member.clone())).collect();
    for number in 0..ROWS / 4 {
        let session = json!({"schedule": {}, "session_tag": 0, "jobs": members});
        stage.call(who, "POST", &format!("/sessions/s{number}"), session).await.expect(201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_large_rows_take_no_more_memory_than_a_piece() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    make(&stage, &demo).await;
    let before = memory_kib(&stage, "VmRSS");
    for (list, count) in [("backups", ROWS), ("actions", ROWS), ("jobs", ROWS), ("sessions", ROWS / 4)] {
        let path = format!("/{list}?limit=1000");
        let whole = stage.call(&demo, "GET", &path, Value::Null).await.expect(200);
        let listed = whole.json()[list].as_array().unwrap().len();
        assert_eq!(listed, count, "{list}");
        if list == "backups" || list == "actions" {
            assert!(whole.text.len() > ROWS * FILL_BYTES, "{list}: nothing of it was left out");
        }
        for search in [json!({"match": [{"_all": "no such text"}]}), json!({"match_not": [{"nothing": 1}]})] {
            let found = stage.call(&demo, "GET", &path, search.clone()).await.expect(200).json();
            let expected = if search.get("match").is_some() { 0 } else { count };
            assert_eq!(found[list].as_array().unwrap().len(), expected, "{list} {search}");
        }
    }
    let (peak, now) = (memory_kib(&stage, "VmHWM"), memory_kib(&stage, "VmRSS"));
    println!("before {before} KiB, peak {peak} KiB, afterwards {now} KiB");
    assert!(peak - before < 96 << 10, "peak {peak} KiB, before {before} KiB");
    assert!(now.saturating_sub(before) < 64 << 10, "now {now} KiB, before {before} KiB");
}

/// Rows that are larger than anything that can be written today: an import brought them, or an older version.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_is_taken_today_can_be_read() {
    let stage = Stage::start();
    let demo = stage.person("demo", "demo").await;
    let record = json!({"container": "c", "hostname": "h", "backup_name": "b"});
    let made = stage.call(&demo, "POST", "/backups", record).await.expect(201).json();
    let path = format!("/backups/{}", made["backup_id"].as_str().unwrap());
    let mut long =
        json!({"container": "c", "hostname": "h", "backup_name": "b", "time_stamp": 1, "links": []});
    let start = long.to_string().trim_end_matches("]}").to_owned();
    // A statement's text is an argument of a program here, and those are not so long.
    stage.sql(&format!(
        "UPDATE backups SET metadata = CONCAT('{start}', REPEAT('\"abcdefgh\",', 50000), '1]}}')"
    ));
    long["links"] = vec![json!("abcdefgh"); 50_000].into_iter().chain([json!(1)]).collect();
    let shown = stage.call(&demo, "GET", &path, Value::Null).await.expect(200).json();
    assert_eq!(shown["backup_metadata"], long);
    // It may be changed as long as it does not grow.
    stage.call(&demo, "PATCH", &path, json!({"status": "error"})).await.expect(200);
    stage.call(&demo, "PATCH", &path, json!({"backup_metadata": {"links": [1]}})).await.expect(200);
    let grown = json!({"backup_metadata": {"links": fill(70_000)}});
    let refused = stage.call(&demo, "PATCH", &path, grown).await.expect(400).json();
    let said = refused["description"].as_str().unwrap();
    assert!(said.contains("'backup_metadata'") && said.contains("at most 65535"), "{said}");
}
