//! Making one resource that has no data of its own: what Neutron and Nova keep.

use super::discover::neutron_words;
use super::marks::Mark;
use super::members::Restored;
use super::requests::{Addresses, Mapping, has_rule, network_body, rule_bodies, texts};
use super::topology::{Kind, Resource};
use crate::actions::ActionError;
use crate::openstack::cloud::{Cloud, Service, text_at};
use crate::openstack::error::CloudError;
use crate::openstack::neutron::ports;
use crate::openstack::nova::lookups::KEYS_ARE_ANOTHERS;
use serde_json::{Map, Value, json};

const NEUTRON: Service = Service::Neutron;
const NOVA: Service = Service::Nova;

pub async fn make(
    cloud: &Cloud,
    resource: &Resource,
    name: &str,
    new: &Mapping,
    mark: &Mark,
) -> Result<Restored, ActionError> {
    match resource.id.kind {
        Kind::Keypair => keypair(cloud, resource).await,
        Kind::ServerGroup => server_group(cloud, resource, name).await,
        _ => on_the_network(cloud, resource, name, new, mark).await,
    }
}

async fn keypair(cloud: &Cloud, resource: &Resource) -> Result<Restored, ActionError> {
    if cloud.acts_for_another_user().await? {
        return Err(ActionError::Failed(KEYS_ARE_ANOTHERS.to_owned()));
    }
    let mut body = Map::from_iter([
        ("name".to_owned(), json!(resource.name)),
        ("public_key".to_owned(), json!(resource.text("public_key"))),
    ]);
    if cloud.version(NOVA).await? >= (2, 2) && !resource.text("type").is_empty() {
        body.insert("type".into(), json!(resource.text("type")));
    }
    let what = format!("to create keypair {}", resource.name);
    cloud.post(NOVA, "/os-keypairs", &json!({ "keypair": body }), &what).await?;
    Ok(Restored { id: resource.name.clone(), ..Restored::default() })
}

async fn server_group(cloud: &Cloud, resource: &Resource, name: &str) -> Result<Restored, ActionError> {
    let mut body = Map::from_iter([("name".to_owned(), json!(name))]);
    for key in ["policy", "rules", "policies"] {
        let value = resource.document.get(key).filter(|value| !value.is_null());
        if let Some(value) = value.filter(|value| value.as_object().is_none_or(|map| !map.is_empty())) {
            body.insert(key.to_owned(), value.clone());
        }
    }
    let what = format!("to create server group {name}");
    let answer = cloud.post(NOVA, "/os-server-groups", &json!({ "server_group": body }), &what).await?;
    let id = text_at(NOVA, &answer, "/server_group/id")?;
    Ok(Restored { id, ..Restored::default() })
}

async fn on_the_network(
    cloud: &Cloud,
    resource: &Resource,
    name: &str,
    new: &Mapping,
    mark: &Mark,
) -> Result<Restored, ActionError> {
    let (made, mut notes) = create_most_like(cloud, resource, name, new).await?;
    let id = text_at(NEUTRON, &made, "/id")?;
    if let Err(error) = tag(cloud, resource, &id, mark).await {
        notes.push(format!("its tags are not restored: {error}"));
    }
    if resource.id.kind == Kind::SecurityGroup {
        notes.extend(drop_rules_nobody_had(cloud, resource, &made).await);
    }
    Ok(Restored { id, notes, ..Restored::default() })
}

