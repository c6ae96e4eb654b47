//! What follows the restore of a database server's files, so that the server comes back at the wanted moment.

use super::ActionError;
use crate::databases::mariadb::{self, Replay};
use crate::databases::mongo::{self, MongoConf, OplogPlace};
use crate::databases::postgresql::{self, Recovery, Target};
use crate::databases::sqlserver::{self, Area, Load, SqlServerConf};
use crate::options::medium::Medium;
use crate::options::typed::ActionOptions;
use freezer_storage::Store;
use freezer_vault::restore::{RestoreReport, RestoreRequest};
use freezer_vault::{Engine, Hbn, Monitor};
use std::path::PathBuf;
use std::sync::Arc;

/// What is to be done with what was restored.
pub(super) enum Recover {
    Nothing,
    Postgresql {
        data: PathBuf,
        recovery: Recovery,
    },
    /// The parts lie in `raw`, beside the data directory that is to be.
    Mariadb {
        raw: Raw,
        data: PathBuf,
        replay: Replay,
        warnings: Vec<String>,
    },
    /// The archive lies in `raw` until the server has it.
    Mongo {
        raw: Raw,
        conf: Box<MongoConf>,
        limit: Option<OplogPlace>,
        replaces: bool,
    },
    SqlServer {
        area: Area,
        load: Box<Load>,
        warnings: Vec<String>,
    },
    /// Files alone, and what is worth knowing about them.
    Told(Vec<String>),
}

/// Chooses the state to restore, and where it is restored to.
pub(super) async fn plan(
    options: &ActionOptions,
    store: &Arc<dyn Store>,
    request: &mut RestoreRequest,
) -> Result<Recover, ActionError> {
    if options.medium == Medium::Mongo && options.servers.loads {
        return into_mongo(options, request);
    }
    if !options.medium.has_logs() {
        return Ok(Recover::Nothing);
    }
    let hbn = Hbn::of(Engine::Tar, &options.hostname, &request.backup_name)?;
    let recovery =
        postgresql::aim(store, &hbn, options.restore_from_date, options.recovery_target_lsn).await?;
    request.not_after_secs = recovery.not_after_secs;
    // What is left of another server would be taken for its own.
    request.overwrite = false;
    let data = request.target.clone();
    if !request.extract.only.is_everything() {
        return Ok(Recover::Nothing);
    }
    if options.medium == Medium::Postgresql {
        return Ok(Recover::Postgresql { data, recovery });
    }
    if options.medium == Medium::SqlServer {
        return into_sql_server(options, recovery, request);
    }
    let replay = match (&options.recovery_target_binlog, recovery.target) {
        (Some(place), _) => Replay::Place(place.clone()),
        (None, Target::Time(secs)) => Replay::Time(secs),
        (None, _) => Replay::End,
    };
    let raw = Raw::beside(&data, request.dry_run)?;
    request.target = raw.path.clone();
    Ok(Recover::Mariadb { raw, data, replay, warnings: recovery.warnings })
}

fn into_mongo(options: &ActionOptions, request: &mut RestoreRequest) -> Result<Recover, ActionError> {
    let missing = || ActionError::Failed("mongo_conf is not set".to_owned());
    let file = options.servers.mongo_conf.as_ref().ok_or_else(missing)?;
    let conf = MongoConf::read(file).map_err(ActionError::Failed)?;
    let raw = Raw::within(&request.target, request.dry_run)?;
    request.target = raw.path.clone();
    request.overwrite = false;
    let limit = options.servers.recovery_target_oplog;
    Ok(Recover::Mongo { raw, conf: Box::new(conf), limit, replaces: options.servers.replaces })
}

fn into_sql_server(
    options: &ActionOptions,
    recovery: Recovery,
    request: &mut RestoreRequest,
) -> Result<Recover, ActionError> {
    if !options.servers.loads {
        return Ok(Recover::Told(recovery.warnings));
    }
    let missing = || ActionError::Failed("sql_server_conf is not set".to_owned());
    let file = options.servers.sql_server_conf.as_ref().ok_or_else(missing)?;
    let conf = SqlServerConf::read(file).map_err(ActionError::Failed)?;
    let mut warnings = recovery.warnings;
    warnings.extend(conf.warning());
    let area = Area::new(&conf, request.dry_run).map_err(ActionError::Failed)?;
    request.target = area.path().to_owned();
    let until_secs = match recovery.target {
        Target::Time(secs) => Some(secs),
        Target::End | Target::Place(_) => None,
    };
    let load = Load { conf, until_secs, replaces: options.servers.replaces };
    Ok(Recover::SqlServer { area, load: Box::new(load), warnings })
}

