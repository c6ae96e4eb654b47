//! What a restored server needs of the project it comes to, found before anything is made: by id where the old one is
//! there, else by name. What is missing and can be done without is told; the rest ends the restore before it begins.

use super::bring_back::{Given, Wishes};
use super::description::{FixedIp, Named, PortDescription, ServerDescription};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::neutron::networks;
use crate::openstack::nova::lookups;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Which networks take the place of the old ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkChoice {
    all: Option<String>,
    some: BTreeMap<String, String>,
}

impl NetworkChoice {
    /// `net` for every interface, or `old=new,old=new`; each by id or name.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('=') {
            return Ok(Self { all: Some(text.trim().to_owned()), some: BTreeMap::new() });
        }
        let mut some = BTreeMap::new();
        for pair in text.split(',') {
            match pair.split_once('=').map(|(old, new)| (old.trim(), new.trim())) {
                Some((old, new)) if !old.is_empty() && !new.is_empty() => {
                    some.insert(old.to_owned(), new.to_owned());
                }
                _ => return Err(format!("'{pair}' is not old=new; networks are named by id or name")),
            }
        }
        Ok(Self { all: None, some })
    }

    fn of(&self, old: &Named) -> Option<&str> {
        let chosen = self.some.get(&old.id).or_else(|| self.some.get(&old.name));
        chosen.or(self.all.as_ref()).map(String::as_str)
    }
}

/// Where an interface comes.
#[derive(Clone, Debug, PartialEq)]
pub struct PortPlace {
    pub network_id: String,
    /// Each old address with the subnet that has it there, if there is one.
    pub addresses: Vec<(FixedIp, Option<String>)>,
    pub security_groups: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    pub flavor_id: String,
    pub zone: Option<String>,
    pub key_name: Option<String>,
    pub server_group: Option<String>,
    pub ports: Vec<PortPlace>,
    /// What is otherwise than it was.
    pub notes: Vec<String>,
    /// What the restored server lacks.
    pub missing: Vec<String>,
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn choice(what: String, cause: impl Into<String>) -> CloudError {
    CloudError::Choice { what, cause: cause.into() }
}

/// The one row of this id, or else of this name.
fn pick<'a>(rows: &'a [Value], wanted: &str, kind: &str) -> Result<Option<&'a Value>, CloudError> {
    if let Some(row) = rows.iter().find(|row| text(row, "id") == wanted) {
        return Ok(Some(row));
    }
    let mut named = rows.iter().filter(|row| text(row, "name") == wanted);
    match (named.next(), named.count()) {
        (found, 0) => Ok(found),
        (_, more) => Err(choice(
            format!("{kind} '{wanted}'"),
            format!("{} have this name; name one by its id", more + 1),
        )),
    }
}

pub async fn find(cloud: &Cloud, saved: &ServerDescription, wishes: &Wishes) -> Result<Place, CloudError> {
    let flavors = lookups::flavors(cloud).await?;
    let flavor = find_flavor(&flavors, &saved.flavor, wishes.flavor.as_deref())?;
    let mut place = Place { flavor_id: text(flavor, "id").to_owned(), ..Place::default() };
    if let Some(zone) = &saved.availability_zone {
        match lookups::zones(cloud).await?.contains(zone) {
            true => place.zone = Some(zone.clone()),
            false => place.notes.push(format!("availability zone {zone} is not there: Nova chooses one")),
        }
    }
    if let Some(name) = &saved.key_name {
        match key(cloud, name, wishes.given.as_ref()).await? {
            Ok(name) => place.key_name = Some(name),
            Err(why) => place.missing.push(format!("keypair {name}: {why}")),
        }
    }
    if let Some(old) = saved.server_groups.first() {
        place.server_group = match &wishes.given {
            Some(given) => given.server_groups.get(&old.id).cloned(),
            None => by_id_or_name(&lookups::server_groups(cloud).await?, old),
        };
        if place.server_group.is_none() {
            place.missing.push(format!("server group {} ({})", old.name, old.id));
        }
    }
    if wishes.given.is_none() {
        ports(cloud, saved, &wishes.networks, &mut place).await?;
    }
    Ok(place)
}

