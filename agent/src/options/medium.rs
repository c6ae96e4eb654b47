//! What an action works on, chosen by `mode` and the ids together. Upstream looks at the ids alone, so that a job says one
//! thing and does another; here what contradicts is refused.

use super::values::{OptionsError, Values};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Medium {
    Files,
    /// A volume's content, in our format.
    Volume(Pick),
    /// Images of Glance.
    Images(ImagePick),
    /// An image of a Ceph cluster that this host reaches.
    Rbd {
        pool: String,
        image: String,
    },
    Servers(ServerPick),
    /// Cinder's own backups of a volume.
    CinderNative(Option<String>),
    /// The control plane of a cloud, from this host.
    ControlPlane,
    /// What a command prints, or what comes in on standard input.
    Stream,
    /// Databases of a MariaDB or MySQL server, as dumps.
    Mysql,
    /// The files of a MariaDB server and its binary logs.
    MysqlFiles,
    /// A PostgreSQL cluster and its log.
    Postgresql,
    /// A MongoDB server, as one archive.
    Mongo,
    /// Databases of a Microsoft SQL Server and their logs.
    SqlServer,
    /// Everything of a project.
    Project,
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    Id(String),
    Name(String),
    /// A restore that names the backup only.
    Unnamed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImagePick {
    One(Pick),
    /// Every image of the project whose name does not hold this text (upstream's meaning of the filter).
    AllWithout(String),
    Project(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerPick {
    One(Pick),
    Tag(String),
    /// `key=value`.
    Metadata(String, String),
    Project(String),
}

/// Mode and the options that choose a resource of it.
const CHOOSERS: [(&str, &[&str]); 6] = [
    ("cinder", &["cinder_vol_id", "cinder_vol_name"]),
    ("cindernative", &["cindernative_vol_id", "cindernative_backup_id"]),
    ("nova", &["nova_inst_id", "nova_inst_name", "nova_inst_tag", "nova_inst_metadata"]),
    ("glance", &["glance_image_id", "glance_image_name", "glance_image_name_filter"]),
    ("rbd", &["rbd_image", "rbd_pool"]),
    ("project", &["project_select", "project_exclude", "project_map", "project_restore_to"]),
];
/// Engines that upstream's jobs name for a mode.
const ENGINES: [(&str, &[&str]); 5] = [
    ("cinder", &["tar", "image"]),
    ("rbd", &["tar", "image"]),
    ("nova", &["tar", "image", "nova"]),
    ("glance", &["tar", "image", "glance"]),
    ("project", &["tar", "set"]),
];

/// Upstream's engines whose backups this agent restores into a folder and does not make.
const ONLY_READ: [&str; 6] = ["rsync", "rsyncv2", "osbrick", "nova", "glance", "cinder"];

/// What is no folder, and what its backups say in their manifests that they are of. These words never change: they are all that
/// tells the kinds apart, and an increment is built on what says the same.
static SOURCES: [(Medium, &str); 7] = [
    (Medium::ControlPlane, "the control plane"),
    (Medium::Stream, "a stream"),
    (Medium::Mysql, "databases"),
    (Medium::MysqlFiles, "the files of a MariaDB server"),
    (Medium::Postgresql, "a PostgreSQL cluster"),
    (Medium::Mongo, "a MongoDB server"),
    (Medium::SqlServer, "databases of a SQL Server"),
];

/// What is the same for all of a medium.
struct Facts {
    mode: &'static str,
    content: Content,
    /// For messages: the options that say what to save.
    needed: &'static str,
}

/// How an agent gets at what a medium holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// A folder of this host.
    Folder,
    /// Asked of a service.
    Resource,
    /// Handed in as it comes, and always saved whole: nobody can tell what of it changed.
    Stream,
    /// Handed in as it comes; its increments are logs.
    StreamAndLogs,
}

impl Medium {
    fn facts(&self) -> Facts {
        use Content::{Folder, Resource, Stream, StreamAndLogs};
        let (mode, content, needed) = match self {
            Self::Files => ("fs", Folder, "path_to_backup (what to save)"),
            Self::Volume(_) => ("cinder", Resource, "cinder_vol_id or cinder_vol_name (what to save)"),
            Self::Images(_) => (
                "glance",
                Resource,
                "glance_image_id, glance_image_name, glance_image_name_filter or project_id (what to save)",
            ),
            Self::Rbd { .. } => ("rbd", Resource, "rbd_pool and rbd_image (what to save)"),
            Self::Servers(_) => (
                "nova",
                Resource,
                "nova_inst_id, nova_inst_name, nova_inst_tag, nova_inst_metadata or project_id (what to save)",
            ),
            Self::CinderNative(_) => ("cindernative", Resource, "cindernative_vol_id (what to save)"),
            Self::ControlPlane => ("cloud", Stream, "cloud_conf (what the control plane consists of)"),
            Self::Stream => ("stream", Stream, "backup_name (what the stream is called)"),
            Self::Mysql => ("mysql", Stream, "mysql_conf (where the server is, and the login)"),
            Self::MysqlFiles => ("mysql", StreamAndLogs, "mysql_conf (where the server is, and the login)"),
            Self::Postgresql => {
                ("postgresql", StreamAndLogs, "postgresql_conf (where the server is, and the login)")
            }
            Self::Mongo => ("mongo", Stream, "mongo_conf (where the server is, and the login)"),
            Self::SqlServer => {
                ("sqlserver", StreamAndLogs, "sql_server_conf (where the server is, and the login)")
            }
            Self::Project => ("project", Resource, "a login for the project (what to save)"),
        };
        Facts { mode, content, needed }
    }

    /// `mode` of the medium.
    pub fn mode(&self) -> &'static str {
        self.facts().mode
    }

    /// What its backups say that they are of, where that is no path.
    pub fn source(&self) -> Option<&'static str> {
        SOURCES.iter().find(|(medium, _)| medium == self).map(|(_, source)| *source)
    }

    /// The medium whose backups say so.
    pub fn of_source(source: &str) -> Option<&'static Self> {
        SOURCES.iter().find(|(_, known)| *known == source).map(|(medium, _)| medium)
    }

    /// All media that are no folder, and what their backups say.
    pub fn fed() -> impl Iterator<Item = (&'static Self, &'static str)> {
        SOURCES.iter().map(|(medium, source)| (medium, *source))
    }

    /// `mysql_form`, where the mode alone does not tell the medium.
    pub fn form(&self) -> Option<&'static str> {
        (*self == Self::MysqlFiles).then_some("physical")
    }

    /// For messages: the options that choose this medium.
    pub fn chosen_by(&self) -> String {
        let form = self.form().map(|form| format!(" and mysql_form {form}")).unwrap_or_default();
        format!("mode {}{form}", self.mode())
    }

    /// For messages: the options that say what to save.
    pub fn needed(&self) -> &'static str {
        self.facts().needed
    }

    /// What `{resource_id}` in the name of a backup stands for; none for the host.
    pub fn resource(&self) -> Option<&str> {
        match self {
            Self::Volume(pick)
            | Self::Images(ImagePick::One(pick))
            | Self::Servers(ServerPick::One(pick)) => pick.text(),
            Self::Images(ImagePick::Project(id)) | Self::Servers(ServerPick::Project(id)) => Some(id),
            Self::Rbd { image, .. } => Some(image),
            Self::CinderNative(volume) => volume.as_deref(),
            _ => None,
        }
    }

    /// What is no folder of this host, but handed in as it comes.
    pub fn is_fed(&self) -> bool {
        matches!(self.facts().content, Content::Stream | Content::StreamAndLogs)
    }

    /// Streams that are always saved whole: nobody can tell what of them changed.
    pub fn is_always_whole(&self) -> bool {
        self.facts().content == Content::Stream
    }

    /// Servers whose increments are their logs.
    pub fn has_logs(&self) -> bool {
        self.facts().content == Content::StreamAndLogs
    }

    /// Whether its backups are archives of files, whatever they were made of.
    pub fn is_archive(&self) -> bool {
        self.facts().content != Content::Resource
    }
}

