//! `/v2`: the home document (JSON-home), for any valid token.

use crate::error::ApiError;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};

/// Relation, path below the project, parameters after `?`, verbs.
const RESOURCES: [(&str, &str, &[&str], &[&str]); 26] = [
    // Upstream's entry shows the item's template and one verb; clients compare it word for word.
    ("rel/backups", "/backups/{backup_id}", &[], &["GET"]),
    ("rel/backup", "/backups/{backup_id}", &[], &["GET", "PATCH", "DELETE"]),
    ("rel/backup_list", "/backups", &["offset", "limit"], &["GET", "POST"]),
    ("rel/jobs", "/jobs", &["all_projects", "offset", "limit"], &["GET", "POST"]),
    ("rel/job", "/jobs/{job_id}", &[], &["GET", "PATCH", "POST", "DELETE"]),
    ("rel/job_event", "/jobs/{job_id}/event", &[], &["POST"]),
    ("rel/job_runs", "/jobs/{job_id}/runs", &["offset", "limit"], &["GET"]),
    ("rel/runs", "/runs", &["offset", "limit"], &["GET"]),
    ("rel/run", "/runs/{run_id}", &[], &["GET", "PATCH"]),
    ("rel/actions", "/actions", &["offset", "limit"], &["GET", "POST"]),
    ("rel/action", "/actions/{action_id}", &[], &["GET", "PATCH", "POST", "DELETE"]),
    ("rel/clients", "/clients", &["offset", "limit"], &["GET", "POST"]),
    ("rel/client", "/clients/{client_id}", &[], &["GET", "DELETE"]),
    ("rel/sessions", "/sessions", &["offset", "limit"], &["GET", "POST"]),
    ("rel/session", "/sessions/{session_id}", &[], &["GET", "PATCH", "POST", "DELETE"]),
    ("rel/session_action", "/sessions/{session_id}/action", &[], &["POST"]),
    ("rel/session_job", "/sessions/{session_id}/jobs/{job_id}", &[], &["PUT", "DELETE"]),
    ("rel/retention_plan", "/backups/retention-plan", &[], &["POST"]),
    ("rel/quotas", "/quotas", &[], &["GET", "PUT", "DELETE"]),
    ("rel/usage", "/usage", &[], &["GET"]),
    ("rel/agent_hello", "/agents/{client_id}/hello", &[], &["POST"]),
    ("rel/agent_heartbeat", "/agents/{client_id}/heartbeat", &[], &["POST"]),
    ("rel/agent_started", "/agents/{client_id}/started", &[], &["POST"]),
    ("rel/agent_progress", "/agents/{client_id}/progress", &[], &["POST"]),
    ("rel/agent_finished", "/agents/{client_id}/finished", &[], &["POST"]),
    ("rel/agent_work", "/agents/{client_id}/work", &["wait"], &["POST"]),
];

/// Answers with the relations and their templates.
pub async fn home(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    crate::caller::require_identity(&request)?;
    let resources: Map<String, Value> = RESOURCES
        .iter()
        .map(|(relation, path, query, verbs)| ((*relation).to_owned(), entry(path, query, verbs)))
        .collect();
    let document = json!({ "resources": resources });
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json-home")).body(document.to_string()))
}

fn entry(path: &str, query: &[&str], verbs: &[&str]) -> Value {
    let mut template = format!("/v2/{{project_id}}{path}");
    let mut names = vec!["project_id"];
    names.extend(path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')));
    names.extend(query);
    if !query.is_empty() {
        template.push_str(&format!("{{?{}}}", query.join(",")));
    }
    let variables: Map<String, Value> =
        names.into_iter().map(|name| (name.to_owned(), json!(format!("param/{name}")))).collect();
    json!({
        "href-template": template,
        "href-vars": variables,
        "hints": {"allow": verbs, "formats": {"application/json": {}}},
    })
}
