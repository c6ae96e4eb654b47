//! One operation of the document. Its summary and its policy rule are those of [`crate::policy`].

use crate::validate::names::ID_MAX;
use crate::{policy, routes};
use serde_json::{Map, Value, json};

/// What is said about one method on one path.
pub struct Operation {
    method: &'static str,
    path: String,
    summary: Option<&'static str>,
    /// Name of the schema of the body, and whether a body must be there.
    request: Option<(&'static str, bool)>,
    status: u16,
    /// Name of the schema of the answer; none for an empty one.
    answer: Option<&'static str>,
    /// What may go wrong beyond what may always go wrong.
    errors: &'static [u16],
    query: &'static [&'static str],
    has_token: bool,
}

/// `path` as in the table of routes: `P` is `/v2/{project_id}`.
fn operation(method: &'static str, path: &str, status: u16, answer: Option<&'static str>) -> Operation {
    Operation {
        method,
        path: routes::full(path),
        summary: None,
        request: None,
        status,
        answer,
        errors: &[],
        query: &[],
        has_token: true,
    }
}

pub fn get(path: &str, answer: &'static str) -> Operation {
    operation("GET", path, 200, Some(answer)).fails(&[404])
}

/// A list: paged, and with a search document in the body.
pub fn list(path: &str, answer: &'static str) -> Operation {
    let listed = operation("GET", path, 200, Some(answer)).query(&["limit", "offset"]);
    Operation { request: Some(("Search", false)), errors: &[400, 413], ..listed }
}

pub fn post(path: &str, request: &'static str, status: u16, answer: &'static str) -> Operation {
    Operation { request: Some((request, true)), ..operation("POST", path, status, Some(answer)) }
}

pub fn patch(path: &str, request: &'static str, answer: &'static str) -> Operation {
    Operation { request: Some((request, true)), ..operation("PATCH", path, 200, Some(answer)) }
}

/// A replacement that answers with what is there then.
pub fn put_document(path: &str, request: &'static str, answer: &'static str) -> Operation {
    Operation { request: Some((request, true)), ..operation("PUT", path, 200, Some(answer)) }
}

pub fn put(path: &str) -> Operation {
    operation("PUT", path, 204, None)
}

pub fn delete(path: &str) -> Operation {
    operation("DELETE", path, 204, None)
}

impl Operation {
    pub fn fails(self, errors: &'static [u16]) -> Self {
        Self { errors, ..self }
    }
    pub fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }
    pub fn summary(self, summary: &'static str) -> Self {
        Self { summary: Some(summary), ..self }
    }
    pub fn optional_body(self) -> Self {
        Self { request: self.request.map(|(name, _)| (name, false)), ..self }
    }
    /// Answers everybody, with this status.
    pub fn open(self, status: u16) -> Self {
        Self { has_token: false, status, errors: &[], ..self }
    }

    /// Writes the operation below its path.
    pub fn add_to(self, paths: &mut Map<String, Value>, tag: &str) {
        let document = self.document(tag);
        let Self { method, path, .. } = self;
        let parameters: Vec<Value> = path_parameters(&path).map(path_parameter).collect();
        let item = paths.entry(path).or_insert_with(|| json!({ "parameters": parameters }));
        if let Value::Object(item) = item {
            item.insert(method.to_lowercase(), document);
        }
    }

    fn document(&self, tag: &str) -> Value {
        let guards = policy::guards(self.method, &self.path);
        let summary = self.summary.or_else(|| guards.first().map(|(_, text)| *text));
        let mut document = json!({ "tags": [tag], "summary": summary, "responses": self.responses() });
        let Value::Object(map) = &mut document else { return document };
        if !guards.is_empty() {
            let names: Vec<&str> = guards.iter().map(|(name, _)| *name).collect();
            map.insert("x-openstack-policy".to_owned(), json!(names));
        }
        if !self.has_token {
            map.insert("security".to_owned(), json!([]));
        }
        if let Some((schema, required)) = self.request {
            let body = json!({ "required": required, "content": content(schema) });
            map.insert("requestBody".to_owned(), body);
        }
        if !self.query.is_empty() {
            let parameter = |name: &&str| json!({ "$ref": format!("#/components/parameters/{name}") });
            map.insert("parameters".to_owned(), self.query.iter().map(parameter).collect());
        }
        document
    }

    fn responses(&self) -> Value {
        let mut responses = Map::new();
        let mut done = json!({ "description": "Done" });
        if let (Some(schema), Value::Object(done)) = (self.answer, &mut done) {
            done.insert("content".to_owned(), content(schema));
        }
        responses.insert(self.status.to_string(), done);
        if !self.has_token {
            return Value::Object(responses);
        }
        let mut errors = vec![401, 403, 404, 406, 503];
        errors.extend(self.errors);
        if self.request.is_some() {
            errors.extend([400, 408, 413, 429]);
        }
        if !self.query.is_empty() {
            errors.push(400);
        }
        errors.sort_unstable();
        errors.dedup();
        for status in errors {
            let refused = json!({ "$ref": format!("#/components/responses/{status}") });
            responses.insert(status.to_string(), refused);
        }
        Value::Object(responses)
    }
}

fn content(schema: &str) -> Value {
    json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameter(name: &str) -> Value {
    let schema = match name {
        "client_id" => super::client_id(),
        "job_id" | "action_id" | "session_id" => {
            json!({ "type": "string", "minLength": 1, "maxLength": ID_MAX, "pattern": r"^[\w-]+$" })
        }
        _ => json!({ "type": "string", "minLength": 1 }),
    };
    json!({ "name": name, "in": "path", "required": true, "schema": schema })
}