impl Pick {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Id(text) | Self::Name(text) => Some(text),
            Self::Unnamed => None,
        }
    }

    fn read(values: &Values, id: &str, name: &str) -> Result<Self, OptionsError> {
        match (values.text(id)?, values.text(name)?) {
            (Some(_), Some(_)) => {
                Err(OptionsError::Conflict(format!("{id} and {name} are both given; give one")))
            }
            (Some(id), None) => Ok(Self::Id(id)),
            (None, Some(name)) => Ok(Self::Name(name)),
            (None, None) => Ok(Self::Unnamed),
        }
    }
}

/// The mode that `mode` and the ids agree on.
pub fn mode(values: &Values) -> Result<String, OptionsError> {
    let by_ids: Vec<(&str, &str)> = CHOOSERS
        .iter()
        .filter_map(|(mode, keys)| Some((*mode, *keys.iter().find(|key| values.is_set(key))?)))
        .collect();
    if let [(one, key), (other, another), ..] = by_ids.as_slice() {
        return Err(OptionsError::Conflict(format!(
            "{key} is of mode {one} and {another} of mode {other}; one action works on one of them"
        )));
    }
    let said = values.text("mode")?.unwrap_or_default();
    match by_ids.first() {
        Some((mode, key)) if values.is_set("mode") && said != *mode => Err(OptionsError::Conflict(format!(
            "mode {said} and {key} contradict each other; {key} is of mode {mode}"
        ))),
        Some((mode, _)) => Ok((*mode).to_owned()),
        None => Ok(said),
    }
}

