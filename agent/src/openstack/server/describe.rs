//! Gathering what is known of a server from Nova and Neutron.

use super::description::{
    DiskDescription, FixedIp, Named, PortDescription, ROOT, ServerDescription, VERSION, device_key,
};
use crate::openstack::cinder::volumes::{self, Volume};
use crate::openstack::cloud::Cloud;
use crate::openstack::error::CloudError;
use crate::openstack::neutron::{networks, ports};
use crate::openstack::nova::lookups;
use crate::openstack::nova::servers::{self, Server};
use futures_util::future::try_join_all;
use serde_json::{Map, Value};

/// Fields of a port that a tenant may set again.
const OF_A_PORT: [&str; 7] = [
    "description",
    "admin_state_up",
    "allowed_address_pairs",
    "extra_dhcp_opts",
    "binding:vnic_type",
    "port_security_enabled",
    "dns_name",
];
const USER_DATA: &str = "OS-EXT-SRV-ATTR:user_data";
const ROOT_DEVICE: &str = "OS-EXT-SRV-ATTR:root_device_name";

fn text(row: &Value, key: &str) -> String {
    row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Everything about a server but the content of its disks, and its volumes as Cinder describes them.
pub async fn describe(
    cloud: &Cloud,
    server: &Server,
    now_secs: i64,
) -> Result<(ServerDescription, Vec<Volume>), CloudError> {
    let (attached, server_groups, ports) =
        tokio::try_join!(attached(cloud, server), groups(cloud, server), interfaces(cloud, server))?;
    let description = ServerDescription {
        version: VERSION,
        id: server.id().to_owned(),
        name: server.name().to_owned(),
        project_id: server.project_id().to_owned(),
        description: some(server.text("description")),
        hostname: some(server.text("OS-EXT-SRV-ATTR:hostname")),
        status: server.status().to_owned(),
        flavor: server.map("flavor"),
        image_id: server.image_id().map(str::to_owned),
        availability_zone: some(server.text("OS-EXT-AZ:availability_zone")),
        metadata: server.map("metadata"),
        tags: server.texts("tags"),
        key_name: some(server.text("key_name")),
        user_data: some(server.text(USER_DATA)),
        user_data_is_hidden: server.document.get(USER_DATA).is_none(),
        has_config_drive: matches!(server.text("config_drive"), "True" | "true" | "1"),
        server_groups,
        ports,
        disks: disks(server, &attached),
        taken_at: now_secs,
        ..ServerDescription::default()
    };
    Ok((description, attached.into_iter().map(|(_, volume)| volume).collect()))
}

/// Whether a server boots from this volume, as far as the login is shown it. One that is gone boots from nothing.
pub async fn boots_from(cloud: &Cloud, server_id: &str, volume_id: &str) -> Result<bool, CloudError> {
    let server = match servers::show(cloud, server_id).await {
        Err(error) if error.is_not_found() => return Ok(false),
        other => other?,
    };
    if server.image_id().is_some() {
        return Ok(false);
    }
    let disks = disks(&server, &attached(cloud, &server).await?);
    Ok(disks.iter().any(|disk| disk.is_boot && disk.role == volume_id))
}

async fn attached(cloud: &Cloud, server: &Server) -> Result<Vec<(Value, Volume)>, CloudError> {
    let rows = servers::volumes(cloud, server.id()).await?;
    let shown = rows.into_iter().map(|row| async move {
        let volume = volumes::show(cloud, &text(&row, "volumeId")).await?;
        Ok((row, volume))
    });
    try_join_all(shown).await
}

async fn groups(cloud: &Cloud, server: &Server) -> Result<Vec<Named>, CloudError> {
    let mut found = Vec::new();
    for id in server.texts("server_groups") {
        let name = match lookups::server_group(cloud, &id).await {
            Ok(group) => text(&group, "name"),
            Err(error) if error.is_not_found() => String::new(),
            Err(error) => return Err(error),
        };
        found.push(Named { id, name });
    }
    Ok(found)
}

/// Disks in the order of their devices, the one the server boots from first.
fn disks(server: &Server, attached: &[(Value, Volume)]) -> Vec<DiskDescription> {
    let root_device = some(server.text(ROOT_DEVICE));
    let mut disks: Vec<DiskDescription> = attached
        .iter()
        .map(|(row, volume)| DiskDescription {
            role: volume.id().to_owned(),
            volume_id: Some(volume.id().to_owned()),
            device: row.get("device").and_then(Value::as_str).map(str::to_owned),
            is_boot: false,
            delete_on_termination: row
                .get("delete_on_termination")
                .and_then(Value::as_bool)
                .unwrap_or_default(),
            tag: row.get("tag").and_then(Value::as_str).map(str::to_owned),
        })
        .collect();
    disks.sort_by_key(|disk| device_key(disk.device.as_deref()));
    if server.image_id().is_some() {
        let root = DiskDescription {
            role: ROOT.to_owned(),
            device: root_device,
            is_boot: true,
            delete_on_termination: true,
            ..DiskDescription::default()
        };
        disks.insert(0, root);
        return disks;
    }
    let is_bootable = |disk: &DiskDescription| {
        attached.iter().any(|(_, volume)| volume.id() == disk.role && volume.is_bootable())
    };
    // Where policy hides the name of the root device, it is the first device that can be booted from.
    let named = disks.iter().position(|disk| root_device.is_some() && disk.device == root_device);
    let boot = named.or_else(|| disks.iter().position(is_bootable)).unwrap_or_default();
    if boot < disks.len() {
        let mut first = disks.remove(boot);
        first.is_boot = true;
        disks.insert(0, first);
    }
    disks
}

/// Ports with the names of all they refer to, in the order in which Nova lists their addresses.
async fn interfaces(cloud: &Cloud, server: &Server) -> Result<Vec<PortDescription>, CloudError> {
    let addresses = server.map("addresses");
    let macs: Vec<String> = addresses
        .values()
        .filter_map(Value::as_array)
        .flatten()
        .map(|row| text(row, "OS-EXT-IPS-MAC:mac_addr"))
        .collect();
    let mut rows = match ports::list(cloud, &[("device_id", server.id())]).await {
        Ok(rows) => rows,
        // A cloud without Neutron: servers without a network are all there can be.
        Err(CloudError::Session { .. }) if macs.is_empty() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    rows.sort_by_key(|row| macs.iter().position(|mac| *mac == text(row, "mac_address")));
    let tags = match rows.is_empty() {
        true => Vec::new(),
        false => servers::interfaces(cloud, server.id()).await?,
    };
    let security_groups = match rows.is_empty() {
        true => Vec::new(),
        false => networks::security_groups(cloud, server.project_id()).await?,
    };
    let mut found = Vec::new();
    for row in &rows {
        found.push(port(cloud, row, &tags, &security_groups).await?);
    }
    Ok(found)
}

async fn port(
    cloud: &Cloud,
    row: &Value,
    tags: &[Value],
    security_groups: &[Value],
) -> Result<PortDescription, CloudError> {
    let (id, network_id) = (text(row, "id"), text(row, "network_id"));
    let network = networks::networks(cloud, &[("id", &network_id)]).await?.pop().unwrap_or_default();
    let subnets = networks::subnets(cloud, &network_id).await?;
    let cidr = |id: &str| {
        let found = subnets.iter().find(|subnet| text(subnet, "id") == id);
        found.map(|subnet| text(subnet, "cidr")).unwrap_or_default()
    };
    let group = |id: &str| {
        let found = security_groups.iter().find(|group| text(group, "id") == id);
        Named { id: id.to_owned(), name: found.map(|group| text(group, "name")).unwrap_or_default() }
    };
    let list = |key: &str| row.get(key).and_then(Value::as_array).into_iter().flatten();
    let fields: Map<String, Value> = OF_A_PORT
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), row.get(*key)?.clone())))
        .filter(|(_, value)| is_worth_saying(value))
        .collect();
    Ok(PortDescription {
        name: text(row, "name"),
        network: Named { name: text(&network, "name"), id: network_id },
        mac_address: text(row, "mac_address"),
        fixed_ips: list("fixed_ips")
            .map(|row| {
                let subnet_id = text(row, "subnet_id");
                FixedIp { address: text(row, "ip_address"), cidr: cidr(&subnet_id), subnet_id }
            })
            .collect(),
        security_groups: list("security_groups").filter_map(Value::as_str).map(group).collect(),
        tag: tags
            .iter()
            .find(|row| text(row, "port_id") == id)
            .and_then(|row| row.get("tag")?.as_str().map(str::to_owned)),
        fields,
        id,
    })
}

/// Neutron is told nothing that is so anyway.
fn is_worth_saying(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(rows) => !rows.is_empty(),
        _ => true,
    }
}
