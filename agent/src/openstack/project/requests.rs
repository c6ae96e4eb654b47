//! Bodies of the requests that create a resource anew, from what its service once said of it.
//!
//! Only what a tenant may set is asked for; ids are those of the restored resources. Never a silent loss: an id that no
//! restored resource has taken the place of is an error.

use super::topology::{Kind, Resource, ResourceId};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// New ids by the old ones.
#[derive(Clone, Debug, Default)]
pub struct Mapping(BTreeMap<ResourceId, String>);

impl Mapping {
    pub fn put(&mut self, old: ResourceId, new: String) {
        self.0.insert(old, new);
    }

    /// # Errors
    /// When nothing has taken its place.
    pub fn get(&self, kind: Kind, old: &str) -> Result<&str, String> {
        let id = ResourceId::new(kind, old);
        let found = self.0.get(&id).map(String::as_str);
        found.ok_or_else(|| format!("{id} has not been restored, and it is needed here"))
    }
}

/// Whether the new resource may ask for the addresses of the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    Old,
    Any,
    /// And of a port, not for what only the owner of its network may set.
    AnyAndPlain,
}

/// Only the owner of a network may set these on his ports.
const OF_OWNERS: [&str; 2] = ["allowed_address_pairs", "port_security_enabled"];

/// Body of Neutron's request for kinds that Neutron keeps, under the new `name`.
///
/// # Errors
/// When a resource it needs has not been restored, or Neutron does not keep its kind.
pub fn network_body(
    resource: &Resource,
    name: &str,
    new: &Mapping,
    addresses: Addresses,
) -> Result<Value, String> {
    let kind = resource.id.kind;
    let (word, keys): (&str, &[&str]) = match kind {
        Kind::Network => ("network", &["description", "admin_state_up", "mtu", "port_security_enabled"]),
        Kind::Subnet => (
            "subnet",
            &[
                "description",
                "ip_version",
                "cidr",
                "gateway_ip",
                "enable_dhcp",
                "allocation_pools",
                "dns_nameservers",
                "host_routes",
                "ipv6_ra_mode",
                "ipv6_address_mode",
            ],
        ),
        Kind::Router => ("router", &["description", "admin_state_up"]),
        Kind::Port => {
            ("port", &["description", "admin_state_up", "allowed_address_pairs", "extra_dhcp_opts"])
        }
        Kind::SecurityGroup => ("security_group", &["description", "stateful"]),
        Kind::FloatingIp => ("floatingip", &["description"]),
        other => return Err(format!("Neutron keeps no {other}")),
    };
    let mut body = chosen(resource, keys);
    if kind != Kind::FloatingIp {
        body.insert("name".into(), json!(name));
    }
    match kind {
        Kind::Subnet => {
            body.insert("network_id".into(), json!(new.get(Kind::Network, resource.text("network_id"))?));
            // A subnet without a gateway says so by null; left out, Neutron would choose one.
            let gateway = resource.document.get("gateway_ip").cloned().unwrap_or(Value::Null);
            body.insert("gateway_ip".into(), gateway);
        }
        Kind::Router => gateway(resource, new, &mut body)?,
        Kind::Port => port(resource, new, addresses, &mut body)?,
        Kind::FloatingIp => floating(resource, new, addresses, &mut body)?,
        _ => {}
    }
    Ok(json!({ word: body }))
}

/// What `document` says of `keys`, without nulls.
fn chosen(resource: &Resource, keys: &[&str]) -> Map<String, Value> {
    let known = |key: &&str| Some(((*key).to_owned(), resource.document.get(*key)?.clone()));
    keys.iter().filter_map(known).filter(|(_, value)| !value.is_null()).collect()
}

fn gateway(resource: &Resource, new: &Mapping, body: &mut Map<String, Value>) -> Result<(), String> {
    // Its addresses are another's to give.
    if let Some(old) = resource.document.pointer("/external_gateway_info/network_id").and_then(Value::as_str)
    {
        let id = new.get(Kind::Network, old)?;
        body.insert("external_gateway_info".into(), json!({ "network_id": id }));
    }
    Ok(())
}

