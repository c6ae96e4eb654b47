//! A name that several servers have means all of them; each has a backup of its own.

use super::cloud::project::{Hands, Project};
use super::cloud::servers::resources;
use super::{agent, folder, ids};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Backups of servers in the folder.
fn sets(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder.join("store/metadata/set")).unwrap();
    names.map(|name| std::fs::read_dir(name.unwrap().path()).unwrap().count()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_one_name_are_saved_and_come_back_each_for_itself() {
    let project = Project::create().await;
    let (hands, folder) = (Hands::of(&project).await, folder("[DEFAULT]\n"));
    let (flavor, image) = (hands.flavor_id("tiny").await, hands.image_id().await);
    let mut made = Vec::new();
    for name in ["twin", "twin", "other"] {
        let fields = json!({"name": name, "flavorRef": flavor, "imageRef": image, "networks": "none"});
        made.push(hands.server(fields).await);
    }
    let twins = BTreeSet::from([made[0].as_str(), made[1].as_str()]);
    let before = resources(&hands).await;
    let run = async |action: &str, more: &[&str]| agent(&project, folder.path(), action, more).await;
    let by_name = ["--nova-inst-name", "twin"];
    for _ in 0..2 {
        let saved = run("backup", &by_name).await.document();
        assert_eq!(ids(&saved), twins, "{saved}");
    }
    assert_eq!(resources(&hands).await, before);
    assert!(sets(folder.path()) > 2);
    let rotated = run("admin", &[&by_name[..], &["--keep-last", "1"]].concat()).await;
    assert_eq!((rotated.status, sets(folder.path())), (Some(0), 2), "{}", rotated.err);

    // One name cannot be that of both.
    let one = [&by_name[..], &["--restore-name", "again"]].concat();
    run("restore", &one).await.fails_with(&["2 servers", "nova_inst_id"]);
    let plan = async |which: &[&str]| -> Vec<Value> {
        let planned = run("restore", &[which, &["--dry-run"]].concat()).await.document();
        planned["servers"].as_array().unwrap().clone()
    };
    let planned = plan(&by_name).await;
    let servers: BTreeSet<&str> = planned.iter().map(|row| row["server"].as_str().unwrap()).collect();
    assert_eq!((planned.len(), servers), (2, twins), "{planned:?}");

    // One is gone: the other one has the name and the backup's to itself, and its newest state is what comes back.
    hands.delete_server(&made[1]).await;
    let alone = run("backup", &by_name).await.document();
    assert_eq!(alone["nova_inst_id"], made[0], "{alone}");
    for which in [by_name, ["--nova-inst-id", made[0].as_str()]] {
        let planned = plan(&which).await;
        let row = planned.iter().find(|row| row["server"] == made[0]).unwrap();
        assert_eq!(row["timestamp"], alone["time_stamp"], "{planned:?}");
    }
    let restored = run("restore", &["--nova-inst-id", made[1].as_str()]).await.document();
    assert_eq!(restored["server_of_backup"], made[1], "{restored}");
}
