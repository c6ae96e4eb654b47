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

/// All servers that are meant. A name may be that of several.
pub async fn chosen(cloud: &Cloud, pick: &ServerPick) -> Result<Vec<Server>, CloudError> {
    match pick {
        ServerPick::One(Pick::Id(id)) => Ok(vec![by_id(cloud, id).await?]),
        ServerPick::One(Pick::Name(name)) => match several(cloud, pick).await? {
            found if found.is_empty() => Err(not_there(format!("server named '{name}'"))),
            found => Ok(found),
        },
        ServerPick::One(Pick::Unnamed) => {
            let cause = "is not named; give nova_inst_id or nova_inst_name".to_owned();
            Err(CloudError::Choice { what: "the server".to_owned(), cause })
        }
        _ => several(cloud, pick).await,
    }
}

async fn several(cloud: &Cloud, pick: &ServerPick) -> Result<Vec<Server>, CloudError> {
    let project = cloud.project_id().await?;
    if let ServerPick::Project(wanted) = pick
        && *wanted != project
    {
        let cause = format!("the login is for project {project}");
        return Err(CloudError::Choice { what: format!("servers of project {wanted}"), cause });
    }
    let mut found = own(cloud).await?;
    found.retain(|server| match pick {
        // Nova would take the name for a regular expression.
        ServerPick::One(Pick::Name(name)) => server.name() == name,
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
