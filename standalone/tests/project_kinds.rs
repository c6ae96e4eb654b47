//! Mode project on a real cloud: what hangs together in more than one service, or needs what only an administrator makes: routers
//! with a gateway, floating addresses, server groups, flavors with disks of their own, volumes of several servers, stacks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod cloud;

use cloud::admin::{External, Flavor, VolumeType};
use cloud::heat::stack;
use cloud::login;
use cloud::one_shot::Said;
use cloud::project::{Hands, Project, content, scribble};
use cloud::servers::resources;
use cloud::stage::{PARTIAL, Stage, count};
use cloud::whole::{let_in, neutron, volumes};
use reqwest::Method;
use serde_json::{Value, json};

fn named<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}: {rows:?}"))
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no {key}: {row}"))
}

async fn servers(hands: &Hands) -> Vec<Value> {
    hands.nova(Method::GET, "/servers/detail", None).await.1["servers"].as_array().unwrap().clone()
}

async fn server_groups(hands: &Hands) -> Vec<Value> {
    hands.nova(Method::GET, "/os-server-groups", None).await.1["server_groups"].as_array().unwrap().clone()
}

/// `lan` and `back`, in which its address is another one than the gateway's, on a router with a gateway and a route; `web` with an interface in each, a floating address on the first, in a
/// server group.
async fn two_homed(hands: &Hands, external: &External) {
    let lan = hands.network("lan", "10.9.0.0/24").await;
    let back = hands.network("back", "10.8.0.0/24").await;
    let body = json!({"router": {"name": "gate", "external_gateway_info": {"network_id": external.id}}});
    let router = hands.neutron(Method::POST, "/routers", Some(&body)).await["router"].take();
    let path = format!("/routers/{}", text(&router, "id"));
    let group = hands.security_group("web-only").await;
    let subnets = hands.neutron(Method::GET, &format!("/subnets?network_id={lan}"), None).await;
    let inner = json!({"port_id": hands.port(&back, "10.8.0.9", &group).await});
    for interface in [json!({"subnet_id": subnets["subnets"][0]["id"]}), inner] {
        hands.neutron(Method::PUT, &format!("{path}/add_router_interface"), Some(&interface)).await;
    }
    let routes = json!({"router": {"routes": [{"destination": "192.168.0.0/16", "nexthop": "10.8.0.7"}]}});
    hands.neutron(Method::PUT, &path, Some(&routes)).await;
    let first = hands.port(&lan, "10.9.0.77", &group).await;
    let second = hands.port(&back, "10.8.0.5", &group).await;
    let floating = json!({"floatingip": {"floating_network_id": external.id, "port_id": first, "description": "to the world"}});
    hands.neutron(Method::POST, "/floatingips", Some(&floating)).await;
    let body = json!({"server_group": {"name": "apart", "policy": "soft-anti-affinity"}});
    let (status, made) = hands.nova(Method::POST, "/os-server-groups", Some(&body)).await;
    assert_eq!(status, 200, "{made}");
    let fields = json!({
        "name": "web", "flavorRef": hands.flavor_id("tiny").await, "imageRef": hands.image_id().await,
        "networks": [{"port": second, "tag": "inner"}, {"port": first}],
    });
    hands.server_in(fields, text(&made["server_group"], "id")).await;
}

