//! Who may do what: the rules with their defaults, and the question "may this caller?".
//!
//! Names and defaults are upstream's, so that operators' policy files keep working; `runs:`, `agents:`, `quotas:`, `usage:`
//! and `backups:plan_retention` are ours.

use keystone::{Identity, ServiceIdentity};
use oslo_config::Config;
use oslo_policy::{Credentials, Enforcer, PolicyError, PolicyOptions, RuleDefault, Target};
use serde_json::json;

const READ: &str = "rule:admin_or_reader_or_service";
const WRITE: &str = "rule:admin_or_owner";
const RECORD: &str = "rule:admin_or_owner_or_service";
const ADMIN: &str = "rule:context_is_admin";
const SERVICE: &str = "rule:admin_or_service";

/// Name and check of the rules others refer to.
const BASE_RULES: [(&str, &str); 7] = [
    ("context_is_admin", "role:admin"),
    ("project_member", "role:member and project_id:%(project_id)s"),
    ("project_reader", "role:reader and project_id:%(project_id)s"),
    ("admin_or_service", "role:admin or role:service"),
    ("admin_or_owner", "rule:context_is_admin or rule:project_member"),
    ("admin_or_owner_or_service", "rule:admin_or_service or rule:project_member"),
    ("admin_or_reader_or_service", "rule:admin_or_owner_or_service or rule:project_reader"),
];

/// Rule, default, what it allows, method and path.
type Rule = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const RULES: [Rule; 42] = [
    ("actions:get", READ, "Show an action", &[("GET", "/v2/{project_id}/actions/{action_id}")]),
    ("actions:get_all", READ, "List actions", &[("GET", "/v2/{project_id}/actions")]),
    ("actions:create", WRITE, "Create an action", &[("POST", "/v2/{project_id}/actions")]),
    ("actions:update", WRITE, "Change an action", &[("PATCH", "/v2/{project_id}/actions/{action_id}")]),
    (
        "actions:replace",
        WRITE,
        "Create or replace an action",
        &[("POST", "/v2/{project_id}/actions/{action_id}")],
    ),
    ("actions:delete", WRITE, "Delete an action", &[("DELETE", "/v2/{project_id}/actions/{action_id}")]),
    (
        "agents:link",
        RECORD,
        "Take work and report as an agent over HTTPS",
        &[
            ("POST", "/v2/{project_id}/agents/{client_id}/hello"),
            ("POST", "/v2/{project_id}/agents/{client_id}/heartbeat"),
            ("POST", "/v2/{project_id}/agents/{client_id}/started"),
            ("POST", "/v2/{project_id}/agents/{client_id}/progress"),
            ("POST", "/v2/{project_id}/agents/{client_id}/finished"),
            ("POST", "/v2/{project_id}/agents/{client_id}/work"),
        ],
    ),
    ("backups:get", READ, "Show a backup record", &[("GET", "/v2/{project_id}/backups/{backup_id}")]),
    ("backups:get_all", READ, "List backup records", &[("GET", "/v2/{project_id}/backups")]),
    (
        "backups:plan_retention",
        READ,
        "Show which backups rules of retention would remove",
        &[("POST", "/v2/{project_id}/backups/retention-plan")],
    ),
    ("backups:create", RECORD, "Record a backup", &[("POST", "/v2/{project_id}/backups")]),
    (
        "backups:update",
        RECORD,
        "Change a backup record",
        &[("PATCH", "/v2/{project_id}/backups/{backup_id}")],
    ),
    (
        "backups:delete",
        RECORD,
        "Delete a backup record",
        &[("DELETE", "/v2/{project_id}/backups/{backup_id}")],
    ),
    ("clients:get", READ, "Show a client", &[("GET", "/v2/{project_id}/clients/{client_id}")]),
    ("clients:get_all", READ, "List clients", &[("GET", "/v2/{project_id}/clients")]),
    ("clients:create", WRITE, "Register a client", &[("POST", "/v2/{project_id}/clients")]),
    (
        "clients:create_central",
        SERVICE,
        "Register a client that works for all projects",
        &[("POST", "/v2/{project_id}/clients")],
    ),
    ("clients:delete", WRITE, "Delete a client", &[("DELETE", "/v2/{project_id}/clients/{client_id}")]),
    (
        "clients:release",
        ADMIN,
        "Delete a client that another login's agent speaks for",
        &[("DELETE", "/v2/{project_id}/clients/{client_id}")],
    ),
    ("jobs:get", READ, "Show a job", &[("GET", "/v2/{project_id}/jobs/{job_id}")]),
    ("jobs:get_all", READ, "List jobs", &[("GET", "/v2/{project_id}/jobs")]),
    (
        "jobs:get_all_projects",
        SERVICE,
        "See the jobs of all projects",
        &[("GET", "/v2/{project_id}/jobs"), ("GET", "/v2/{project_id}/jobs/{job_id}")],
    ),
    (
        "jobs:create",
        WRITE,
        "Create or replace a job",
        &[("POST", "/v2/{project_id}/jobs"), ("POST", "/v2/{project_id}/jobs/{job_id}")],
    ),
    ("jobs:update", WRITE, "Change a job", &[("PATCH", "/v2/{project_id}/jobs/{job_id}")]),
    ("jobs:delete", WRITE, "Delete a job", &[("DELETE", "/v2/{project_id}/jobs/{job_id}")]),
    (
        "jobs:event:create",
        WRITE,
        "Start, stop or abort a job",
        &[("POST", "/v2/{project_id}/jobs/{job_id}/event")],
    ),
    ("quotas:get", READ, "Show the limits of a project", &[("GET", "/v2/{project_id}/quotas")]),
    ("quotas:update", ADMIN, "Set the limits of a project", &[("PUT", "/v2/{project_id}/quotas")]),
    (
        "quotas:delete",
        ADMIN,
        "Take back what was set for a project",
        &[("DELETE", "/v2/{project_id}/quotas")],
    ),
    ("usage:get", READ, "Show what a project uses", &[("GET", "/v2/{project_id}/usage")]),
    ("runs:get", READ, "Show a run of a job", &[("GET", "/v2/{project_id}/runs/{run_id}")]),
    (
        "runs:get_all",
        READ,
        "List runs of jobs",
        &[("GET", "/v2/{project_id}/runs"), ("GET", "/v2/{project_id}/jobs/{job_id}/runs")],
    ),
    ("runs:update", WRITE, "Change the rate limits of a run", &[("PATCH", "/v2/{project_id}/runs/{run_id}")]),
    ("sessions:get", READ, "Show a session", &[("GET", "/v2/{project_id}/sessions/{session_id}")]),
    ("sessions:get_all", READ, "List sessions", &[("GET", "/v2/{project_id}/sessions")]),
    ("sessions:create", WRITE, "Create a session", &[("POST", "/v2/{project_id}/sessions")]),
    ("sessions:update", WRITE, "Change a session", &[("PATCH", "/v2/{project_id}/sessions/{session_id}")]),
    (
        "sessions:replace",
        WRITE,
        "Create or replace a session",
        &[("POST", "/v2/{project_id}/sessions/{session_id}")],
    ),
    ("sessions:delete", WRITE, "Delete a session", &[("DELETE", "/v2/{project_id}/sessions/{session_id}")]),
    (
        "sessions:action:create",
        WRITE,
        "Start or end a session",
        &[("POST", "/v2/{project_id}/sessions/{session_id}/action")],
    ),
    (
        "sessions:job:add",
        WRITE,
        "Add a job to a session",
        &[("PUT", "/v2/{project_id}/sessions/{session_id}/jobs/{job_id}")],
    ),
    (
        "sessions:job:remove",
        WRITE,
        "Take a job out of a session",
        &[("DELETE", "/v2/{project_id}/sessions/{session_id}/jobs/{job_id}")],
    ),
];

