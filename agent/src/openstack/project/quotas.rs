//! Whether the quotas of the project allow what a plan would make, before anything is made.

use super::plan::{Deed, Plan};
use super::requests::texts;
use super::topology::{Kind, Resource, ResourceId, Topology};
use crate::openstack::cloud::{Cloud, Service};
use crate::openstack::error::CloudError;
use crate::openstack::swift::containers;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// One quota that the plan touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quota {
    pub service: &'static str,
    pub resource: &'static str,
    pub needed: u64,
    /// `None`: no limit.
    pub left: Option<u64>,
}

impl Quota {
    pub fn suffices(&self) -> bool {
        self.left.is_none_or(|left| left >= self.needed)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, resource, needed, left } = self;
        write!(f, "{service} {resource}: {needed} needed, ")?;
        match left {
            Some(left) => write!(f, "{left} left"),
            None => f.write_str("no limit"),
        }
    }
}

/// Resources that the plan makes.
struct Made<'a>(Vec<&'a Resource>);

impl<'a> Made<'a> {
    fn by(plan: &Plan, topology: &'a Topology) -> Self {
        let steps = plan.steps.iter().filter(|step| matches!(step.deed, Deed::Create { .. }));
        Self(steps.filter_map(|step| topology.find(&step.resource)).collect())
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &&'a Resource> {
        self.0.iter().filter(move |resource| resource.id.kind == kind)
    }

    fn count(&self, kind: Kind) -> u64 {
        self.of(kind).count() as u64
    }

    fn sum(&self, kind: Kind, pointer: &str) -> u64 {
        self.of(kind).filter_map(|one| one.document.pointer(pointer)?.as_u64()).sum()
    }

    fn entries(&self, kind: Kind, key: &str) -> u64 {
        let length =
            |one: &&&Resource| one.document.get(key).and_then(Value::as_array).map_or(0, Vec::len) as u64;
        self.of(kind).map(|one| length(&one)).sum()
    }
}

/// Asks the services for what is left of what the plan needs; of servers, by the `flavors` that they would have. Answers that cannot
/// be had are told, not guessed.
pub async fn look(
    cloud: &Cloud,
    plan: &Plan,
    (saved, there): (&Topology, &Topology),
    flavors: &BTreeMap<ResourceId, Value>,
) -> Result<(Vec<Quota>, Vec<String>), CloudError> {
    let made = Made::by(plan, saved);
    let (mut quotas, mut notes) = (Vec::new(), Vec::new());
    for found in [
        of_neutron(cloud, &made).await,
        of_cinder(cloud, &made).await,
        of_nova(cloud, &made, there, flavors).await,
        of_swift(cloud, &made).await,
    ] {
        match found {
            Ok(found) => quotas.extend(found),
            Err(CloudError::Aborted) => return Err(CloudError::Aborted),
            Err(error) => notes.push(format!("a quota is not known: {error}")),
        }
    }
    quotas.retain(|quota: &Quota| quota.needed > 0);
    Ok((quotas, notes))
}

fn left(limit: Option<i64>, used: i64) -> Option<u64> {
    // A negative limit is none.
    let limit = limit.filter(|limit| *limit >= 0)?;
    Some(u64::try_from(limit.saturating_sub(used)).unwrap_or_default())
}

async fn of_neutron(cloud: &Cloud, made: &Made<'_>) -> Result<Vec<Quota>, CloudError> {
    let interfaces: u64 = made
        .of(Kind::Router)
        .map(|router| texts(router.document.get("interface_subnets")).len() as u64)
        .sum();
    let needs = [
        ("network", made.count(Kind::Network)),
        ("subnet", made.count(Kind::Subnet)),
        ("router", made.count(Kind::Router)),
        ("port", made.count(Kind::Port) + interfaces),
        ("security_group", made.count(Kind::SecurityGroup)),
        ("security_group_rule", made.entries(Kind::SecurityGroup, "security_group_rules")),
        ("floatingip", made.count(Kind::FloatingIp)),
    ];
    if needs.iter().all(|(_, needed)| *needed == 0) {
        return Ok(Vec::new());
    }
    let path = format!("/quotas/{}/details.json", cloud.project_id().await?);
    let answer = cloud.get(Service::Neutron, &path, &[], "its quotas").await?;
    let quota = |(resource, needed): (&'static str, u64)| {
        let number = |key: &str| answer.pointer(&format!("/quota/{resource}/{key}")).and_then(Value::as_i64);
        let used = number("used").unwrap_or_default() + number("reserved").unwrap_or_default();
        Quota { service: Service::Neutron.name(), resource, needed, left: left(number("limit"), used) }
    };
    Ok(needs.into_iter().map(quota).collect())
}