impl Recover {
    /// Whether a server gets what was restored.
    fn loads(&self) -> bool {
        matches!(self, Self::Mongo { .. } | Self::SqlServer { .. })
    }

    pub(super) async fn finish(
        self,
        report: &mut RestoreReport,
        monitor: &Arc<Monitor>,
    ) -> Result<(), ActionError> {
        if report.dry_run {
            return Ok(());
        }
        let loads = self.loads();
        if loads && report.is_partial {
            let text = "not everything could be restored, so nothing was loaded into the server; verify tells what is damaged";
            return Err(ActionError::Failed(text.to_owned()));
        }
        let token = monitor.token().clone();
        let (monitor, runtime) = (monitor.clone(), tokio::runtime::Handle::current());
        let work = move || match self {
            Self::Nothing => Ok(Vec::new()),
            Self::Postgresql { data, recovery } => recovery.prepare(&data).map(|()| recovery.warnings),
            Self::Mariadb { raw, data, replay, mut warnings } => {
                warnings.extend(mariadb::restore(&raw.path, &data, &replay, &monitor, &runtime)?);
                Ok(warnings)
            }
            Self::Mongo { raw, conf, limit, replaces } => {
                let _inside = runtime.enter();
                mongo::load(&conf, &raw.path, limit, replaces, &monitor)
            }
            Self::SqlServer { area, load, mut warnings } => {
                let _inside = runtime.enter();
                warnings.extend(sqlserver::load(&load, &area, &monitor)?);
                Ok(warnings)
            }
            Self::Told(warnings) => Ok(warnings),
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string());
        if token.is_cancelled() {
            return Err(ActionError::Aborted);
        }
        let told = done.and_then(|done| done).map_err(|cause| {
            let what = if loads {
                "not all is loaded into the server"
            } else {
                "the server is not ready to be started"
            };
            ActionError::Failed(format!("the data were read, but {what}: {cause}"))
        })?;
        report.warnings.extend(told);
        Ok(())
    }
}

/// A folder beside a data directory; it goes when the restore ends, however it ends.
pub(super) struct Raw {
    path: PathBuf,
    is_made: bool,
}

impl Raw {
    /// In a folder that is made when missing, whatever else it holds.
    fn within(folder: &std::path::Path, is_dry: bool) -> Result<Self, ActionError> {
        let fail = |error: std::io::Error| ActionError::Failed(format!("{}: {error}", folder.display()));
        let path = folder.join(format!(".freezer-{}", uuid::Uuid::new_v4().simple()));
        if !is_dry {
            std::fs::create_dir_all(folder).map_err(fail)?;
            let mut private = std::fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700);
            private.create(&path).map_err(fail)?;
        }
        Ok(Self { path, is_made: !is_dry })
    }

    fn beside(data: &std::path::Path, is_dry: bool) -> Result<Self, ActionError> {
        let fail = |error: std::io::Error| ActionError::Failed(format!("{}: {error}", data.display()));
        // Short: a socket lies below it, and their paths have little room.
        let name = format!(".freezer-{:.8}", uuid::Uuid::new_v4().simple().to_string());
        if is_dry {
            return Ok(Self { path: data.with_file_name(name), is_made: false });
        }
        std::fs::create_dir_all(data).map_err(fail)?;
        if std::fs::read_dir(data).map_err(fail)?.next().is_some() {
            let text =
                format!("{} is not empty; a server is restored into an empty directory", data.display());
            return Err(ActionError::Failed(text));
        }
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(data, private).map_err(fail)?;
        let data = std::fs::canonicalize(data).map_err(fail)?;
        let path = data.with_file_name(name);
        std::fs::create_dir(&path).map_err(fail)?;
        Ok(Self { path, is_made: true })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if self.is_made
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the folder of a restore stays");
        }
    }
}