/// The medium of an action. What this agent has not is refused, never quietly done otherwise.
pub fn choose(values: &Values) -> Result<Medium, OptionsError> {
    let mode = mode(values)?;
    let medium = match mode.as_str() {
        "fs" => Medium::Files,
        "cinder" => Medium::Volume(Pick::read(values, "cinder_vol_id", "cinder_vol_name")?),
        "glance" => Medium::Images(images(values)?),
        "rbd" => rbd(values)?,
        "nova" => Medium::Servers(servers(values)?),
        "cindernative" => Medium::CinderNative(values.text("cindernative_vol_id")?),
        "cloud" => Medium::ControlPlane,
        "stream" => Medium::Stream,
        "mysql" if values.text("mysql_form")?.as_deref() == Some("physical") => Medium::MysqlFiles,
        "mysql" => Medium::Mysql,
        "postgresql" => Medium::Postgresql,
        "mongo" => Medium::Mongo,
        // Horizon of old says it so.
        "sqlserver" | "mssql" => Medium::SqlServer,
        "project" => Medium::Project,
        other => {
            return Err(OptionsError::bad("mode", format!("'{other}' is not available in this agent")));
        }
    };
    let engine = values.text("engine_name")?.unwrap_or_default();
    let known = ENGINES.iter().find(|(name, _)| *name == mode).map_or(&["tar"][..], |(_, engines)| engines);
    let is_of_upstream = mode == "fs" && ONLY_READ.contains(&engine.as_str());
    let is_reading = matches!(values.text("action")?.as_deref(), Some("restore" | "info"));
    if is_of_upstream && !is_reading {
        let cause = format!(
            "'{engine}' is only read: its backups can be restored, new ones of folders are made by tar"
        );
        return Err(OptionsError::bad("engine_name", cause));
    }
    if !is_of_upstream && !known.contains(&engine.as_str()) {
        let cause =
            format!("'{engine}' is not available in this agent for mode {mode}; it has {}", known.join(", "));
        return Err(OptionsError::bad("engine_name", cause));
    }
    if values.is_set("cinderbrick_vol_id") {
        return Err(OptionsError::bad(
            "cinderbrick_vol_id",
            "volumes of this host are not available; use mode cinder",
        ));
    }
    Ok(medium)
}

fn images(values: &Values) -> Result<ImagePick, OptionsError> {
    let pick = Pick::read(values, "glance_image_id", "glance_image_name")?;
    match (pick, values.text("glance_image_name_filter")?, values.text("project_id")?) {
        (Pick::Unnamed, Some(text), _) => Ok(ImagePick::AllWithout(text)),
        (Pick::Unnamed, None, Some(project)) => Ok(ImagePick::Project(project)),
        (pick, None, _) => Ok(ImagePick::One(pick)),
        _ => Err(OptionsError::Conflict("glance_image_name_filter excludes id and name".to_owned())),
    }
}

fn servers(values: &Values) -> Result<ServerPick, OptionsError> {
    let pick = Pick::read(values, "nova_inst_id", "nova_inst_name")?;
    let (tag, metadata) = (values.text("nova_inst_tag")?, values.text("nova_inst_metadata")?);
    match (pick, tag, metadata, values.text("project_id")?) {
        (Pick::Unnamed, Some(tag), None, _) => Ok(ServerPick::Tag(tag)),
        (Pick::Unnamed, None, Some(pair), _) => match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(ServerPick::Metadata(key.to_owned(), value.to_owned()))
            }
            _ => Err(OptionsError::bad("nova_inst_metadata", format!("'{pair}' is not key=value"))),
        },
        (Pick::Unnamed, None, None, Some(project)) => Ok(ServerPick::Project(project)),
        (pick, None, None, _) => Ok(ServerPick::One(pick)),
        _ => {
            Err(OptionsError::Conflict("id, name, tag and metadata of servers exclude each other".to_owned()))
        }
    }
}

