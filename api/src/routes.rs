//! Every route of the service on one screen.
//!
//! `P` is `/v2/{project_id}`. A path answers the verbs named here and OPTIONS; others get 405 with `Allow`. All of it
//! stands behind authentication, so an unknown path is 404 only to callers who may know.

use crate::call::Call;
use crate::error::ApiError;
use crate::{actions, agents, backups, clients, jobs, quotas, runs, sessions, versions};
use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::web::{self, ServiceConfig};
use actix_web::{Handler, HttpResponse, Responder, Route};

/// The paths behind authentication.
pub fn configure(app: &mut ServiceConfig) {
    app.service(
        web::resource("/v2").route(web::get().to(versions::home)).default_service(refuse(&[Method::GET])),
    );

    path(app, "/jobs", vec![get(jobs::list), post(jobs::create)]);
    path(
        app,
        "/jobs/{job_id}",
        vec![get(jobs::show), patch(jobs::update), post(jobs::replace), delete(jobs::delete)],
    );
    path(app, "/jobs/{job_id}/event", vec![post(jobs::event)]);
    path(app, "/jobs/{job_id}/runs", vec![get(runs::list_of_job)]);

    path(app, "/quotas", vec![get(quotas::show), put(quotas::put), delete(quotas::delete)]);
    path(app, "/usage", vec![get(quotas::usage)]);

    path(app, "/runs", vec![get(runs::list)]);
    path(app, "/runs/{run_id}", vec![get(runs::show)]);

    path(app, "/actions", vec![get(actions::list), post(actions::create)]);
    path(
        app,
        "/actions/{action_id}",
        vec![get(actions::show), patch(actions::update), post(actions::replace), delete(actions::delete)],
    );

    path(app, "/sessions", vec![get(sessions::list), post(sessions::create)]);
    path(
        app,
        "/sessions/{session_id}",
        vec![get(sessions::show), patch(sessions::update), post(sessions::replace), delete(sessions::delete)],
    );
    path(app, "/sessions/{session_id}/action", vec![post(sessions::act)]);
    path(
        app,
        "/sessions/{session_id}/jobs/{job_id}",
        vec![put(sessions::add_job), delete(sessions::remove_job)],
    );

    path(app, "/clients", vec![get(clients::list), post(clients::create)]);
    path(app, "/clients/{client_id}", vec![get(clients::show), delete(clients::delete)]);

    path(app, "/agents/{client_id}/hello", vec![post(agents::hello)]);
    path(app, "/agents/{client_id}/heartbeat", vec![post(agents::heartbeat)]);
    path(app, "/agents/{client_id}/started", vec![post(agents::started)]);
    path(app, "/agents/{client_id}/progress", vec![post(agents::progress)]);
    path(app, "/agents/{client_id}/finished", vec![post(agents::finished)]);
    path(app, "/agents/{client_id}/work", vec![post(agents::work)]);

    path(app, "/backups", vec![get(backups::list), post(backups::create)]);
    path(
        app,
        "/backups/{backup_id}",
        vec![get(backups::show), patch(backups::update), delete(backups::delete)],
    );
}

type Verb = (Method, Route);

fn path(app: &mut ServiceConfig, below_project: &str, verbs: Vec<Verb>) {
    let methods: Vec<Method> = verbs.iter().map(|(method, _)| method.clone()).collect();
    let mut resource = web::resource(format!("/v2/{{project_id}}{below_project}"));
    for (_, route) in verbs {
        resource = resource.route(route);
    }
    app.service(resource.default_service(refuse(&methods)));
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
