//! Rows of the largest legal size, many of them: lists and searches of them take no more memory than a piece of the list.

use crate::stage::{Person, Stage};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

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

/// Beside the pieces of several lists at once there is one page of jobs, 25 MiB here, that the client library of MySQL held: its
/// allocator may keep that for the next one.
const KEPT_KIB: u64 = (64 + 32) << 10;

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_large_rows_take_no_more_memory_than_a_piece() {
    let stage = Stage::set("[api]\nsend_timeout = 5\n");
    let demo = stage.person("demo", "demo").await;
    make(&stage, &demo).await;
    let before = memory_kib(&stage, "VmRSS");
    for (list, count) in [("backups", ROWS), ("actions", ROWS), ("jobs", ROWS), ("sessions", ROWS / 4)] {
        let page = stage.call(&demo, "GET", &format!("/{list}?limit=100"), Value::Null).await.expect(200);
        assert_eq!(page.json()[list].as_array().unwrap().len(), count.min(100), "{list}");
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
    assert!(now.saturating_sub(before) < KEPT_KIB, "now {now} KiB, before {before} KiB");
    those_who_do_not_read_are_ended(&stage, &demo).await;
    let now = memory_kib(&stage, "VmRSS");
    assert!(now.saturating_sub(before) < KEPT_KIB, "now {now} KiB, before {before} KiB");
    large_pages_of_jobs_do_not_add_up(&stage, &demo).await;
}

/// A hundred jobs with twenty actions each, 25 MiB: eight such lists at once have 200 MiB.
async fn large_pages_of_jobs_do_not_add_up(stage: &Stage, who: &Person) {
    stage.call(who, "POST", "/clients", json!({"client_id": "node2"})).await.expect(201);
    for number in 0..20 {
        let options = json!({"action": "backup", "excluded": fill(12_500)});
        let action = json!({"freezer_action": options});
        stage.call(who, "POST", &format!("/actions/many{number}"), action).await.expect(201);
    }
    let actions: Vec<Value> = (0..20).map(|n| json!({"action_id": format!("many{n}")})).collect();
    for number in 0..100 {
        let job = json!({"client_id": "node2", "job_actions": actions});
        stage.call(who, "POST", &format!("/jobs/many{number:02}"), job).await.expect(201);
    }
    // The peak is that of the process's whole life; here it begins anew.
    std::fs::write(format!("/proc/{}/clear_refs", stage.daemon.pid().unwrap()), "5").unwrap();
    let before = memory_kib(stage, "VmRSS");
    let all = futures_util::future::join_all((0..8).map(|_| is_whole_large_page(stage, who))).await;
    assert_eq!(all, [true; 8]);
    let peak = memory_kib(stage, "VmHWM");
    println!("before {before} KiB, peak {peak} KiB with eight large pages at once");
    // One page as a whole, some piece by piece; all of them would be 200 MiB.
    assert!(peak - before < 128 << 10, "peak {peak} KiB, before {before} KiB");
}

async fn is_whole_large_page(stage: &Stage, who: &Person) -> bool {
    let search = json!({"match": [{"client_id": "node2"}]});
    let page = stage.call(who, "GET", "/jobs?limit=100", search).await.expect(200);
    assert!(page.text.len() > 100 * 20 * 12_000, "something of it was left out");
    let page = page.json();
    let jobs = page["jobs"].as_array().unwrap();
    let is_whole = |job: &Value| {
        let actions = job["job_actions"].as_array().unwrap();
        let ids = actions.iter().filter_map(|action| action["action_id"].as_str());
        ids.eq((0..20).map(|number| format!("many{number}")))
    };
    jobs.len() == 100 && jobs.iter().all(is_whole)
}

/// Whether the server still has its end of a connection from this port.
fn is_held(stage: &Stage, port: u16) -> bool {
    let here: u16 = stage.base.rsplit_once(':').unwrap().1.parse().unwrap();
    let ends = [here, port].map(|port| format!("0100007F:{port:04X}"));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| line.split_whitespace().skip(1).take(2).eq(ends.iter().map(String::as_str)))
}

/// They ask for more than any buffer on the way holds, see that the answer begins, and take no more of it.
async fn those_who_do_not_read_are_ended(stage: &Stage, who: &Person) {
    let address: SocketAddr = stage.base.strip_prefix("http://").unwrap().parse().unwrap();
    let Person { token, project_id, .. } = who;
    let request = format!(
        "GET /v2/{project_id}/backups?limit=1000 HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n\r\n"
    );
    let mut deaf = Vec::new();
    for _ in 0..8 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut begun = [0; 13];
        stream.read_exact(&mut begun).await.unwrap();
        assert_eq!(&begun, b"HTTP/1.1 200 ");
        assert!(is_held(stage, stream.local_addr().unwrap().port()), "what is looked for is not found");
        deaf.push(stream);
    }
    let all_ended = async {
        for stream in &deaf {
            while is_held(stage, stream.local_addr().unwrap().port()) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), all_ended).await.expect("answers are held for ever");
    stage.call(who, "GET", "/backups", Value::Null).await.expect(200);
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
