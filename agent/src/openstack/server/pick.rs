//! Which servers an action is about. Always those of the login's own project: an administrator's login sees more.

use crate::openstack::cloud::{Cloud, Service};
use crate::openstack::error::CloudError;
use crate::openstack::nova::servers::{self, Server};
use crate::options::medium::{Pick, ServerPick};

fn not_there(what: String) -> CloudError {
    CloudError::NotFound { service: Service::Nova.name(), what, request: String::new() }
}

/// A server of the project by its id.
pub async fn by_id(cloud: &Cloud, id: &str) -> Result<Server, CloudError> {
    let server = servers::show(cloud, id).await?;
    if server.project_id() == cloud.project_id().await? {
        return Ok(server);
    }
    Err(not_there(format!("server {id}")))
}

/// The one server that is meant.
pub async fn one(cloud: &Cloud, pick: &Pick) -> Result<Server, CloudError> {
    let name = match pick {
        Pick::Id(id) => return by_id(cloud, id).await,
        Pick::Name(name) => name,
        Pick::Unnamed => {
            let cause = "is not named; give nova_inst_id or nova_inst_name".to_owned();
            return Err(CloudError::Choice { what: "the server".to_owned(), cause });
        }
    };
    // Nova would take the name for a regular expression.
    let mut found = own(cloud).await?;
    found.retain(|server| server.name() == name);
    match (found.pop(), found.len()) {
        (Some(server), 0) => Ok(server),
        (Some(_), others) => Err(CloudError::Choice {
            what: format!("server name '{name}'"),
            cause: format!("{} servers have it; name one by nova_inst_id", others + 1),
        }),
        (None, _) => Err(not_there(format!("server named '{name}'"))),
    }
}

/// All servers that are meant, by a choice of several.
pub async fn several(cloud: &Cloud, pick: &ServerPick) -> Result<Vec<Server>, CloudError> {
    let project = cloud.project_id().await?;
    if let ServerPick::Project(wanted) = pick
        && *wanted != project
    {
        let cause = format!("the login is for project {project}");
        return Err(CloudError::Choice { what: format!("servers of project {wanted}"), cause });
    }
    let mut found = own(cloud).await?;
    found.retain(|server| match pick {
        ServerPick::One(_) => false,
        ServerPick::Tag(tag) => server.texts("tags").contains(tag),
        ServerPick::Metadata(key, value) => {
            server.map("metadata").get(key).and_then(|text| text.as_str()) == Some(value)
        }
        ServerPick::Project(_) => true,
    });
    Ok(found)
}

async fn own(cloud: &Cloud) -> Result<Vec<Server>, CloudError> {
    let project = cloud.project_id().await?;
    let mut found = servers::list(cloud, &[]).await?;
    found.retain(|server| server.project_id() == project);
    Ok(found)
}