fn port(
    resource: &Resource,
    new: &Mapping,
    addresses: Addresses,
    body: &mut Map<String, Value>,
) -> Result<(), String> {
    body.insert("network_id".into(), json!(new.get(Kind::Network, resource.text("network_id"))?));
    let groups = texts(resource.document.get("security_groups"));
    let groups = groups.into_iter().map(|group| new.get(Kind::SecurityGroup, group));
    body.insert("security_groups".into(), json!(groups.collect::<Result<Vec<_>, _>>()?));
    // What is so by itself need not be said, and only some may say it.
    if resource.document.get("port_security_enabled") == Some(&Value::Bool(false)) {
        body.insert("port_security_enabled".into(), json!(false));
    }
    for (key, usual) in [("binding:vnic_type", "normal"), ("dns_name", "")] {
        let text = resource.text(key);
        if !text.is_empty() && text != usual {
            body.insert(key.into(), json!(text));
        }
    }
    if body.get("allowed_address_pairs").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        body.remove("allowed_address_pairs");
    }
    if addresses == Addresses::AnyAndPlain {
        OF_OWNERS.iter().for_each(|key| drop(body.remove(*key)));
    }
    if addresses != Addresses::Old {
        return Ok(());
    }
    let mut fixed = Vec::new();
    for row in resource.document.get("fixed_ips").and_then(Value::as_array).into_iter().flatten() {
        let subnet = row.get("subnet_id").and_then(Value::as_str).unwrap_or_default();
        let address = row.get("ip_address").cloned().unwrap_or(Value::Null);
        fixed.push(json!({"subnet_id": new.get(Kind::Subnet, subnet)?, "ip_address": address}));
    }
    body.insert("fixed_ips".into(), json!(fixed));
    let mac = resource.text("mac_address");
    if !mac.is_empty() {
        body.insert("mac_address".into(), json!(mac));
    }
    Ok(())
}

fn floating(
    resource: &Resource,
    new: &Mapping,
    addresses: Addresses,
    body: &mut Map<String, Value>,
) -> Result<(), String> {
    let network = new.get(Kind::Network, resource.text("floating_network_id"))?;
    body.insert("floating_network_id".into(), json!(network));
    let port = resource.text("port_id");
    if !port.is_empty() {
        body.insert("port_id".into(), json!(new.get(Kind::Port, port)?));
    }
    if addresses == Addresses::Old {
        let address = resource.text("floating_ip_address");
        body.insert("floating_ip_address".into(), json!(address));
    }
    Ok(())
}

/// Bodies of the rules of a restored security group. Rules that Neutron itself gives each new group are among them: asked
/// for again, it answers 409, which means "there".
///
/// # Errors
/// For each rule that names a group that has not been restored.
pub fn rule_bodies(group: &Resource, new: &Mapping) -> Vec<Result<Value, String>> {
    let rules = group.document.get("security_group_rules").and_then(Value::as_array);
    rules.into_iter().flatten().map(|rule| rule_body(group, rule, new)).collect()
}

fn rule_body(group: &Resource, rule: &Value, new: &Mapping) -> Result<Value, String> {
    const KEYS: [&str; 7] = [
        "direction",
        "ethertype",
        "protocol",
        "port_range_min",
        "port_range_max",
        "remote_ip_prefix",
        "description",
    ];
    let mut body: Map<String, Value> = KEYS
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), rule.get(*key)?.clone())))
        .filter(|(_, value)| !value.is_null())
        .collect();
    body.insert("security_group_id".into(), json!(new.get(Kind::SecurityGroup, &group.id.id)?));
    if let Some(remote) = rule.get("remote_group_id").and_then(Value::as_str) {
        body.insert("remote_group_id".into(), json!(new.get(Kind::SecurityGroup, remote)?));
    }
    Ok(json!({ "security_group_rule": body }))
}

/// Whether a group of the backup has this rule, which Neutron has given a new one by itself.
pub fn has_rule(group: &Resource, given: &Value) -> bool {
    const KEYS: [&str; 6] =
        ["direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix"];
    let is_null = |rule: &Value, key: &str| rule.get(key).is_none_or(Value::is_null);
    let same = |rule: &Value, key: &str| {
        (is_null(rule, key) && is_null(given, key)) || rule.get(key) == given.get(key)
    };
    let rules = group.document.get("security_group_rules").and_then(Value::as_array);
    let mut rules = rules.into_iter().flatten();
    rules.any(|rule| is_null(rule, "remote_group_id") && KEYS.iter().all(|key| same(rule, key)))
}