/// Rows of an answer to `/limits`: resource, need, keys of the limit and of what is used.
type Row = (&'static str, u64, &'static str, &'static str);

async fn limits(cloud: &Cloud, service: Service, rows: &[Row]) -> Result<Vec<Quota>, CloudError> {
    if rows.iter().all(|(_, needed, ..)| *needed == 0) {
        return Ok(Vec::new());
    }
    let answer = cloud.get(service, "/limits", &[], "its limits").await?;
    let number = |key: &str| answer.pointer(&format!("/limits/absolute/{key}")).and_then(Value::as_i64);
    let quota = |(resource, needed, limit, used): &Row| {
        let left = left(number(limit), number(used).unwrap_or_default());
        Quota { service: service.name(), resource, needed: *needed, left }
    };
    Ok(rows.iter().map(quota).collect())
}

async fn of_cinder(cloud: &Cloud, made: &Made<'_>) -> Result<Vec<Quota>, CloudError> {
    let rows = [
        ("volumes", made.count(Kind::Volume), "maxTotalVolumes", "totalVolumesUsed"),
        ("gigabytes", made.sum(Kind::Volume, "/size"), "maxTotalVolumeGigabytes", "totalGigabytesUsed"),
    ];
    limits(cloud, Service::Cinder, &rows).await
}

async fn of_nova(
    cloud: &Cloud,
    made: &Made<'_>,
    there: &Topology,
    flavors: &BTreeMap<ResourceId, Value>,
) -> Result<Vec<Quota>, CloudError> {
    let servers = made.count(Kind::Server);
    let of_flavors = |key: &str| -> u64 {
        let flavors = made.of(Kind::Server).filter_map(|server| flavors.get(&server.id));
        flavors.filter_map(|flavor| flavor.get(key)?.as_u64()).sum()
    };
    let rows = [
        ("instances", servers, "maxTotalInstances", "totalInstancesUsed"),
        ("cores", of_flavors("vcpus"), "maxTotalCores", "totalCoresUsed"),
        ("ram", of_flavors("ram"), "maxTotalRAMSize", "totalRAMUsed"),
        ("server_groups", made.count(Kind::ServerGroup), "maxServerGroups", "totalServerGroupsUsed"),
        // Nova does not tell how many there are.
        ("keypairs", made.count(Kind::Keypair), "maxTotalKeypairs", ""),
    ];
    let mut quotas = limits(cloud, Service::Nova, &rows).await?;
    let keypairs = there.resources.iter().filter(|one| one.id.kind == Kind::Keypair).count() as u64;
    for quota in quotas.iter_mut().filter(|quota| quota.resource == "keypairs") {
        quota.left = quota.left.map(|left| left.saturating_sub(keypairs));
    }
    Ok(quotas)
}

async fn of_swift(cloud: &Cloud, made: &Made<'_>) -> Result<Vec<Quota>, CloudError> {
    let needed = made.sum(Kind::Container, "/bytes");
    if needed == 0 {
        return Ok(Vec::new());
    }
    let (limit, used) = containers::account_bytes(cloud).await?;
    let left = limit.map(|limit| limit.saturating_sub(used));
    Ok(vec![Quota { service: Service::Swift.name(), resource: "bytes", needed, left }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_enough_and_what_is_used_counts() {
        assert_eq!(left(Some(-1), 5), None);
        assert_eq!(left(Some(10), 4), Some(6));
        assert_eq!(left(Some(3), 4), Some(0));
        let quota = |needed| Quota { service: "Cinder", resource: "volumes", needed, left: left(Some(3), 1) };
        assert!(quota(2).suffices() && !quota(3).suffices());
        assert_eq!(quota(3).to_string(), "Cinder volumes: 3 needed, 2 left");
    }
}
