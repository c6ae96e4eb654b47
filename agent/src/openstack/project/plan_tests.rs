#![allow(clippy::unwrap_used)]

use super::super::topology::{Member, Missing};
use super::*;
use serde_json::{Value, json};

fn resource(kind: Kind, id: &str, name: &str, document: Value) -> Resource {
    let backup = kind.has_data().then(|| Member { hbn: "h_b".into(), timestamp: 7, engine: "image".into() });
    Resource { id: ResourceId::new(kind, id), name: name.into(), owned: true, document, backup }
}

/// A server with a port on an own network behind a router, and a data volume.
fn project() -> Topology {
    let mut external = resource(Kind::Network, "n-ext", "public", json!({}));
    external.owned = false;
    Topology {
        version: 1,
        project_id: "home".into(),
        taken_at: 100,
        resources: vec![
            resource(
                Kind::Server,
                "s1",
                "web",
                json!({
                    "key_name": "mine",
                    "port_ids": ["p1"],
                    "saved_server": {},
                    "os-extended-volumes:volumes_attached": [{"id": "v1"}],
                }),
            ),
            resource(Kind::Volume, "v1", "data", json!({})),
            resource(
                Kind::Port,
                "p1",
                "",
                json!({
                    "network_id": "n1",
                    "fixed_ips": [{"subnet_id": "sub1", "ip_address": "10.0.0.5"}],
                    "security_groups": ["g-default", "g1"],
                }),
            ),
            resource(Kind::SecurityGroup, "g-default", "default", json!({})),
            resource(Kind::SecurityGroup, "g1", "web", json!({})),
            resource(Kind::Keypair, "mine", "mine", json!({})),
            resource(Kind::Subnet, "sub1", "sub", json!({"network_id": "n1"})),
            resource(Kind::Network, "n1", "net", json!({})),
            resource(
                Kind::Router,
                "r1",
                "gate",
                json!({"external_gateway_info": {"network_id": "n-ext"}, "interface_subnets": ["sub1"]}),
            ),
            external,
            resource(Kind::Image, "i1", "golden", json!({})),
            resource(Kind::Stack, "st", "stack", json!({})),
        ],
        missing: Vec::new(),
        absent: Vec::new(),
        excluded: Vec::new(),
    }
}

fn elsewhere() -> Target {
    let mut target = Target { project_id: "other".into(), ..Target::default() };
    target.present.insert(ResourceId::new(Kind::Network, "n-ext"));
    target.named.insert((Kind::SecurityGroup, "default".into()), vec!["g-other".into()]);
    target
}

fn deeds(plan: &Plan) -> Vec<String> {
    let deed = |step: &Step| match &step.deed {
        Deed::Create { name } => format!("{} create {name}", step.resource.id),
        Deed::Use { id } => format!("{} use {id}", step.resource.id),
        Deed::Keep => format!("{} keep", step.resource.id),
        Deed::Note => format!("{} note", step.resource.id),
    };
    plan.steps.iter().map(deed).collect()
}

#[test]
fn another_project_gets_all_in_an_order_that_works() {
    let plan = plan(&project(), &Selection::Everything, &elsewhere(), "~100").unwrap();
    assert_eq!(plan.refused, []);
    let expected = [
        "mine create mine",
        "g-default use g-other",
        "g1 create web",
        "n-ext use n-ext",
        "n1 create net",
        "sub1 create sub",
        "r1 create gate",
        "p1 create ",
        "i1 create golden",
        "v1 create data",
        "s1 create web",
        "st note",
    ];
    let mut sorted = deeds(&plan);
    // Networks are in the order of their ids, which says nothing.
    sorted.sort_by_key(|deed| expected.iter().position(|known| known == deed));
    assert_eq!(sorted, expected);
    for (place, step) in plan.steps.iter().enumerate() {
        for need in needs(project().find(&step.resource).unwrap()) {
            assert!(plan.steps[..place].iter().any(|before| before.resource == need), "{need} too late");
        }
    }
}

