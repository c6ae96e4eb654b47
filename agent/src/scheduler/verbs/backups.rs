//! backup-list

use super::super::exit::Failure;
use super::super::table;
use super::Said;
use super::service::{Service, shown};
use serde_json::{Value, json};

/// Records name hosts, not clients: without `--all` those of this host are meant.
pub async fn list(service: &Service, said: &Said<'_>) -> Result<(), Failure> {
    let own = json!({"match": [{"hostname": crate::serve::hostname()}]});
    let search = if said.flag("all") { json!({}) } else { own };
    let columns = [
        ("backup uuid", "/backup_id"),
        ("container", "/backup_metadata/container"),
        ("backup name", "/backup_metadata/backup_name"),
        ("timestamp", "/backup_metadata/time_stamp"),
        ("level", "/backup_metadata/curr_backup_level"),
        ("path", "/backup_metadata/path_to_backup"),
        ("job-id", "/backup_metadata/job_id"),
        ("client-id", "/backup_metadata/client_id"),
        ("hostname", "/backup_metadata/hostname"),
    ];
    let columns = columns.get(..if said.flag("long") { 9 } else { 6 }).unwrap_or(&columns);
    let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
    let row = |backup: &Value| columns.iter().map(|(_, key)| shown(backup, key)).collect();
    let backups = service.all("backups", &search).await?;
    table::print(&titles, &backups.iter().map(row).collect::<Vec<_>>());
    Ok(())
}