/// Name and meaning of the rules that guard an operation, as the OpenAPI document shows them.
pub fn guards(method: &str, path: &str) -> Vec<(&'static str, &'static str)> {
    let guarded = RULES.iter().filter(|(_, _, _, operations)| operations.contains(&(method, path)));
    guarded.map(|(name, _, description, _)| (*name, *description)).collect()
}

/// The rules as the policy library takes them.
fn defaults() -> Vec<RuleDefault> {
    let base = BASE_RULES.iter().map(|(name, check)| RuleDefault::new(name, check));
    let rules = RULES.iter().map(|(name, check, description, operations)| {
        let rule = RuleDefault::new(name, check).description(description).scope_types(&["project"]);
        operations.iter().fold(rule, |rule, (method, path)| rule.operation(method, path))
    });
    base.chain(rules).collect()
}

/// A policy file with every rule, all commented out.
pub fn sample() -> String {
    oslo_policy::sample(&defaults())
}

/// The rules in force.
pub struct Policy(Enforcer);

impl Policy {
    /// The defaults and what the operator's files say.
    pub fn from_config(config: &Config) -> Result<Self, PolicyError> {
        Enforcer::new(defaults(), PolicyOptions::from_config(config)).map(Self)
    }

    /// The defaults alone.
    pub fn defaults() -> Result<Self, PolicyError> {
        Enforcer::new(defaults(), PolicyOptions::default()).map(Self)
    }

    /// Whether the caller may do what `rule` protects to what `target` describes.
    pub fn allows(&self, rule: &str, target: &Target, credentials: &Credentials) -> bool {
        match self.0.authorize(rule, target, credentials) {
            Ok(()) => true,
            Err(refused) => {
                tracing::debug!("{refused}: {:?}", refused.reason);
                false
            }
        }
    }
}

/// What rules may know of the sender of a request. It is the same for all questions about the request.
pub fn credentials(identity: &Identity) -> Credentials {
    let roles: Vec<String> = identity.roles.iter().map(|role| role.to_lowercase()).collect();
    let service = identity.service.as_ref();
    let of_service = |field: fn(&ServiceIdentity) -> Option<&String>| json!(service.and_then(field));
    let values = [
        ("user_id", json!(identity.user_id)),
        ("user_domain_id", json!(identity.user_domain_id)),
        ("system_scope", json!(identity.system_scope)),
        ("domain_id", json!(identity.domain_id)),
        ("project_id", json!(identity.project_id)),
        ("project_domain_id", json!(identity.project_domain_id)),
        ("roles", json!(roles)),
        ("is_admin_project", json!(identity.is_admin_project)),
        ("service_user_id", of_service(|service| Some(&service.user_id))),
        ("service_user_domain_id", of_service(|service| service.user_domain_id.as_ref())),
        ("service_project_id", of_service(|service| service.project_id.as_ref())),
        ("service_project_domain_id", of_service(|service| service.project_domain_id.as_ref())),
        ("service_roles", json!(service.map_or(&[][..], |service| service.roles.as_slice()))),
    ];
    Credentials::from_map(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_sample_has_every_rule_with_its_routes() {
        let sample = sample();
        for (name, check, _, operations) in RULES {
            assert!(sample.contains(&format!("#\"{name}\": \"{check}\"")), "{name}");
            for (method, path) in operations {
                assert!(sample.contains(&format!("# {method}  {path}\n")), "{name}");
            }
        }
        assert!(Policy::defaults().is_ok());
    }
}