#[test]
fn at_home_only_what_is_gone_is_made() {
    let topology = project();
    let mut target = Target { project_id: "home".into(), ..Target::default() };
    target.present = topology.resources.iter().map(|resource| resource.id.clone()).collect();
    target.present.remove(&ResourceId::new(Kind::Volume, "v1"));
    let plan = plan(&topology, &Selection::Everything, &target, "~100").unwrap();
    let made: Vec<String> = deeds(&plan).into_iter().filter(|deed| deed.contains(" create ")).collect();
    assert_eq!(made, ["v1 create data"]);
    assert!(deeds(&plan).contains(&"s1 keep".to_owned()));
}

#[test]
fn a_chosen_one_brings_what_it_needs_and_stands_beside_its_older_self() {
    let topology = project();
    let mut target = Target { project_id: "home".into(), ..Target::default() };
    target.present = topology.resources.iter().map(|resource| resource.id.clone()).collect();
    let chosen = Selection::Chosen([ResourceId::new(Kind::Server, "s1")].into());
    let plan = plan(&topology, &chosen, &target, "~100").unwrap();
    assert!(deeds(&plan).contains(&"s1 create web~100".to_owned()));
    assert!(deeds(&plan).contains(&"v1 create data~100".to_owned()), "{plan}");
    assert!(deeds(&plan).contains(&"p1 use p1".to_owned()), "{plan}");
    assert!(deeds(&plan).contains(&"n1 use n1".to_owned()), "{plan}");
    assert!(!deeds(&plan).iter().any(|deed| deed.starts_with("i1")));
    target.busy.insert(ResourceId::new(Kind::Port, "p1"));
    let plan = super::plan(&topology, &chosen, &target, "~100").unwrap();
    let port = plan.steps.iter().find(|step| step.resource.kind == Kind::Port).unwrap();
    assert!(matches!(port.deed, Deed::Create { .. }) && port.reason.contains("another address"));
    target.conflicts.insert(ResourceId::new(Kind::Server, "s1"), "its flavor is not there".into());
    let refused = super::plan(&topology, &chosen, &target, "~100").unwrap().refused;
    assert!(refused.len() == 1 && !refused[0].is_lost && refused[0].reason.contains("flavor"));
    let unknown = Selection::Chosen([ResourceId::new(Kind::Server, "s9")].into());
    assert!(
        super::plan(&topology, &unknown, &target, "")
            .unwrap_err()
            .contains("server s9 is not in this backup")
    );
}

#[test]
fn a_server_that_is_gone_gets_parts_of_its_own_where_others_have_them() {
    let topology = project();
    let mut target = Target { project_id: "home".into(), ..Target::default() };
    target.present = topology.resources.iter().map(|resource| resource.id.clone()).collect();
    target.busy = [ResourceId::new(Kind::Port, "p1"), ResourceId::new(Kind::Volume, "v1")].into();
    let made = |target: &Target| -> Vec<String> {
        let plan = plan(&topology, &Selection::Everything, target, "~100").unwrap();
        deeds(&plan).into_iter().filter(|deed| deed.contains(" create ")).collect()
    };
    // They are its own.
    assert_eq!(made(&target), Vec::<String>::new());
    target.present.remove(&ResourceId::new(Kind::Server, "s1"));
    assert_eq!(made(&target), ["p1 create ", "v1 create data~100", "s1 create web"]);
    target.busy.clear();
    assert_eq!(made(&target), ["s1 create web"]);
}

#[test]
fn a_server_comes_back_without_a_key_that_is_nowhere() {
    let mut topology = project();
    // Nor without one that this login may not make.
    let mut target = elsewhere();
    target.impossible.insert(ResourceId::new(Kind::Keypair, "mine"), "it is another user's".into());
    let without = super::plan(&topology, &Selection::Everything, &target, "").unwrap();
    let refused: Vec<(&str, bool)> =
        without.refused.iter().map(|refusal| (refusal.resource.id.as_str(), refusal.is_lost)).collect();
    assert_eq!(refused, [("mine", true)]);
    assert!(deeds(&without).contains(&"s1 create web".to_owned()), "{without}");
    topology.resources.retain(|resource| resource.id.kind != Kind::Keypair);
    let plan = plan(&topology, &Selection::Everything, &elsewhere(), "").unwrap();
    assert!(plan.refused.is_empty() && deeds(&plan).contains(&"s1 create web".to_owned()), "{plan}");
    // Nor without a volume that was left out, unless it boots from it.
    let volume = ResourceId::new(Kind::Volume, "v1");
    topology.resources.retain(|resource| resource.id != volume);
    topology.excluded.push(volume);
    for (is_boot, refusals) in [(false, 0), (true, 1)] {
        for server in topology.resources.iter_mut().filter(|resource| resource.id.kind == Kind::Server) {
            server.document["saved_server"] = json!({"disks": [{"volume_id": "v1", "is_boot": is_boot}]});
        }
        let plan = super::plan(&topology, &Selection::Everything, &elsewhere(), "").unwrap();
        assert_eq!(plan.refused.len(), refusals, "{plan}");
    }
    // Nothing is known of how it was.
    for resource in &mut topology.resources {
        if resource.id.kind == Kind::Server {
            resource.document.as_object_mut().unwrap().remove("saved_server");
        }
    }
    let plan = super::plan(&topology, &Selection::Everything, &elsewhere(), "").unwrap();
    let refused: Vec<(&str, bool)> =
        plan.refused.iter().map(|refusal| (refusal.resource.id.as_str(), refusal.is_lost)).collect();
    assert_eq!(refused, [("s1", true)]);
}