/// What is known of it without ids.
async fn connections(hands: &Hands) -> Value {
    let servers = servers(hands).await;
    let web = named(&servers, "web");
    let groups = server_groups(hands).await;
    let routers = neutron(hands, "/routers", "routers").await;
    let gate = named(&routers, "gate");
    let ports = hands.ports_of(text(web, "id")).await;
    let floating = neutron(hands, "/floatingips", "floatingips").await;
    let port =
        ports.iter().find(|port| port["id"] == floating[0]["port_id"]).expect("on a port of the server");
    let (_, plugged) =
        hands.nova(Method::GET, &format!("/servers/{}/os-interface", text(web, "id")), None).await;
    let mut interfaces: Vec<Value> = plugged["interfaceAttachments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["mac_addr"], row["fixed_ips"][0]["ip_address"], row["tag"]]))
        .collect();
    interfaces.sort_by_key(Value::to_string);
    let mut inner = hands.ports_of(text(gate, "id")).await;
    inner.retain(|port| port["device_owner"] == "network:router_interface");
    assert!(inner.iter().all(|port| !text(port, "name").starts_with("freezer")), "{inner:?}");
    let mut inner: Vec<&Value> = inner.iter().map(|port| &port["fixed_ips"][0]["ip_address"]).collect();
    inner.sort_by_key(|address| address.to_string());
    json!({
        "inner": inner, "gateway": gate["external_gateway_info"]["network_id"], "routes": gate["routes"],
        "group": [groups.len(), groups[0]["name"], groups[0]["policy"], groups[0]["members"] == json!([web["id"]])],
        "interfaces": interfaces,
        "floating": [floating.len(), floating[0]["description"], floating[0]["fixed_ip_address"], port["fixed_ips"][0]["ip_address"]],
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_floating_addresses_and_groups_of_servers_come_back() {
    let external = External::create("172.30.7.0/24").await;
    let stage = Stage::new().await;
    let friends = Project::create().await;
    let_in(&stage.project, &friends).await;
    let hands = &stage.hands;
    two_homed(hands, &external).await;
    let (before, everything) = (connections(hands).await, resources(hands).await);
    let old = neutron(hands, "/floatingips", "floatingips").await.remove(0);
    let saved = stage.save().await.document();
    assert_eq!(count(&saved, "missing"), 0, "{saved:#}");
    assert_eq!(
        (&saved["resources"]["floating_ip"], &saved["resources"]["server_group"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(resources(hands).await, everything);

    // Into another project, beside the old ones.
    let theirs = Hands { login: login(&stage.project.user, &friends.name).await };
    let said = stage.run("restore", &["--project-restore-to", &friends.id]).await;
    have_come_back(&said, &theirs, &old, &before).await;
    assert_eq!(resources(hands).await, everything);

    let web = text(named(&servers(hands).await, "web"), "id").to_owned();
    hands.delete_server(&web).await;
    hands.clear_groups().await;
    hands.clear().await;
    let said = stage.run("restore", &[]).await;
    have_come_back(&said, hands, &old, &before).await;
}

/// The restore says so, and what is connected with what in the project of `hands` is as it was. `old` was the floating address.
async fn have_come_back(said: &Said, hands: &Hands, old: &Value, connected: &Value) {
    let new = neutron(hands, "/floatingips", "floatingips").await.remove(0);
    // A tenant may not choose it: another one is told, and makes the restore partial.
    let is_same = new["floating_ip_address"] == old["floating_ip_address"];
    let restored = said.document_of(if is_same { 0 } else { PARTIAL });
    assert_eq!((count(&restored, "failed"), count(&restored, "skipped")), (0, 0), "{restored:#}");
    assert_eq!(count(&restored, "notes"), usize::from(!is_same), "{restored:#}");
    let words =
        format!("is {} and was {}", text(&new, "floating_ip_address"), text(old, "floating_ip_address"));
    assert!(is_same || restored["notes"][0].as_str().unwrap().contains(&words), "{restored:#}");
    assert_eq!(&connections(hands).await, connected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_of_a_flavor_come_back_empty_and_a_volume_of_two_servers_is_shared_again() {
    let (kind, flavor) = (VolumeType::multiattach().await, Flavor::with_own_disks().await);
    let stage = Stage::new().await;
    let hands = &stage.hands;
    let shared = hands.volume_of(json!({"name": "shared", "size": 1, "volume_type": kind.name})).await;
    scribble(&shared);
    let image = hands.image_id().await;
    for name in ["one", "two"] {
        let fields = json!({"name": name, "flavorRef": flavor.id, "imageRef": image, "networks": "none", "block_device_mapping_v2": [
            {"uuid": image, "source_type": "image", "destination_type": "local", "boot_index": 0, "delete_on_termination": true},
            {"uuid": shared, "source_type": "volume", "destination_type": "volume", "boot_index": null},
        ]});
        let server = hands.server(fields).await;
        hands.booted(&server, 1).await;
    }
    let (original, before) = (content(&shared), resources(hands).await);
    let saved = stage.save().await.document();
    assert_eq!((count(&saved, "missing"), count(&saved, "members")), (0, 3), "{saved:#}");
    assert_eq!(resources(hands).await, before);
    let disks = Flavor::disks_of(text(named(&servers(hands).await, "one"), "id")).await;
    assert_eq!(disks.len(), 4, "its own, an ephemeral one, the volume, swap: {disks:?}");
    for server in servers(hands).await {
        hands.delete_server(text(&server, "id")).await;
    }
    hands.clear().await;

    let restored = stage.run("restore", &[]).await.document();
    assert_eq!((count(&restored, "failed"), count(&restored, "notes")), (0, 0), "{restored:#}");
    let there = volumes(hands).await;
    assert_eq!(
        (there.len(), &there[0]["multiattach"], &there[0]["volume_type"]),
        (1, &json!(true), &json!(kind.name))
    );
    let of: Vec<&Value> =
        there[0]["attachments"].as_array().unwrap().iter().map(|row| &row["server_id"]).collect();
    assert_eq!(of.len(), 2, "{there:?}");
    assert_eq!(content(text(&there[0], "id")), original);
    for server in servers(hands).await {
        let id = text(&server, "id");
        assert!(of.contains(&&server["id"]), "{of:?}");
        hands.booted(id, 2).await;
        assert_eq!(Flavor::disks_of(id).await, disks);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_template_of_a_stack_is_kept_for_reading() {
    let stage = Stage::new().await;
    let hands = &stage.hands;
    let id = stack(hands, "blog").await;
    let saved = stage.save().await.document();
    assert_eq!((count(&saved, "missing"), &saved["resources"]["stack"]), (0, &json!(1)), "{saved:#}");
    hands.remove_stack("blog", &id).await;

    let plan = ["--project-select", "stack/blog", "--dry-run"];
    let shown = stage.run("restore", &plan).await.document();
    assert_eq!(shown["steps"][0]["deed"], "note", "{shown:#}");
    let kept = &shown["documents"][format!("stack {id}")];
    assert_eq!(kept["template"]["resources"]["net"]["type"], "OS::Neutron::Net", "{shown:#}");
    assert_eq!(kept["environment"]["parameters"]["title"], "inner", "{shown:#}");
    // What the stack had made comes back as a network, and the stack does not make it a second time.
    let restored = stage.run("restore", &[]).await.document();
    assert_eq!(count(&restored, "made"), 1, "{restored:#}");
    assert_eq!(text(&neutron(hands, "/networks", "networks").await[0], "name"), "inner");
}