/// The name of the server's key there, or why there is none. A name alone says nothing about whose key it is: under a trust it may
/// be another tenant's.
async fn key(
    cloud: &Cloud,
    name: &str,
    given: Option<&Given>,
) -> Result<Result<String, &'static str>, CloudError> {
    if cloud.acts_for_another_user().await? {
        return Ok(Err(lookups::KEYS_ARE_ANOTHERS));
    }
    if let Some(name) = given.and_then(|given| given.keypairs.get(name)) {
        return Ok(Ok(name.clone()));
    }
    let found = lookups::keypair(cloud, name).await?;
    Ok(found.map(|_| name.to_owned()).ok_or("the user has none of this name"))
}

/// Among all `flavors`, the one wished for; else that of the old one's name, or one like it. `old` is as Nova tells it with a
/// server.
pub fn find_flavor<'a>(
    flavors: &'a [Value],
    old: &Map<String, Value>,
    wish: Option<&str>,
) -> Result<&'a Value, CloudError> {
    const NEXT: &str = "nova_restore_flavor, or in mode project by project_map (flavor/<old name>=<new>)";
    let name = old.get("original_name").and_then(Value::as_str).unwrap_or_default();
    if let Some(row) = pick(flavors, wish.unwrap_or(name), "flavor")? {
        return Ok(row);
    }
    if let Some(wish) = wish {
        return Err(choice(format!("flavor '{wish}'"), format!("is not there; name one by {NEXT}")));
    }
    let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or_default();
    let specs_of_old = old.get("extra_specs");
    let old = |key: &str| number(old.get(key));
    let is_like = |row: &&Value| {
        let same = |key: &str, new: &str| number(row.get(new)) == old(key);
        let specs = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
        same("vcpus", "vcpus")
            && same("ram", "ram")
            && same("disk", "disk")
            && same("ephemeral", "OS-FLV-EXT-DATA:ephemeral")
            && specs(row.get("extra_specs")) == specs(specs_of_old)
    };
    flavors.iter().find(is_like).ok_or_else(|| {
        let size = format!("{} vCPUs, {} MiB, {} GiB", old("vcpus"), old("ram"), old("disk"));
        let what = format!("flavor '{name}' ({size})");
        choice(what, format!("is not there, nor one like it; name one by {NEXT}"))
    })
}

fn by_id_or_name(rows: &[Value], old: &Named) -> Option<String> {
    let by_id = rows.iter().find(|row| text(row, "id") == old.id);
    let mut named = rows.iter().filter(|row| !old.name.is_empty() && text(row, "name") == old.name);
    let by_name = match (named.next(), named.next()) {
        (Some(row), None) => Some(row),
        _ => None,
    };
    by_id.or(by_name).map(|row| text(row, "id").to_owned())
}

async fn ports(
    cloud: &Cloud,
    saved: &ServerDescription,
    wanted: &NetworkChoice,
    place: &mut Place,
) -> Result<(), CloudError> {
    if saved.ports.is_empty() {
        return Ok(());
    }
    let project = cloud.project_id().await?;
    let mut known = networks::networks(cloud, &[]).await?;
    known.retain(|network| networks::is_for(network, &project));
    let groups = networks::security_groups(cloud, &project).await?;
    for port in &saved.ports {
        let network_id = network(&known, &port.network, wanted)?;
        let subnets = networks::subnets(cloud, &network_id).await?;
        let (security_groups, lost) = security_groups(&groups, port);
        place.missing.extend(lost);
        let addresses = port.fixed_ips.iter().map(|ip| (ip.clone(), subnet(&subnets, ip))).collect();
        place.ports.push(PortPlace { network_id, addresses, security_groups });
    }
    Ok(())
}