fn rbd(values: &Values) -> Result<Medium, OptionsError> {
    let part = |key: &str| -> Result<String, OptionsError> {
        let text = values.text(key)?.unwrap_or_default();
        let is_plain =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if text.is_empty() || text.starts_with('-') || !is_plain {
            return Err(OptionsError::bad(key, format!("'{text}' is no plain name of a pool or image")));
        }
        Ok(text)
    };
    Ok(Medium::Rbd { pool: part("rbd_pool")?, image: part("rbd_image")? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn chosen(action: Value) -> Result<Medium, String> {
        let mut values = Values::default();
        values.fill(action.as_object().unwrap());
        choose(&values).map_err(|error| error.to_string())
    }

    #[test]
    fn mode_and_ids_agree() {
        let volume = Medium::Volume(Pick::Id("v".into()));
        assert_eq!(chosen(json!({"cinder_vol_id": "v"})), Ok(volume.clone()));
        assert_eq!(chosen(json!({"cinder_vol_id": "v", "mode": "cinder", "engine_name": "tar"})), Ok(volume));
        assert_eq!(chosen(json!({})), Ok(Medium::Files));
        assert_eq!(chosen(json!({"mode": "cinder"})), Ok(Medium::Volume(Pick::Unnamed)));
        assert_eq!(chosen(json!({"mode": "mssql"})), Ok(Medium::SqlServer));
        assert_eq!(chosen(json!({"mode": "mongo"})), Ok(Medium::Mongo));
        let project = json!({"mode": "nova", "engine_name": "nova", "project_id": "p"});
        assert_eq!(chosen(project), Ok(Medium::Servers(ServerPick::Project("p".into()))));
    }

    #[test]
    fn upstreams_engines_are_only_read() {
        for engine in ONLY_READ {
            assert_eq!(chosen(json!({"action": "restore", "engine_name": engine})), Ok(Medium::Files));
            let error = chosen(json!({"action": "backup", "engine_name": engine})).unwrap_err();
            assert!(error.contains("only read"), "{error}");
        }
    }

    #[test]
    fn what_a_backup_says_it_is_of_tells_how_it_comes_back() {
        for (medium, source) in Medium::fed() {
            assert!(medium.is_fed() && !source.starts_with('/'), "{source}");
            assert_eq!((Medium::of_source(source), medium.source()), (Some(medium), Some(source)));
            assert_eq!(
                chosen(json!({"mode": medium.mode(), "mysql_form": medium.form()})),
                Ok(medium.clone())
            );
        }
        let sources: std::collections::BTreeSet<_> = Medium::fed().map(|(_, source)| source).collect();
        assert_eq!(sources.len(), SOURCES.len());
        assert_eq!((Medium::Files.source(), Medium::of_source("/etc")), (None, None));
        assert_eq!(Medium::MysqlFiles.chosen_by(), "mode mysql and mysql_form physical");
    }

    #[test]
    fn contradictions_are_refused() {
        for (action, word) in [
            (json!({"mode": "fs", "cinder_vol_id": "v"}), "mode fs and cinder_vol_id contradict"),
            (json!({"mode": "mysql", "cinder_vol_id": "v"}), "contradict"),
            (json!({"cinder_vol_id": "v", "nova_inst_id": "s"}), "one action works on one"),
            (json!({"cinder_vol_id": "v", "cinder_vol_name": "n"}), "give one"),
            (json!({"cinder_vol_id": "v", "engine_name": "rsync"}), "engine_name"),
            (json!({"mode": "rbd", "rbd_pool": "p", "rbd_image": "a/b"}), "no plain name"),
            (json!({"mode": "rbd", "rbd_pool": "--conf", "rbd_image": "a"}), "no plain name"),
            (json!({"nova_inst_metadata": "x"}), "key=value"),
            (json!({"mode": "project", "cinder_vol_id": "v"}), "mode project and cinder_vol_id contradict"),
            (
                json!({"mode": "cinder", "project_select": "volume"}),
                "mode cinder and project_select contradict",
            ),
            (json!({"mode": "project", "engine_name": "nova"}), "it has tar, set"),
        ] {
            let error = chosen(action.clone()).unwrap_err();
            assert!(error.contains(word), "{action}: {error}");
        }
    }
}