pub(super) fn texts(value: Option<&Value>) -> Vec<&str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn resource(kind: Kind, id: &str, document: Value) -> Resource {
        Resource { id: ResourceId::new(kind, id), name: "old".into(), owned: true, document, backup: None }
    }

    fn mapping() -> Mapping {
        let mut new = Mapping::default();
        for (kind, old) in [
            (Kind::Network, "n"),
            (Kind::Subnet, "s"),
            (Kind::SecurityGroup, "g"),
            (Kind::SecurityGroup, "h"),
            (Kind::Port, "p"),
        ] {
            new.put(ResourceId::new(kind, old), format!("new-{old}"));
        }
        new
    }

    #[test]
    fn ports_keep_their_addresses_unless_they_are_taken() {
        let port = resource(
            Kind::Port,
            "p",
            json!({
                "id": "p", "status": "ACTIVE", "device_id": "srv", "network_id": "n", "mac_address": "fa:16:3e:0:0:1",
                "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.9"}], "security_groups": ["g"],
                "admin_state_up": true, "description": null, "port_security_enabled": false, "binding:vnic_type": "direct",
                "allowed_address_pairs": [],
            }),
        );
        let body = network_body(&port, "eth", &mapping(), Addresses::Old).unwrap();
        assert_eq!(
            body,
            json!({"port": {
                "name": "eth", "network_id": "new-n", "mac_address": "fa:16:3e:0:0:1", "admin_state_up": true,
                "port_security_enabled": false, "binding:vnic_type": "direct",
                "fixed_ips": [{"subnet_id": "new-s", "ip_address": "10.0.0.9"}], "security_groups": ["new-g"],
            }})
        );
        let body = network_body(&port, "eth", &mapping(), Addresses::Any).unwrap();
        assert!(body["port"].get("fixed_ips").is_none() && body["port"].get("mac_address").is_none());
        assert_eq!(body["port"]["port_security_enabled"], false);
        let body = network_body(&port, "eth", &mapping(), Addresses::AnyAndPlain).unwrap();
        assert!(body["port"].get("port_security_enabled").is_none());
    }

    #[test]
    fn a_subnet_without_a_gateway_stays_without() {
        let subnet = resource(
            Kind::Subnet,
            "s",
            json!({"network_id": "n", "cidr": "10.0.0.0/24", "ip_version": 4, "gateway_ip": null, "tenant_id": "x"}),
        );
        let body = network_body(&subnet, "s", &mapping(), Addresses::Old).unwrap();
        assert_eq!(
            body,
            json!({"subnet": {"name": "s", "network_id": "new-n", "cidr": "10.0.0.0/24", "ip_version": 4, "gateway_ip": null}})
        );
    }

    #[test]
    fn rules_that_neutron_gives_by_itself_stay_only_where_they_were() {
        let open =
            json!({"direction": "egress", "ethertype": "IPv4", "protocol": null, "remote_group_id": null});
        let given = json!({"id": "9", "direction": "egress", "ethertype": "IPv4", "protocol": null});
        let group =
            |rules: Value| resource(Kind::SecurityGroup, "g", json!({ "security_group_rules": rules }));
        assert!(has_rule(&group(json!([open])), &given));
        assert!(!has_rule(&group(json!([])), &given));
        let narrow = json!([{"direction": "egress", "ethertype": "IPv4", "protocol": "tcp"}]);
        assert!(!has_rule(&group(narrow), &given));
    }

    #[test]
    fn rules_name_the_new_groups() {
        let group = resource(
            Kind::SecurityGroup,
            "g",
            json!({"security_group_rules": [
                {"id": "1", "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "port_range_min": 22,
                 "port_range_max": 22, "remote_ip_prefix": null, "remote_group_id": "h", "normalized_cidr": null},
            ]}),
        );
        assert_eq!(
            rule_bodies(&group, &mapping()),
            [Ok(json!({"security_group_rule": {
                "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "port_range_min": 22,
                "port_range_max": 22, "security_group_id": "new-g", "remote_group_id": "new-h",
            }}))]
        );
        let error = rule_bodies(&group, &Mapping::default()).remove(0).unwrap_err();
        assert!(error.contains("security_group g has not been restored"), "{error}");
    }
}
