//! The story of the demo, step by step.

use super::rest::Rest;
use super::watch::{next_run, number, text};
use super::{DemoArgs, tree};
use crate::service::{PROJECT, Service, TOKEN};
use indicatif::{HumanBytes, HumanDuration};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Trees that most machines have; the first of a good size is taken.
const CANDIDATES: [&str; 6] =
    ["/usr/share/doc", "/usr/include", "/usr/lib/python3", "/usr/share/perl", "/usr/share", "/etc"];
const GOOD_SIZE_BYTES: std::ops::RangeInclusive<u64> = (5 << 20)..=(400 << 20);
/// The schedule of the demo's job.
const EVERY: &str = "8 seconds";

/// Where everything lies.
struct Places {
    root: PathBuf,
    source: PathBuf,
    store: PathBuf,
    newest: PathBuf,
    older: PathBuf,
}

/// Tells the whole story; an error is the first thing that was not as it must be.
pub async fn tell(args: &DemoArgs) -> Result<(), String> {
    let began = Instant::now();
    let places = make_places(args)?;
    println!("Freezer in one process. Everything is under {}\n", places.root.display());
    let from = args.path.clone().map_or_else(choose_tree, Ok)?;
    let copied = tree::copy(&from, &places.source, args.limit_mib << 20)
        .map_err(|error| format!("copying {}: {error}", from.display()))?;
    let first = tree::snapshot(&places.source).map_err(|error| error.to_string())?;
    println!(
        "1. Source     a copy of {}: {} in {} files",
        from.display(),
        HumanBytes(copied),
        tree::size(&first).1
    );
    if tree::size(&first).1 == 0 {
        return Err(format!("{} holds no file that could be read", from.display()));
    }

    crate::log_into(&places.root)?;
    let port = args.port.unwrap_or(if args.serve { 9090 } else { 0 });
    let service = Service::start(&places.root, port).await?;
    let rest = Rest::new(format!("{}/v2/{PROJECT}", service.url), TOKEN.to_owned())?;
    println!("2. Service    {}  (SQLite, in-process bus, no authentication, local storage)", service.url);
    let client_id = service.client_id.as_str();
    rest.post("/clients", &json!({"client_id": client_id, "hostname": service.hostname})).await?;
    println!("3. Host       registered as {client_id}");
    let ended = protect_and_restore(&rest, client_id, &places, &first).await;
    if let Err(error) = ended {
        service.stop().await;
        return Err(format!("{error}\nThe log is {}", places.root.join("freezer.log").display()));
    }
    println!(
        "\nDone in {}. Both restored trees are equal to what was saved.\n",
        HumanDuration(began.elapsed())
    );
    what_next(&service.url, &places, args.serve);
    if args.serve {
        println!("\nServing until Ctrl-C.");
        freezer_agent::serve::stop_signal().await;
    }
    service.stop().await;
    Ok(())
}

async fn protect_and_restore(
    rest: &Rest,
    client_id: &str,
    places: &Places,
    first: &tree::Snapshot,
) -> Result<(), String> {
    let job_id = create_job(rest, client_id, places).await?;
    println!("4. Job        {job_id}: every {EVERY}, incremental, then rotation (keep the last 5)");
    let full = next_run(rest, &job_id, "backup", |_| true).await?;
    report("5. Backup", &full);
    let older_time = number(&full, "/steps/0/result/backup_metadata/time_stamp");

    println!("6. Changes");
    for line in tree::change(&places.source, first).map_err(|error| error.to_string())? {
        println!("   {line}");
    }
    let second = tree::snapshot(&places.source).map_err(|error| error.to_string())?;
    let changed_at = chrono::Utc::now().timestamp();
    // A firing that began before the last change may have missed it; the first one after it has not.
    let after =
        move |run: &Value| run.get("started_at").and_then(Value::as_i64).is_some_and(|at| at > changed_at);
    let incremental = next_run(rest, &job_id, "backup", after).await?;
    report("7. Backup", &incremental);
    rest.post(&format!("/jobs/{job_id}/event"), &json!({"stop": null})).await?;

    let newest = restore(rest, client_id, places, &places.newest, None).await?;
    check("8. Restore", "the newest state", &newest, &places.newest, &second)?;
    let older = restore(rest, client_id, places, &places.older, Some(older_time)).await?;
    check("9. Restore", "the older state", &older, &places.older, first)
}

async fn create_job(rest: &Rest, client_id: &str, places: &Places) -> Result<String, String> {
    let action = |more: Value| {
        let mut action = json!({"storage": "local", "container": places.store, "backup_name": "demo", "mode": "fs", "engine_name": "tar"});
        if let (Some(action), Some(more)) = (action.as_object_mut(), more.as_object()) {
            action.extend(more.clone());
        }
        json!({"freezer_action": action, "max_retries": 0})
    };
    let job = json!({
        "description": "demo",
        "client_id": client_id,
        "job_schedule": {"schedule_interval": EVERY, "schedule_start_date": chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string()},
        "job_actions": [
            action(json!({"action": "backup", "path_to_backup": places.source, "incremental": true, "max_level": 6, "compression": "zstd"})),
            action(json!({"action": "admin", "keep_last": 5})),
        ],
    });
    let created = rest.post("/jobs", &job).await?;
    Ok(text(&created, "job_id").to_owned())
}

