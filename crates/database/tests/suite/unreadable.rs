//! Rows that this program cannot read: written by a newer one, or damaged.

use crate::place::*;
use crate::sessions::session;
use freezer_database::*;
use freezer_model::*;

type Outcome = Result<(), DbError>;

/// Three of each noun; `bad` of each is not readable.
fn fill(place: &Place) {
    place
        .db
        .transaction(|tx| -> Outcome {
            for id in ["ant", "bad", "cat"] {
                tx.clients().insert(&client("a", id))?;
                tx.actions().insert(&action("a", id))?;
                tx.actions().insert(&action("a", &format!("{id}-too")))?;
                tx.jobs().insert(&job("a", id, &["ant", &format!("{id}-too")]))?;
                tx.jobs().insert(&job("a", &format!("{id}-planned"), &["ant"]))?;
                tx.jobs().insert(&job("a", &format!("{id}-known"), &["ant"]))?;
                tx.sessions().insert(&session("a", id))?;
                tx.runs().insert(&run("a", "j", id))?;
                tx.backups().insert(&backup("a", id, 1))?;
            }
            Ok(())
        })
        .unwrap();
    for statement in [
        "UPDATE clients SET link = 'pigeon' WHERE client_id = 'bad'",
        "UPDATE actions SET freezer_action = '{\"a\":' WHERE action_id IN ('bad', 'bad-too')",
        "UPDATE jobs SET shown_actions = NULL WHERE job_id = 'bad'",
        "UPDATE jobs SET plan = '[]' WHERE job_id = 'bad-planned'",
        "UPDATE jobs SET status = 'frozen' WHERE job_id = 'bad-known'",
        "UPDATE sessions SET schedule = '' WHERE session_id = 'bad'",
        "UPDATE runs SET state = 'dreaming' WHERE run_id = 'bad'",
        "UPDATE backups SET status = 'melted' WHERE backup_id = 'bad'",
    ] {
        place.execute(statement);
    }
}

pub fn lists_leave_out_what_cannot_be_read(place: &Place) {
    fill(place);
    let (project, any) = (p("a"), JobFilter::default());
    let jobs = ["ant", "ant-known", "ant-planned", "cat", "cat-known", "cat-planned"];
    place
        .db
        .read(|tx| -> Outcome {
            let scope = Scope::Project(&project);
            let read = tx.jobs().list(scope, &any, None, Page::ALL)?;
            assert_eq!(read.iter().map(|job| job.job_id.as_str()).collect::<Vec<_>>(), jobs);
            let list = JobList { scope, filter: &any, viewer: None };
            let all = shown(&place.db, list, None, Page::ALL)?;
            assert_eq!(all.iter().map(|seen| seen.job.job_id.as_str()).collect::<Vec<_>>(), jobs);
            let found = shown(&place.db, list, Some(&|_| true), Page { offset: 1, limit: Some(3) })?;
            assert_eq!(found.iter().map(|seen| seen.job.job_id.as_str()).collect::<Vec<_>>(), jobs[1..4]);
            let actions = tx.actions().list(&project, None, Page::ALL)?;
            let ids: Vec<_> = actions.iter().map(|action| action.action_id.as_str()).collect();
            assert_eq!(ids, ["ant", "ant-too", "cat", "cat-too"]);
            let clients = tx.clients().list(&project, &ClientFilter::default(), None, Page::ALL)?;
            assert_eq!(
                clients.iter().map(|client| client.client_id.as_str()).collect::<Vec<_>>(),
                ["ant", "cat"]
            );
            let sessions = tx.sessions().list(&project, &SessionFilter::default(), None, Page::ALL)?;
            assert_eq!(
                sessions.iter().map(|one| one.session_id.as_str()).collect::<Vec<_>>(),
                ["ant", "cat"]
            );
            let runs = tx.runs().list(&project, &RunFilter::default(), None, Page::ALL)?;
            assert_eq!(runs.iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>(), ["cat", "ant"]);
            let orders = tx.runs().without_steps(&["cat", "bad", "ant"].map(RunId::from))?;
            assert_eq!(orders.iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>(), ["cat", "ant"]);
            let backups = tx.backups().list(&project, &BackupFilter::default(), None, Page::ALL)?;
            assert_eq!(backups.iter().map(|one| one.backup_id.as_str()).collect::<Vec<_>>(), ["ant", "cat"]);
            Ok(())
        })
        .unwrap();
}

pub fn whoever_asks_for_an_unreadable_row_is_told(place: &Place) {
    fill(place);
    let project = p("a");
    let told = |outcome: Result<bool, DbError>, words: &[&str]| {
        let error = outcome.expect_err("the row is not readable");
        assert!(matches!(error, DbError::Corrupt { .. }), "{error}");
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    let db = &place.db;
    let job = |id: &'static str| {
        db.read(|tx| tx.jobs().show(&project, &JobId::from(id), None)).map(|job| job.is_some())
    };
    told(job("bad-known"), &["job \"bad-known\"", "status", "frozen"]);
    told(job("bad-planned"), &["job \"bad-planned\"", "plan"]);
    told(job("bad"), &["job \"bad\"", "bad-too", "freezer_action"]);
    told(
        db.read(|tx| tx.actions().get(&project, &ActionId::from("bad"))).map(|one| one.is_some()),
        &["action \"bad\"", "freezer_action"],
    );
    told(
        db.read(|tx| tx.clients().get(&project, &ClientId::from("bad"))).map(|one| one.is_some()),
        &["client \"bad\"", "pigeon"],
    );
    told(
        db.read(|tx| tx.sessions().get(&project, &SessionId::from("bad"))).map(|one| one.is_some()),
        &["session \"bad\"", "schedule"],
    );
    told(
        db.read(|tx| tx.runs().get(&project, &RunId::from("bad"))).map(|one| one.is_some()),
        &["run \"bad\"", "dreaming"],
    );
    told(
        db.read(|tx| tx.backups().get(&project, &BackupId::from("bad"))).map(|one| one.is_some()),
        &["backup \"bad\"", "melted"],
    );
}