#[test]
fn what_cannot_be_had_is_refused_with_all_that_needs_it() {
    let mut topology = project();
    for resource in &mut topology.resources {
        if resource.id.kind == Kind::Volume {
            resource.backup = None;
        }
    }
    let mut target = elsewhere();
    target.present.clear();
    let plan = plan(&topology, &Selection::Everything, &target, "").unwrap();
    let refused: Vec<&str> = plan.refused.iter().map(|refusal| refusal.resource.id.as_str()).collect();
    assert_eq!(refused, ["n-ext", "r1", "v1", "s1"]);
    target.mapped.insert((Kind::Network, "public".into()), "n-new".into());
    let plan = super::plan(&topology, &Selection::Everything, &target, "").unwrap();
    let refused: Vec<&str> = plan.refused.iter().map(|refusal| refusal.resource.id.as_str()).collect();
    assert_eq!(refused, ["v1", "s1"]);
    assert!(plan.refused.iter().all(|refusal| refusal.is_lost), "{plan}");
    assert!(deeds(&plan).contains(&"n-ext use n-new".to_owned()));
}

#[test]
fn a_restore_that_is_repeated_goes_on_with_what_is_left() {
    let topology = project();
    let mut target = elsewhere();
    let made = [(Kind::Network, "n1"), (Kind::Volume, "v1")];
    target.restored = made.map(|(kind, id)| (ResourceId::new(kind, id), format!("new-{id}"))).into();
    target.conflicts.insert(ResourceId::new(Kind::Keypair, "mine"), "another key has the name".into());
    let plan = plan(&topology, &Selection::Everything, &target, "").unwrap();
    assert!(deeds(&plan).contains(&"n1 use new-n1".to_owned()), "{plan}");
    assert!(deeds(&plan).contains(&"v1 use new-v1".to_owned()), "{plan}");
    assert!(deeds(&plan).contains(&"sub1 create sub".to_owned()), "{plan}");
    let refused: Vec<(&str, bool)> =
        plan.refused.iter().map(|refusal| (refusal.resource.id.as_str(), refusal.is_lost)).collect();
    assert_eq!(refused, [("mine", false), ("s1", false)]);
}

#[test]
fn what_could_not_be_saved_keeps_only_what_needs_it_from_coming_back() {
    let mut topology = project();
    topology.resources.retain(|resource| resource.id.id != "sub1");
    let refused = |topology: &Topology| -> Vec<(String, bool)> {
        let plan = plan(topology, &Selection::Everything, &elsewhere(), "").unwrap();
        plan.refused.into_iter().map(|refusal| (refusal.resource.id, refusal.is_lost)).collect()
    };
    let all = |is_lost: bool| ["r1", "p1", "s1"].map(|id| (id.to_owned(), is_lost));
    // Nobody knows why it is not in the backup: somebody has to decide.
    assert_eq!(refused(&topology), all(false));
    for id in [Some("sub1".to_owned()), None] {
        topology.missing = vec![Missing { kind: Kind::Subnet, id, reason: "no answer".into() }];
        assert_eq!(refused(&topology), all(true));
    }
    topology.missing =
        vec![Missing { kind: Kind::Subnet, id: Some("another".into()), reason: String::new() }];
    assert_eq!(refused(&topology), all(false));
}