/// With the old address, unless it is taken or not for a tenant to choose; then with any, and a port without what only the owner of
/// its network may set. The second answer says what it lacks.
async fn create_most_like(
    cloud: &Cloud,
    resource: &Resource,
    name: &str,
    new: &Mapping,
) -> Result<(Value, Vec<String>), ActionError> {
    let ways: &[Addresses] = match resource.id.kind {
        Kind::Port => &[Addresses::Old, Addresses::Any, Addresses::AnyAndPlain],
        Kind::FloatingIp => &[Addresses::Old, Addresses::Any],
        _ => &[Addresses::Old],
    };
    let mut refused: Option<CloudError> = None;
    for addresses in ways {
        match create(cloud, resource, name, new, *addresses).await {
            Ok(made) => {
                let notes = refused.and_then(|error| otherwise(resource, &made, *addresses, &error));
                return Ok((made, notes.into_iter().collect()));
            }
            Err(ActionError::Cloud(error @ CloudError::Refused { status: 400 | 403 | 409, .. })) => {
                refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or(CloudError::Aborted).into())
}

/// What is otherwise than it was.
fn otherwise(resource: &Resource, made: &Value, addresses: Addresses, why: &CloudError) -> Option<String> {
    if resource.id.kind == Kind::FloatingIp {
        let old = resource.text("floating_ip_address");
        let new = made.get("floating_ip_address").and_then(Value::as_str).unwrap_or_default();
        // Left to choose, Neutron may have chosen the same.
        return (new != old).then(|| format!("its address is {new} and was {old}: {why}"));
    }
    Some(match addresses {
        Addresses::AnyAndPlain => {
            format!("it has another address than before, and not all of its settings: {why}")
        }
        _ => format!("it has another address than before: {why}"),
    })
}

async fn create(
    cloud: &Cloud,
    resource: &Resource,
    name: &str,
    new: &Mapping,
    addresses: Addresses,
) -> Result<Value, ActionError> {
    let body = network_body(resource, name, new, addresses).map_err(ActionError::Failed)?;
    let (path, _) = neutron_words(resource.id.kind);
    let what = format!("to create {} '{name}'", resource.id.kind);
    let mut answer = cloud.post(NEUTRON, path, &body, &what).await?;
    let made = answer.as_object_mut().and_then(|rows| rows.values_mut().next()).map(Value::take);
    Ok(made.unwrap_or_default())
}

async fn tag(cloud: &Cloud, resource: &Resource, id: &str, mark: &Mark) -> Result<(), CloudError> {
    let tags = texts(resource.document.get("tags"));
    let mut tags: Vec<String> =
        tags.into_iter().filter(|tag| !Mark::is_tag(tag)).map(str::to_owned).collect();
    tags.push(mark.tag());
    let (path, _) = neutron_words(resource.id.kind);
    let what = format!("tags of {} {id}", resource.id.kind);
    cloud.put(NEUTRON, &format!("{path}/{id}/tags"), &json!({ "tags": tags }), &what).await.map(|_| ())
}

/// Neutron gives each new group rules of its own. One that the old group did not have would let through what it did not.
async fn drop_rules_nobody_had(cloud: &Cloud, group: &Resource, made: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for rule in made.get("security_group_rules").and_then(Value::as_array).into_iter().flatten() {
        let id = rule.get("id").and_then(Value::as_str).unwrap_or_default();
        if has_rule(group, rule) || id.is_empty() {
            continue;
        }
        let path = format!("/security-group-rules/{id}");
        if let Err(error) = cloud.delete(NEUTRON, &path, &format!("to remove rule {id}")).await {
            problems.push(format!("it has a rule that it did not have before: {error}"));
        }
    }
    problems
}

/// Rules of a group, when all groups are there. Those that are there already stay.
pub async fn add_rules(cloud: &Cloud, group: &Resource, new: &Mapping) -> Result<Vec<String>, ActionError> {
    let mut problems = Vec::new();
    for body in rule_bodies(group, new) {
        let made = match body {
            Ok(body) => cloud.post(NEUTRON, "/security-group-rules", &body, "a rule of the group").await,
            Err(reason) => {
                problems.push(format!("a rule is not restored: {reason}"));
                continue;
            }
        };
        match made {
            Ok(_) | Err(CloudError::Refused { status: 409, .. }) => {}
            Err(CloudError::Aborted) => return Err(ActionError::Aborted),
            Err(error) => problems.push(format!("a rule is not restored: {error}")),
        }
    }
    Ok(problems)
}

/// Interfaces and routes of a router. Those that are there already stay.
pub async fn connect(
    cloud: &Cloud,
    router: &Resource,
    new: &Mapping,
    mark: &Mark,
) -> Result<Vec<String>, ActionError> {
    let own = new.get(Kind::Router, &router.id.id).map_err(ActionError::Failed)?.to_owned();
    let mut problems = Vec::new();
    for subnet in texts(router.document.get("interface_subnets")) {
        let address = router.document.pointer(&format!("/interface_addresses/{subnet}"));
        let subnet_there = new.get(Kind::Subnet, subnet);
        match interface(cloud, (&own, mark), subnet_there, address.and_then(Value::as_str)).await {
            Ok(()) => {}
            Err(ActionError::Aborted | ActionError::Cloud(CloudError::Aborted)) => {
                return Err(ActionError::Aborted);
            }
            Err(error) => problems.push(format!("it is not on subnet {subnet}: {error}")),
        }
    }
    let routes = router
        .document
        .get("routes")
        .filter(|routes| routes.as_array().is_some_and(|routes| !routes.is_empty()));
    if let Some(routes) = routes {
        let body = json!({"router": {"routes": routes}});
        let what = format!("routes of router {own}");
        if let Err(error) = cloud.put(NEUTRON, &format!("/routers/{own}"), &body, &what).await {
            problems.push(format!("its routes are not restored: {error}"));
        }
    }
    Ok(problems)
}

async fn interface(
    cloud: &Cloud,
    (router, mark): (&str, &Mark),
    subnet: Result<&str, String>,
    address: Option<&str>,
) -> Result<(), ActionError> {
    let subnet = subnet.map_err(ActionError::Failed)?;
    let query = [("device_id", router)];
    let there = ports::list(cloud, &query).await?;
    let is_on = |port: &Value| {
        let rows = port.get("fixed_ips").and_then(Value::as_array).into_iter().flatten();
        rows.into_iter().any(|row| row.get("subnet_id").and_then(Value::as_str) == Some(subnet))
    };
    if there.iter().any(is_on) {
        return Ok(());
    }
    let shown = cloud.get(NEUTRON, &format!("/subnets/{subnet}"), &[], &format!("subnet {subnet}")).await?;
    let gateway = shown.pointer("/subnet/gateway_ip").and_then(Value::as_str);
    let plug = async |body: Value| {
        let what = format!("an interface on subnet {subnet}");
        cloud.put(NEUTRON, &format!("/routers/{router}/add_router_interface"), &body, &what).await
    };
    // Neutron takes the gateway's address by itself; any other has to be a port.
    let Some(address) = address.filter(|address| gateway != Some(*address)) else {
        plug(json!({ "subnet_id": subnet })).await?;
        return Ok(());
    };
    let network = text_at(NEUTRON, &shown, "/subnet/network_id")?;
    let port = free_port(cloud, mark, (&network, subnet), address).await?;
    let plugged = plug(json!({ "port_id": port })).await;
    let cloud = cloud.undisturbed();
    match plugged {
        // The name was there to find it by; Neutron's own have none.
        Ok(_) => drop(ports::update(&cloud, &port, &json!({"name": ""})).await),
        Err(error) => {
            // Neutron refuses it of one that the router has got all the same.
            if let Err(why) = ports::delete(&cloud, &port).await {
                tracing::warn!("the port {port} that router {router} did not get: {why}");
            }
            return Err(error.into());
        }
    }
    Ok(())
}

/// A port with this address that nobody has, for a router: the one of a restore that broke off, or a new one.
async fn free_port(
    cloud: &Cloud,
    mark: &Mark,
    (network, subnet): (&str, &str),
    address: &str,
) -> Result<String, ActionError> {
    let name = format!("{} {address}", mark.tag());
    let left = ports::list(cloud, &[("network_id", network), ("name", &name)]).await?;
    let is_free = |port: &&Value| port.get("device_id").and_then(Value::as_str).is_none_or(str::is_empty);
    if let Some(id) = left.iter().find(is_free).and_then(|port| port.get("id")?.as_str()) {
        return Ok(id.to_owned());
    }
    let fixed = json!([{"subnet_id": subnet, "ip_address": address}]);
    let port = json!({"port": {"name": name, "network_id": network, "fixed_ips": fixed}});
    let made = cloud.post(NEUTRON, "/ports", &port, &format!("the router's port {address}")).await?;
    Ok(text_at(NEUTRON, &made, "/port/id")?)
}
