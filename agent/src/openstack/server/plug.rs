//! Ports of a restored server: as they were, as far as the network and its policy allow.

use super::description::PortDescription;
use super::place::PortPlace;
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::neutron::ports;
use crate::openstack::temporary::{Ledger, Temporary};
use serde_json::{Map, Value, json};

/// Only the owner of a network may set these on his ports.
const OF_OWNERS: [&str; 2] = ["allowed_address_pairs", "port_security_enabled"];

/// How much of the old port is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    Whole,
    /// Without the MAC address: the old port still has it, or the network is another's.
    Address,
    /// Any address of the same subnets.
    Subnet,
    /// Without what only the owner of the network may set.
    Plain,
}

/// A port that is the ledger's, and what is otherwise than it was.
pub struct Plugged {
    pub id: String,
    pub notes: Vec<String>,
    pub missing: Vec<String>,
}

/// Makes the port most like the old one that Neutron allows.
pub async fn plug(
    cloud: &Cloud,
    ledger: &Ledger,
    old: &PortDescription,
    place: &PortPlace,
) -> Result<Plugged, CloudError> {
    let mut refused = None;
    for likeness in [Likeness::Whole, Likeness::Address, Likeness::Subnet, Likeness::Plain] {
        let body = body(&ledger.name(&format!("restore_{}", old.id)), old, place, likeness);
        match ports::create(cloud, &body).await {
            Ok(made) => {
                let id = text(&made, "id").to_owned();
                ledger.note(Temporary::Port(id.clone()));
                return Ok(compared(id, &made, old, likeness));
            }
            Err(error @ CloudError::Refused { status: 400 | 403 | 409, .. }) => refused = Some(error),
            // Neutron says so of a subnet or an address that it does not let the project use.
            Err(error) if error.is_not_found() => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or(CloudError::Aborted))
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn body(name: &str, old: &PortDescription, place: &PortPlace, likeness: Likeness) -> Value {
    let mut body: Map<String, Value> = old.fields.clone();
    // What is so by itself need not be said, and only some may say it.
    for key in ["admin_state_up", "port_security_enabled"] {
        if body.get(key) == Some(&Value::Bool(true)) {
            body.remove(key);
        }
    }
    if likeness == Likeness::Plain {
        OF_OWNERS.iter().for_each(|key| drop(body.remove(*key)));
    }
    body.insert("name".into(), json!(name));
    body.insert("network_id".into(), json!(place.network_id));
    if !old.security_groups.is_empty() {
        if !place.security_groups.is_empty() {
            body.insert("security_groups".into(), json!(place.security_groups));
        }
    } else {
        body.insert("security_groups".into(), json!([]));
    }
    if likeness == Likeness::Whole && !old.mac_address.is_empty() {
        body.insert("mac_address".into(), json!(old.mac_address));
    }
    let fixed: Vec<Value> = place
        .addresses
        .iter()
        .filter_map(|(ip, subnet)| {
            let subnet = subnet.as_ref()?;
            Some(match likeness {
                Likeness::Whole | Likeness::Address => json!({"subnet_id": subnet, "ip_address": ip.address}),
                Likeness::Subnet | Likeness::Plain => json!({ "subnet_id": subnet }),
            })
        })
        .collect();
    if old.fixed_ips.is_empty() || !fixed.is_empty() {
        body.insert("fixed_ips".into(), json!(fixed));
    }
    Value::Object(body)
}

fn compared(id: String, made: &Value, old: &PortDescription, likeness: Likeness) -> Plugged {
    let has: Vec<&str> = made
        .get("fixed_ips")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|row| text(row, "ip_address"))
        .collect();
    let mut notes = Vec::new();
    let lost: Vec<&str> =
        old.fixed_ips.iter().map(|ip| ip.address.as_str()).filter(|ip| !has.contains(ip)).collect();
    if !lost.is_empty() {
        notes.push(format!(
            "interface in network {} has the address {} instead of {}",
            old.network.name,
            has.join(", "),
            lost.join(", ")
        ));
    }
    if text(made, "mac_address") != old.mac_address {
        notes.push(format!(
            "interface in network {} has the MAC address {} instead of {}",
            old.network.name,
            text(made, "mac_address"),
            old.mac_address
        ));
    }
    let mut missing = Vec::new();
    if likeness == Likeness::Plain {
        let said = OF_OWNERS.iter().filter(|key| made.get(**key) != old.fields.get(**key));
        let said = said.filter(|key| old.fields.contains_key(**key));
        missing.extend(said.map(|key| format!("{key} of the interface in network {}", old.network.name)));
    }
    Plugged { id, notes, missing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openstack::server::description::{FixedIp, Named};

    fn old() -> PortDescription {
        let fields =
            json!({"port_security_enabled": true, "allowed_address_pairs": [{"ip_address": "10.0.0.99"}]});
        PortDescription {
            id: "p".into(),
            mac_address: "fa:16:3e:00:00:01".into(),
            fixed_ips: vec![FixedIp {
                address: "10.0.0.5".into(),
                subnet_id: "s".into(),
                cidr: String::new(),
            }],
            security_groups: vec![Named { id: "g".into(), name: "web".into() }],
            fields: fields.as_object().cloned().unwrap_or_default(),
            ..PortDescription::default()
        }
    }

    #[test]
    fn less_and_less_is_asked_for() {
        let old = old();
        let place = PortPlace {
            network_id: "n".into(),
            addresses: vec![(old.fixed_ips[0].clone(), Some("s2".into()))],
            security_groups: vec!["g2".into()],
        };
        let pairs = json!([{"ip_address": "10.0.0.99"}]);
        let whole = json!({
            "allowed_address_pairs": pairs, "name": "x", "network_id": "n", "security_groups": ["g2"],
            "mac_address": "fa:16:3e:00:00:01", "fixed_ips": [{"subnet_id": "s2", "ip_address": "10.0.0.5"}],
        });
        assert_eq!(body("x", &old, &place, Likeness::Whole), whole);
        let subnet = body("x", &old, &place, Likeness::Subnet);
        assert_eq!(subnet["fixed_ips"], json!([{"subnet_id": "s2"}]));
        assert!(subnet.get("mac_address").is_none() && subnet["allowed_address_pairs"] == pairs);
        assert!(body("x", &old, &place, Likeness::Plain).get("allowed_address_pairs").is_none());
    }

    #[test]
    fn other_addresses_are_told() {
        let made = json!({"mac_address": "fa:16:3e:00:00:01", "fixed_ips": [{"ip_address": "10.0.0.6"}]});
        let plugged = compared("id".into(), &made, &old(), Likeness::Subnet);
        assert_eq!(plugged.notes.len(), 1);
        assert!(plugged.notes[0].contains("10.0.0.6 instead of 10.0.0.5") && plugged.missing.is_empty());
    }
}
