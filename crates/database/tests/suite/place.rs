//! A database for one test.

use freezer_database::*;
use freezer_model::document::{Entries, JobDocument, PidShown, TrustShown};
use freezer_model::*;
use serde_json::{Map, Value, json};

pub struct Place {
    pub db: Database,
    /// As the service is told it.
    address: String,
    url: String,
    _folder: Option<tempfile::TempDir>,
    #[cfg(feature = "mysql")]
    drop_url: Option<(String, String)>,
}

impl Place {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:///{}", folder.path().join("freezer.sqlite").display());
        let db = open(&url, |_| {});
        Self {
            db,
            address: url,
            url: folder.path().join("freezer.sqlite").display().to_string(),
            _folder: Some(folder),
            #[cfg(feature = "mysql")]
            drop_url: None,
        }
    }

    #[cfg(feature = "mysql")]
    pub fn mysql() -> Self {
        let server = std::env::var("FREEZER_TEST_MYSQL")
            .unwrap_or_else(|_| "mysql+pymysql://freezer_test:freezer_test@127.0.0.1:3306/".to_owned());
        let name = format!("freezer_test_{}", uuid::Uuid::new_v4().simple());
        let plain = format!("mysql://{}", server.split_once("://").expect("a URL in FREEZER_TEST_MYSQL").1);
        execute(&plain, &format!("CREATE DATABASE {name}"));
        let address = format!("{}/{name}?charset=utf8", server.trim_end_matches('/'));
        let db = open(&address, |_| {});
        let url = format!("{}/{name}", plain.trim_end_matches('/'));
        Self { db, address, url, _folder: None, drop_url: Some((plain, format!("DROP DATABASE {name}"))) }
    }

    /// The same rows through another pool.
    pub fn again(&self, change: impl FnOnce(&mut DatabaseOptions)) -> Database {
        open(&self.address, change)
    }

    /// The statements of a migration, as this database gets them.
    pub fn migration(&self, name: &str) -> String {
        #[cfg(feature = "mysql")]
        let kind = if self.drop_url.is_some() { "mysql" } else { "sqlite" };
        #[cfg(not(feature = "mysql"))]
        let kind = "sqlite";
        let file = format!("{}/migrations/{kind}/{name}/up.sql", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(file).unwrap()
    }

    /// Changes rows behind the service's back.
    pub fn execute(&self, statement: &str) {
        use diesel::{Connection, connection::SimpleConnection};
        #[cfg(feature = "mysql")]
        if self.drop_url.is_some() {
            return execute(&self.url, statement);
        }
        let mut connection = diesel::SqliteConnection::establish(&self.url).unwrap();
        connection.batch_execute(statement).unwrap();
    }
}

fn open(url: &str, change: impl FnOnce(&mut DatabaseOptions)) -> Database {
    let mut options = DatabaseOptions {
        max_pool_size: 4,
        max_overflow: 12,
        max_retries: 0,
        deadlock_retries: 100,
        counts_statements: true,
        ..DatabaseOptions::new(url)
    };
    change(&mut options);
    let db = Database::connect(&options).unwrap();
    db.sync().unwrap();
    db
}

#[cfg(feature = "mysql")]
fn execute(url: &str, statement: &str) {
    use diesel::{Connection, connection::SimpleConnection};
    let mut connection = diesel::MysqlConnection::establish(url).unwrap_or_else(|error| {
        panic!("no MySQL for the tests ({error}): start the services: make services")
    });
    connection.batch_execute(statement).unwrap();
}

#[cfg(feature = "mysql")]
impl Drop for Place {
    fn drop(&mut self) {
        if let Some((url, statement)) = &self.drop_url {
            execute(url, statement);
        }
    }
}

pub fn p(text: &str) -> ProjectId {
    ProjectId::from(text)
}