/// A restore is a job like any other: without a schedule it runs once.
async fn restore(
    rest: &Rest,
    client_id: &str,
    places: &Places,
    target: &Path,
    at: Option<u64>,
) -> Result<Value, String> {
    let mut action = json!({"action": "restore", "storage": "local", "container": places.store, "backup_name": "demo", "mode": "fs",
        "engine_name": "tar", "restore_abs_path": target});
    if let (Some(at), Some(action)) = (at.and_then(|at| i64::try_from(at).ok()), action.as_object_mut()) {
        let date =
            chrono::DateTime::from_timestamp(at, 0).map(|date| date.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        action.insert("restore_from_date".into(), json!(date));
    }
    let job = json!({"description": "demo restore", "client_id": client_id, "job_schedule": {},
        "job_actions": [{"freezer_action": action, "max_retries": 0}]});
    let created = rest.post("/jobs", &job).await?;
    next_run(rest, text(&created, "job_id"), "restore", |_| true).await
}

fn report(title: &str, run: &Value) {
    let part = |name: &str| number(run, &format!("/steps/0/result/backup_metadata/{name}"));
    println!(
        "{title}     level {}: read {} in {} entries, stored {}, {}",
        part("curr_backup_level"),
        HumanBytes(part("bytes_read")),
        part("files"),
        HumanBytes(part("bytes_stored")),
        took(run)
    );
}

fn took(run: &Value) -> String {
    let at = |key: &str| run.get(key).and_then(Value::as_i64).unwrap_or(0);
    format!("{} s", (at("finished_at") - at("started_at")).max(0))
}

fn check(title: &str, what: &str, run: &Value, target: &Path, wanted: &tree::Snapshot) -> Result<(), String> {
    let found = tree::snapshot(target).map_err(|error| format!("reading {}: {error}", target.display()))?;
    let differences = tree::differences(wanted, &found);
    if differences.is_empty() {
        let (bytes, files) = tree::size(&found);
        println!("{title}    {what}: {} in {files} files, {}; equal", HumanBytes(bytes), took(run));
        return Ok(());
    }
    let shown: Vec<&str> = differences.iter().take(10).map(String::as_str).collect();
    Err(format!("{what} is NOT equal, {} differences:\n  {}", differences.len(), shown.join("\n  ")))
}

fn make_places(args: &DemoArgs) -> Result<Places, String> {
    let root = match &args.dir {
        Some(dir) => dir.clone(),
        None => std::env::temp_dir().join(format!("freezer-demo-{}", std::process::id())),
    };
    if root.exists()
        && std::fs::read_dir(&root).map_err(|error| format!("{}: {error}", root.display()))?.next().is_some()
    {
        return Err(format!("{} is not empty; choose another --dir", root.display()));
    }
    let make = |name: &str| {
        use std::os::unix::fs::DirBuilderExt;
        let path = root.join(name);
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map(|()| path).map_err(|error| format!("{}: {error}", root.display()))
    };
    make("")?;
    let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
    let under = |name: &str| root.join(name);
    Ok(Places {
        source: under("source"),
        store: under("backups"),
        newest: under("restored-newest"),
        older: under("restored-older"),
        root,
    })
}

fn choose_tree() -> Result<PathBuf, String> {
    let size = |path: &Path| {
        let mut total = 0u64;
        let mut folders = vec![path.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let items = std::fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok);
            for item in items {
                match item.metadata() {
                    Ok(meta) if meta.is_dir() => folders.push(item.path()),
                    Ok(meta) => total += meta.len(),
                    Err(_) => {}
                }
            }
        }
        total
    };
    let found = CANDIDATES.iter().map(PathBuf::from).find(|path| GOOD_SIZE_BYTES.contains(&size(path)));
    found.ok_or_else(|| "found no tree of a good size here; give one: demo PATH".to_owned())
}

fn what_next(url: &str, places: &Places, serving: bool) {
    println!("Look at it:");
    println!("  backups        {}", places.store.display());
    println!("  restored       {}  and  {}", places.newest.display(), places.older.display());
    println!("  log, database  {}", places.root.display());
    println!("With --serve (then on {}), for example:", if serving { url } else { "http://127.0.0.1:9090" });
    let url = if serving { url } else { "http://127.0.0.1:9090" };
    println!("  curl -H 'X-Auth-Token: {TOKEN}' {url}/v2/{PROJECT}/jobs");
    println!("  openstack --os-auth-type none --os-endpoint {url}/v2/{PROJECT} backup job list");
    println!("Restore by hand, without any service:");
    println!("  freezer-agent --action restore --storage local --container {} \\", places.store.display());
    println!("      --backup-name demo --restore-abs-path /tmp/demo-restored");
    println!("Remove it all: rm -r {}", places.root.display());
}
