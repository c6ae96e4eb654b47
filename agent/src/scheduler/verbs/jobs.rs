//! job-create, -delete, -get, -list, -start, -stop, -abort, -download, -upload

use super::super::exit::Failure;
use super::super::{config, table};
use super::Said;
use super::service::{Service, item_path, read, save, show, shown};
use oslo_config::Config;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub async fn create(service: &Service, said: &Said<'_>) -> Result<(), Failure> {
    let document = read(Path::new(said.needed("file", "--file FILE")?))?;
    println!("Created job {}", create_one(service, document).await?);
    Ok(())
}

/// A job without a client is this client's.
async fn create_one(service: &Service, mut document: Value) -> Result<String, Failure> {
    let is_named = document.get("client_id").is_some_and(|id| id.as_str() != Some("") && !id.is_null());
    if let (false, Some(map)) = (is_named, document.as_object_mut()) {
        map.insert("client_id".to_owned(), json!(service.client_id));
    }
    service.create("jobs", "job_id", &document).await
}

pub async fn delete(service: &Service, said: &Said<'_>) -> Result<(), Failure> {
    for id in said.jobs()? {
        service.must(Method::DELETE, &item_path("jobs", id), None).await?;
        println!("Deleted job {id}");
    }
    Ok(())
}

pub async fn get(service: &Service, said: &Said<'_>) -> Result<(), Failure> {
    show(&service.item("jobs", said.job()?).await?, said.text("file"))
}

pub async fn event(service: &Service, said: &Said<'_>, event: &str) -> Result<(), Failure> {
    let (first, rest) = event.split_at(1);
    let word = first.to_uppercase() + rest;
    for id in said.jobs()? {
        let path = format!("{}/event", item_path("jobs", id));
        service.must(Method::POST, &path, Some(&json!({ event: null }))).await?;
        println!("{word} request sent for job {id}");
    }
    Ok(())
}

/// This client's jobs, or all; with `-a` those that are not completed.
async fn wanted(service: &Service, said: &Said<'_>) -> Result<Vec<Value>, Failure> {
    let mut search = service.own_or(said.flag("all"));
    if let (true, Some(search)) = (said.flag("active-only"), search.as_object_mut()) {
        search.insert("match_not".to_owned(), json!([{"status": "completed"}]));
    }
    service.all("jobs", &search).await
}

pub async fn list(service: &Service, said: &Said<'_>) -> Result<(), Failure> {
    let titles =
        ["job_id", "client-id", "description", "# actions", "status", "event", "result", "session_id"];
    let row = |job: &Value| {
        let text = |key: &str| shown(job, key);
        let actions = job.get("job_actions").and_then(Value::as_array).map_or(0, Vec::len);
        vec![
            text("/job_id"),
            text("/client_id"),
            text("/description"),
            actions.to_string(),
            text("/job_schedule/status"),
            text("/job_schedule/event"),
            text("/job_schedule/result"),
            text("/session_id"),
        ]
    };
    let jobs = wanted(service, said).await?;
    table::print(&titles, &jobs.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

pub async fn download(service: &Service, said: &Said<'_>, settings: &Config) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let folder = config::jobs_dir(settings);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|error| Failure::command(format!("{}: {error}", folder.display())))?;
    for job in wanted(service, said).await? {
        let id = shown(&job, "/job_id");
        // An id is what a client once chose; it must not lead out of the folder.
        let safe: String =
            id.chars().map(|c| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect();
        let file = folder.join(format!("job_{safe}.conf"));
        save(&file, &job)?;
        println!("Saved job {id} to {}", file.display());
    }
    Ok(())
}

pub async fn upload(service: &Service, settings: &Config) -> Result<(), Failure> {
    let folder = config::jobs_dir(settings);
    let failed = |error: std::io::Error| Failure::command(format!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("conf")) {
            files.push(path);
        }
    }
    files.sort();
    // All are read before the first one is sent: a bad file is no half upload.
    let documents = files.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
    for (file, document) in files.iter().zip(documents) {
        let id = create_one(service, document)
            .await
            .map_err(|failure| Failure::command(format!("{}: {}", file.display(), failure.message)))?;
        println!("Created job {id}");
    }
    Ok(())
}
