//! What a restore of servers would make: looked up in the cloud as the restore itself does it, and nothing made.

use super::bring_back::{DiskLevel, Wishes};
use super::description::{DiskDescription, ServerDescription};
use super::place::{self, Place, PortPlace};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use serde_json::{Value, json};

/// One server as it would come back.
pub(super) struct Plan {
    /// As it stands in the result of the step.
    pub document: Value,
    /// For people.
    pub lines: Vec<String>,
}

/// Finds where `saved` would come and what of it would be otherwise.
///
/// # Errors
/// What would make the restore fail before it makes anything: a flavor or a network that is not there, a cloud that does not answer.
pub(super) async fn plan(
    cloud: &Cloud,
    (saved, timestamp): (&ServerDescription, i64),
    disks: &[DiskLevel],
    wishes: &Wishes,
) -> Result<Plan, CloudError> {
    let place = place::find(cloud, saved, wishes).await?;
    let mut lines = vec![
        format!(
            "Server       {} '{}' comes back as '{}', {}",
            saved.id, saved.name, wishes.name, saved.consistency
        ),
        format!("Flavor       {}", place.flavor_id),
    ];
    lines.extend(disks.iter().map(|disk| format!("Disk         {}", disk_line(saved, disk))));
    lines.extend(place.ports.iter().map(|port| format!("Interface    {}", port_line(port))));
    lines.extend(place.notes.iter().map(|note| format!("Note         {note}")));
    lines.extend(place.missing.iter().map(|what| format!("MISSING      {what}")));
    let document = json!({
        "timestamp": timestamp,
        "server": saved.id,
        "name": wishes.name,
        "consistency": saved.consistency,
        "flavor_id": place.flavor_id,
        "availability_zone": place.zone,
        "key_name": place.key_name,
        "disks": disks.iter().map(|disk| disk_document(saved, disk)).collect::<Vec<_>>(),
        "ports": ports(saved, &place),
        "notes": place.notes,
        "missing": place.missing,
    });
    Ok(Plan { document, lines })
}

fn described<'a>(saved: &'a ServerDescription, disk: &DiskLevel) -> Option<&'a DiskDescription> {
    saved.disks.iter().find(|one| one.role == disk.role)
}

fn disk_document(saved: &ServerDescription, disk: &DiskLevel) -> Value {
    let known = described(saved, disk);
    json!({
        "role": disk.role,
        "backup": disk.hbn,
        "timestamp": disk.timestamp,
        "device": known.and_then(|known| known.device.clone()),
        "is_boot": known.is_some_and(|known| known.is_boot),
    })
}

fn disk_line(saved: &ServerDescription, disk: &DiskLevel) -> String {
    let device = described(saved, disk).and_then(|known| known.device.as_deref()).unwrap_or("its first");
    format!("{} as {device}, as of {}", disk.role, disk.timestamp)
}

/// In the order of the interfaces; the addresses are those that a subnet there has room for.
fn ports(saved: &ServerDescription, place: &Place) -> Vec<Value> {
    let of = |(port, was): (&PortPlace, &super::description::PortDescription)| {
        json!({
            "network_id": port.network_id,
            "network_was": was.network.name,
            "addresses": addresses(port),
            "security_groups": port.security_groups,
        })
    };
    place.ports.iter().zip(&saved.ports).map(of).collect()
}

fn addresses(port: &PortPlace) -> Vec<&str> {
    port.addresses.iter().filter(|(_, subnet)| subnet.is_some()).map(|(ip, _)| ip.address.as_str()).collect()
}

fn port_line(port: &PortPlace) -> String {
    match addresses(port).join(", ") {
        none if none.is_empty() => {
            format!("in network {}, at an address that Neutron chooses", port.network_id)
        }
        some => format!("in network {}, at {some}", port.network_id),
    }
}
