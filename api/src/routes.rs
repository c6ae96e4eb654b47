//! Every route of the service on one screen.
//!
//! `P` stands for `/v2/{project_id}`. A path answers the verbs named here and OPTIONS; others get 405 with `Allow`. All of it
//! stands behind authentication, so an unknown path is 404 only to callers who may know.

use crate::call::Call;
use crate::error::ApiError;
use crate::{actions, agents, backups, clients, jobs, quotas, runs, sessions, versions};
use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::web::{self, ServiceConfig};
use actix_web::{Handler, HttpResponse, Resource, Responder, Route, Scope};
use std::collections::BTreeMap;

/// The one table of what stands behind authentication: it configures the server, and the OpenAPI document is compared with it.
fn table() -> Vec<(&'static str, Vec<Verb>)> {
    vec![
        ("/v2", vec![(Method::GET, web::get().to(versions::home))]),
        ("P/jobs", vec![get(jobs::list), post(jobs::create)]),
        (
            "P/jobs/{job_id}",
            vec![get(jobs::show), patch(jobs::update), post(jobs::replace), delete(jobs::delete)],
        ),
        ("P/jobs/{job_id}/event", vec![post(jobs::event)]),
        ("P/jobs/{job_id}/runs", vec![get(runs::list_of_job)]),
        ("P/quotas", vec![get(quotas::show), put(quotas::put), delete(quotas::delete)]),
        ("P/usage", vec![get(quotas::usage)]),
        ("P/runs", vec![get(runs::list)]),
        ("P/runs/{run_id}", vec![get(runs::show), patch(runs::update)]),
        ("P/actions", vec![get(actions::list), post(actions::create)]),
        (
            "P/actions/{action_id}",
            vec![get(actions::show), patch(actions::update), post(actions::replace), delete(actions::delete)],
        ),
        ("P/sessions", vec![get(sessions::list), post(sessions::create)]),
        (
            "P/sessions/{session_id}",
            vec![
                get(sessions::show),
                patch(sessions::update),
                post(sessions::replace),
                delete(sessions::delete),
            ],
        ),
        ("P/sessions/{session_id}/action", vec![post(sessions::act)]),
        ("P/sessions/{session_id}/jobs/{job_id}", vec![put(sessions::add_job), delete(sessions::remove_job)]),
        ("P/clients", vec![get(clients::list), post(clients::create)]),
        ("P/clients/{client_id}", vec![get(clients::show), delete(clients::delete)]),
        ("P/agents/{client_id}/hello", vec![post(agents::hello)]),
        ("P/agents/{client_id}/heartbeat", vec![post(agents::heartbeat)]),
        ("P/agents/{client_id}/started", vec![post(agents::started)]),
        ("P/agents/{client_id}/progress", vec![post(agents::progress)]),
        ("P/agents/{client_id}/finished", vec![post(agents::finished)]),
        ("P/agents/{client_id}/work", vec![post(agents::work)]),
        ("P/backups", vec![get(backups::list), post(backups::create)]),
        ("P/backups/retention-plan", vec![post(backups::plan_retention)]),
        ("P/backups/{backup_id}", vec![get(backups::show), patch(backups::update), delete(backups::delete)]),
    ]
}

type Verb = (Method, Route);

/// The path as the router and the documents spell it.
pub(crate) fn full(path: &str) -> String {
    path.strip_prefix('P').map_or_else(|| path.to_owned(), |rest| format!("/v2/{{project_id}}{rest}"))
}

/// The paths behind authentication. The router tries one after the other, so each noun is a scope: its name is compared, and
/// only the patterns below it are tried.
pub fn configure(app: &mut ServiceConfig) {
    let mut nouns: BTreeMap<&str, Scope> = BTreeMap::new();
    for (path, verbs) in table() {
        let Some(below) = path.strip_prefix("P/") else {
            app.service(resource(path, verbs));
            continue;
        };
        let noun = below.split('/').next().unwrap_or_default();
        let scope = nouns.remove(noun).unwrap_or_else(|| web::scope(&format!("/{noun}")));
        let rest = below.strip_prefix(noun).unwrap_or_default();
        nouns.insert(noun, scope.service(resource(rest, verbs)));
    }
    let project = nouns.into_values().fold(web::scope("/v2/{project_id}"), |project, noun| {
        project.service(noun.default_service(web::route().to(unknown)))
    });
    app.service(project.default_service(web::route().to(unknown)));
}

fn resource(path: &str, verbs: Vec<Verb>) -> Resource {
    let methods: Vec<Method> = verbs.iter().map(|(method, _)| method.clone()).collect();
    let resource = verbs.into_iter().fold(web::resource(path), |resource, (_, route)| resource.route(route));
    resource.default_service(refuse(&methods))
}

/// Where nothing is.
pub async fn unknown() -> Result<&'static str, ApiError> {
    Err(ApiError::unknown_route())
}

/// Method and path of every operation behind authentication.
pub fn operations() -> Vec<(Method, String)> {
    let verbs = table().into_iter().map(|(path, verbs)| (full(path), verbs));
    verbs.flat_map(|(path, verbs)| verbs.into_iter().map(move |(method, _)| (method, path.clone()))).collect()
}

/// OPTIONS tells the verbs; any other is not one of them.
fn refuse(methods: &[Method]) -> Route {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    names.push("OPTIONS");
    let allow = names.join(", ");
    web::route().to(move |method: Method| {
        let allow = allow.clone();
        async move {
            if method == Method::OPTIONS {
                return Ok(HttpResponse::Ok().insert_header((ALLOW, allow)).finish());
            }
            Err(ApiError::wrong_method(allow))
        }
    })
}

fn get<F>(handler: F) -> Verb
where
    F: Handler<(Call,)>,
    F::Output: Responder + 'static,
{
    (Method::GET, web::get().to(handler))
}

fn post<F>(handler: F) -> Verb
where
    F: Handler<(Call,)>,
    F::Output: Responder + 'static,
{
    (Method::POST, web::post().to(handler))
}

fn put<F>(handler: F) -> Verb
where
    F: Handler<(Call,)>,
    F::Output: Responder + 'static,
{
    (Method::PUT, web::put().to(handler))
}

fn patch<F>(handler: F) -> Verb
where
    F: Handler<(Call,)>,
    F::Output: Responder + 'static,
{
    (Method::PATCH, web::patch().to(handler))
}

fn delete<F>(handler: F) -> Verb
where
    F: Handler<(Call,)>,
    F::Output: Responder + 'static,
{
    (Method::DELETE, web::delete().to(handler))
}
