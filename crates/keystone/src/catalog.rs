//! The service catalogue: which service is where.

use crate::options::Interface;
use serde::{Deserialize, Serialize};

/// The services a token may use, as Keystone lists them.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Catalog {
    pub services: Vec<CatalogService>,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct CatalogService {
    #[serde(rename = "type")]
    pub service_type: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub endpoints: Vec<CatalogEndpoint>,
}

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct CatalogEndpoint {
    pub interface: String,
    #[serde(default)]
    pub region: Option<String>,
    #[serde(default)]
    pub region_id: Option<String>,
    pub url: String,
}

/// Official type first, then what clouds call it. From the service-types authority, cut to what is in use.
const ALIASES: &[&[&str]] = &[
    &["block-storage", "volumev3", "block-store", "volume"],
    &["backup", "data-protection-orchestration"],
    &["shared-file-system", "sharev2", "share"],
    &["workflow", "workflowv2"],
];

/// The names under which a type may stand in a catalogue, the asked one first.
fn spellings(service_type: &str) -> Vec<&str> {
    let mut names = vec![service_type];
    if let Some(family) = ALIASES.iter().find(|family| family.contains(&service_type)) {
        names.extend(family.iter().filter(|name| **name != service_type));
    }
    names
}

impl Catalog {
    /// Address of a service. Without a region the first endpoint of the interface counts.
    pub fn endpoint(&self, service_type: &str, interface: Interface, region: Option<&str>) -> Option<&str> {
        spellings(service_type).into_iter().find_map(|name| {
            self.services
                .iter()
                .filter(|service| service.service_type == name)
                .flat_map(|service| &service.endpoints)
                .find(|endpoint| endpoint.fits(interface, region))
                .map(|endpoint| endpoint.url.as_str())
        })
    }

    /// Is there any service of exactly this type?
    pub fn has_type(&self, service_type: &str) -> bool {
        self.services.iter().any(|service| service.service_type == service_type)
    }

    /// For messages: what there would have been.
    pub(crate) fn summary(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for service in &self.services {
            for endpoint in &service.endpoints {
                let region = endpoint.region_name().unwrap_or("-");
                lines.push(format!("{} {} in {region}", service.service_type, endpoint.interface));
            }
        }
        match lines.is_empty() {
            true => "nothing".to_owned(),
            false => lines.join(", "),
        }
    }
}

impl CatalogEndpoint {
    fn region_name(&self) -> Option<&str> {
        self.region_id.as_deref().or(self.region.as_deref())
    }

    fn fits(&self, interface: Interface, region: Option<&str>) -> bool {
        let right_interface = self.interface.parse::<Interface>() == Ok(interface);
        right_interface && region.is_none_or(|wanted| self.region_name() == Some(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        serde_json::from_value(serde_json::json!([
            {"type": "volumev3", "name": "cinder", "endpoints": [
                {"interface": "public", "region": "One", "region_id": "One", "url": "http://one/v3"},
                {"interface": "internal", "region": "One", "url": "http://one-internal/v3"},
                {"interface": "public", "region": "Two", "region_id": "Two", "url": "http://two/v3"}]},
            {"type": "empty"}
        ]))
        .unwrap()
    }

    #[test]
    fn finds_by_type_interface_and_region() {
        let catalog = catalog();
        assert_eq!(catalog.endpoint("volumev3", Interface::Public, None), Some("http://one/v3"));
        assert_eq!(catalog.endpoint("volumev3", Interface::Public, Some("Two")), Some("http://two/v3"));
        assert_eq!(catalog.endpoint("volumev3", Interface::Internal, Some("Two")), None);
        assert_eq!(catalog.endpoint("volumev3", Interface::Admin, None), None);
        assert_eq!(
            catalog.endpoint("block-storage", Interface::Internal, None),
            Some("http://one-internal/v3")
        );
        assert_eq!(catalog.endpoint("empty", Interface::Public, None), None);
        assert!(catalog.has_type("empty") && !catalog.has_type("block-storage"));
    }
}