fn network(known: &[Value], old: &Named, wanted: &NetworkChoice) -> Result<String, CloudError> {
    if let Some(wish) = wanted.of(old) {
        let found = pick(known, wish, "network")?;
        let absent = || choice(format!("network '{wish}'"), "is not there; see nova_restore_network");
        return found.map(|row| text(row, "id").to_owned()).ok_or_else(absent);
    }
    by_id_or_name(known, old).ok_or_else(|| {
        choice(
            format!("network {} '{}'", old.id, old.name),
            "is not there, nor the only one of its name; name another by nova_restore_network (old=new)",
        )
    })
}

fn subnet(subnets: &[Value], old: &FixedIp) -> Option<String> {
    let same = subnets.iter().find(|row| text(row, "id") == old.subnet_id);
    let alike = subnets.iter().find(|row| !old.cidr.is_empty() && text(row, "cidr") == old.cidr);
    same.or(alike).map(|row| text(row, "id").to_owned())
}

fn security_groups(known: &[Value], port: &PortDescription) -> (Vec<String>, Vec<String>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for old in &port.security_groups {
        match by_id_or_name(known, old) {
            Some(id) => found.push(id),
            None => missing.push(format!("security group {} ({})", old.name, old.id)),
        }
    }
    (found, missing)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn named(id: &str, name: &str) -> Named {
        Named { id: id.into(), name: name.into() }
    }

    #[test]
    fn networks_are_chosen_for_all_or_one_by_one() {
        let all = NetworkChoice::parse("lan").unwrap();
        assert_eq!(all.of(&named("1", "a")), Some("lan"));
        let some = NetworkChoice::parse("1=x, b = y").unwrap();
        assert_eq!(some.of(&named("1", "a")), Some("x"));
        assert_eq!(some.of(&named("2", "b")), Some("y"));
        assert_eq!(some.of(&named("3", "c")), None);
        for bad in ["a=", "=b", "a=b,c"] {
            assert!(NetworkChoice::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_flavor_is_found_by_wish_name_or_likeness() {
        let flavor = |id: &str, name: &str, ram: u64| json!({"id": id, "name": name, "vcpus": 1, "ram": ram, "disk": 1, "OS-FLV-EXT-DATA:ephemeral": 0});
        let flavors = [flavor("1", "small", 512), flavor("2", "big", 4096)];
        let old = |name: &str, ram: u64| -> Map<String, Value> {
            let old = json!({"original_name": name, "vcpus": 1, "ram": ram, "disk": 1, "ephemeral": 0});
            old.as_object().cloned().unwrap_or_default()
        };
        let found = |old: &Map<String, Value>, wish: Option<&str>| {
            find_flavor(&flavors, old, wish).map(|row| text(row, "id").to_owned())
        };
        assert_eq!(found(&old("small", 512), Some("big")).unwrap(), "2");
        assert_eq!(found(&old("small", 9), None).unwrap(), "1");
        assert_eq!(found(&old("gone", 4096), None).unwrap(), "2");
        assert!(found(&old("gone", 9), None).unwrap_err().to_string().contains("flavor/<old name>"));
        assert!(found(&old("small", 512), Some("none")).unwrap_err().to_string().contains("flavor 'none'"));
    }

    #[test]
    fn what_is_gone_is_found_by_its_only_name() {
        let rows = [
            json!({"id": "1", "name": "a"}),
            json!({"id": "2", "name": "b"}),
            json!({"id": "3", "name": "b"}),
        ];
        assert_eq!(by_id_or_name(&rows, &named("2", "x")), Some("2".into()));
        assert_eq!(by_id_or_name(&rows, &named("9", "a")), Some("1".into()));
        assert_eq!(by_id_or_name(&rows, &named("9", "b")), None);
        assert_eq!(by_id_or_name(&rows, &named("9", "")), None);
        let error = network(&rows, &named("9", "b"), &NetworkChoice::default()).unwrap_err().to_string();
        assert!(error.contains("nova_restore_network"), "{error}");
        assert!(pick(&rows, "b", "network").is_err());
    }
}
