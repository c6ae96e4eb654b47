//! Keypairs of the login's user, server groups and servers of the project.

use super::{Scope, by_id, is_of, resource};
use crate::openstack::cloud::{Cloud, Service};
use crate::openstack::error::CloudError;
use crate::openstack::nova::servers as nova;
use crate::openstack::pages::PAGE;
use crate::openstack::project::topology::{Kind, Resource};
use crate::openstack::temporary::is_temporary;
use serde_json::Value;

const NOVA: Service = Service::Nova;

/// Keypairs belong to users; their public halves are all that Nova has. Under a trust there are none: those that Nova would list
/// are the service user's, whatever tenant they came from.
pub async fn keypairs(cloud: &Cloud) -> Result<Vec<Resource>, CloudError> {
    if cloud.acts_for_another_user().await? {
        return Ok(Vec::new());
    }
    let name = |row: &Value| Some(row.pointer("/keypair/name")?.as_str()?.to_owned());
    let rows = cloud.rows_after(NOVA, ("/os-keypairs", "keypairs"), &[], name).await?;
    let found = rows.into_iter().filter_map(|mut row| {
        let document = row.get_mut("keypair")?.take();
        let name = document.get("name")?.as_str()?.to_owned();
        Some(resource(Kind::Keypair, &name, document))
    });
    Ok(found.collect())
}

pub async fn server_groups(cloud: &Cloud, scope: &Scope<'_>) -> Result<Vec<Resource>, CloudError> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let offset = all.len().to_string();
        let query = [("limit", PAGE), ("offset", offset.as_str())];
        let mut answer = cloud.get(NOVA, "/os-server-groups", &query, "the list of server groups").await?;
        let rows = answer.get_mut("server_groups").map(Value::take);
        let rows = rows.and_then(|rows| rows.as_array().cloned()).unwrap_or_default();
        if rows.is_empty() {
            break;
        }
        all.extend(rows);
    }
    let own = all.into_iter().filter(|row| is_of(row, scope.project));
    Ok(own.filter_map(|row| by_id(Kind::ServerGroup, row)).collect())
}

pub async fn servers(cloud: &Cloud, scope: &Scope<'_>) -> Result<Vec<Resource>, CloudError> {
    let mut found = nova::list(cloud, &[]).await?;
    found.retain(|server| {
        is_of(&server.document, scope.project) && !is_temporary(&server.document, scope.temp_prefix)
    });
    Ok(found.into_iter().filter_map(|server| by_id(Kind::Server, server.document)).collect())
}