pub fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub fn client(project: &str, id: &str) -> Client {
    Client {
        project_id: p(project),
        client_id: ClientId::from(id),
        uuid: format!("uuid-{project}-{id}"),
        user_id: UserId::from("user"),
        hostname: Some("host.example".to_owned()),
        description: None,
        capabilities: Capabilities::default(),
        is_central: false,
        link: Link::Poll,
        agent_version: None,
        created_at: Timestamp(1_000),
        last_seen_at: None,
    }
}

pub fn action(project: &str, id: &str) -> Action {
    Action {
        project_id: p(project),
        action_id: ActionId::from(id),
        user_id: UserId::from("user"),
        freezer_action: object(json!({"action": "backup", "zeta": 1, "alpha": [true, null, 1.5]})),
        max_retries: 5,
        max_retries_interval: 6,
        mandatory: true,
        created_at: Timestamp(1_000),
    }
}

pub fn job(project: &str, id: &str, actions: &[&str]) -> Job {
    let created = Timestamp(5_000);
    Job {
        project_id: p(project),
        job_id: JobId::from(id),
        user_id: UserId::from("user"),
        client_id: ClientId::from("node1"),
        description: Some("nightly".to_owned()),
        session_id: None,
        session_tag: 0,
        plan: object(json!({"schedule_interval": "5 days", "schedule_date": "2026-01-01T00:00:00"})),
        state: JobState::fresh(created),
        actions: actions.iter().map(|id| action(project, id)).collect(),
        credentials: None,
        created_at: created,
        plan_version: 1,
        next_run_at: None,
    }
}

pub fn run(project: &str, job: &str, id: &str) -> Run {
    Run {
        run_id: RunId::from(id),
        project_id: p(project),
        job_id: JobId::from(job),
        client_id: ClientId::from("node1"),
        state: RunState::Queued,
        epoch: Epoch(0),
        action_index: 0,
        attempt: 0,
        losses: 0,
        actions: vec![action(project, "a")],
        steps: Vec::new(),
        progress: Progress::default(),
        error: None,
        abort_requested: false,
        cause: "schedule".to_owned(),
        request_id: None,
        due_at: Timestamp(1),
        created_at: Timestamp(2),
        started_at: None,
        finished_at: None,
        attention_at: Some(Timestamp(3)),
        share_tag: 0,
        waiting_for: None,
        is_unsent: false,
    }
}

pub fn backup(project: &str, id: &str, at: i64) -> Backup {
    Backup {
        project_id: p(project),
        backup_id: BackupId::from(id),
        user_id: UserId::from("user"),
        job_id: None,
        status: BackupStatus::Available,
        status_is_explicit: false,
        metadata: object(
            json!({"container": "vault", "hostname": "db1", "backup_name": format!("name-{id}"), "time_stamp": at}),
        ),
        created_at: Timestamp(at * 1000),
    }
}

/// A document of a job to be shown, as its text.
pub fn document_of<D: Entries>(job: &Job<D>) -> String {
    let mut text = Vec::new();
    JobDocument { job, actions: None, pid: PidShown::Yes, trust: TrustShown::Yes }.write(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// The document of a job as it was read to be shown.
pub fn document_seen(seen: &SeenJob) -> String {
    let mut text = Vec::new();
    let actions = seen.actions.as_deref();
    let document = JobDocument { job: &seen.job, actions, pid: PidShown::Yes, trust: TrustShown::Yes };
    document.write(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// A list of jobs to be shown.
pub fn shown(
    db: &Database,
    list: JobList<'_>,
    residual: Residual<'_, SeenJob>,
    page: Page,
) -> Result<Vec<SeenJob>, DbError> {
    let (mut cursor, mut large, mut all) = (Cursor::of(page), LargePage::default(), Vec::new());
    while !cursor.is_over() {
        db.advance_jobs(list, residual, (&mut cursor, &mut large), &mut |job| {
            all.push(job);
            Ok::<(), DbError>(())
        })?;
    }
    Ok(all)
}
