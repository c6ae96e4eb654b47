//! session-create, -get, -list, -delete, -add-job, -remove-job, -list-job

use super::super::exit::Failure;
use super::super::table;
use super::Said;
use super::service::{Service, item_path, read, show, shown};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;

pub async fn create(service: &Service, said: &Said<'_>) -> Result<(), Failure> {
    let document = read(Path::new(said.needed("file", "--file FILE")?))?;
    println!("Created session {}", service.create("sessions", "session_id", &document).await?);
    Ok(())
}

pub async fn get(service: &Service, said: &Said<'_>) -> Result<(), Failure> {
    show(&service.item("sessions", said.session()?).await?, said.text("file"))
}

pub async fn list(service: &Service) -> Result<(), Failure> {
    let titles = ["session_id", "tag", "status", "description", "jobs", "last_start"];
    let row = |session: &Value| {
        let text = |key: &str| shown(session, key);
        let jobs = session.get("jobs").and_then(Value::as_object).map_or(0, serde_json::Map::len);
        let (id, tag, status) = (text("/session_id"), text("/session_tag"), text("/status"));
        vec![id, tag, status, text("/description"), jobs.to_string(), text("/last_start")]
    };
    let sessions = service.all("sessions", &json!({})).await?;
    table::print(&titles, &sessions.iter().map(row).collect::<Vec<_>>());
    Ok(())
}

pub async fn delete(service: &Service, said: &Said<'_>) -> Result<(), Failure> {
    let id = said.session()?;
    service.must(Method::DELETE, &item_path("sessions", id), None).await?;
    println!("Deleted session {id}");
    Ok(())
}

pub async fn add_job(service: &Service, said: &Said<'_>) -> Result<(), Failure> {
    let session = said.session()?;
    for job in said.jobs()? {
        service.must(Method::PUT, &member_path(session, job), None).await?;
        println!("Added job {job} to session {session}");
    }
    Ok(())
}

pub async fn remove_job(service: &Service, said: &Said<'_>) -> Result<(), Failure> {
    let session = said.session()?;
    for job in said.jobs()? {
        service.must(Method::DELETE, &member_path(session, job), None).await?;
        println!("Removed job {job} from session {session}");
    }
    Ok(())
}

fn member_path(session: &str, job: &str) -> String {
    item_path("sessions", session) + &item_path("jobs", job)
}

pub async fn list_job(service: &Service, said: &Said<'_>) -> Result<(), Failure> {
    let session = service.item("sessions", said.session()?).await?;
    let row = |(id, job): (&String, &Value)| {
        vec![id.clone(), shown(job, "/status"), shown(job, "/result"), shown(job, "/client_id")]
    };
    let jobs = session.get("jobs").and_then(Value::as_object);
    let rows: Vec<Vec<String>> = jobs.map(|jobs| jobs.iter().map(row).collect()).unwrap_or_default();
    table::print(&["job_id", "status", "result", "client_id"], &rows);
    Ok(())
}
