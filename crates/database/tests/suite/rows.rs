//! What is written comes back, lists are ordered, filtered and cheap.

use crate::place::*;
use freezer_database::*;
use freezer_model::*;
use serde_json::json;

type Outcome = Result<(), DbError>;

pub fn clients_own_before_central(place: &Place) {
    let db = &place.db;
    db.transaction(|tx| -> Outcome {
        let mut central = client("ops", "shared");
        central.is_central = true;
        tx.clients().insert(&central)?;
        tx.clients().insert(&client("b", "only-b"))?;
        Ok(())
    })
    .unwrap();
    let get = |project: &str, id: &str| {
        db.read(|tx| tx.clients().get(&p(project), &ClientId::from(id)))
            .unwrap()
            .map(|c| c.project_id.into_string())
    };
    assert_eq!(get("a", "shared").as_deref(), Some("ops"));
    assert_eq!(get("a", "only-b"), None);
    db.transaction(|tx| tx.clients().insert(&client("a", "shared"))).unwrap();
    assert_eq!(get("a", "shared").as_deref(), Some("a"));
    assert_eq!(get("b", "shared").as_deref(), Some("ops"));
    let ids = |project: &str, residual: Residual<'_, Client>| -> Vec<String> {
        db.read(|tx| tx.clients().list(&p(project), &ClientFilter::default(), residual, Page::ALL))
            .unwrap()
            .into_iter()
            .map(|c| format!("{}/{}", c.project_id, c.client_id))
            .collect()
    };
    assert_eq!(ids("a", None), ["a/shared", "ops/shared"]);
    assert_eq!(ids("b", None), ["b/only-b", "ops/shared"]);
    assert_eq!(ids("b", Some(&|c: &Client| c.is_central)), ["ops/shared"]);
    assert!(!db.transaction(|tx| tx.clients().delete(&p("a"), &ClientId::from("only-b"))).unwrap());
    assert!(db.transaction(|tx| tx.clients().delete(&p("b"), &ClientId::from("only-b"))).unwrap());
    let all = db.read(|tx| tx.clients().of_any_project(&ClientId::from("shared"))).unwrap();
    assert_eq!(all.len(), 2);
}

pub fn client_upsert_and_signs_of_life(place: &Place) {
    let db = &place.db;
    let mut c = client("a", "n");
    db.transaction(|tx| tx.clients().upsert(&c)).unwrap();
    c.link = Link::Amqp;
    c.agent_version = Some("1.2".to_owned());
    c.capabilities.modes = vec!["fs".to_owned()];
    c.hostname = None;
    c.last_seen_at = Some(Timestamp(100));
    db.transaction(|tx| tx.clients().upsert(&c)).unwrap();
    let read = db.read(|tx| tx.clients().get(&c.project_id, &c.client_id)).unwrap().unwrap();
    assert_eq!(read, c);
    let seen = || db.read(|tx| tx.clients().get(&c.project_id, &c.client_id)).unwrap().unwrap().last_seen_at;
    let heard = |project: &str| {
        db.transaction(|tx| tx.clients().touch_of(&p(project), &[&c.client_id], Timestamp(500))).unwrap()
    };
    assert_eq!((heard("b"), seen()), (0, Some(Timestamp(100))));
    assert_eq!((heard("a"), seen()), (1, Some(Timestamp(500))));
    let many = [(&c.project_id, &c.client_id)];
    db.transaction(|tx| tx.clients().touch_many(&many, Timestamp(600))).unwrap();
    assert_eq!(seen(), Some(Timestamp(600)));
}

pub fn with_actions(db: &Database, project: &str, ids: &[&str]) {
    db.transaction(|tx| -> Outcome {
        for id in ids {
            tx.actions().insert(&action(project, id))?;
        }
        Ok(())
    })
    .unwrap();
}

pub fn actions_and_their_jobs(place: &Place) {
    let db = &place.db;
    with_actions(db, "a", &["x", "y"]);
    with_actions(db, "b", &["x"]);
    db.transaction(|tx| -> Outcome {
        tx.jobs().insert(&job("a", "j", &["x", "y", "x"]))?;
        tx.jobs().insert(&job("b", "j", &["x"]))
    })
    .unwrap();
    let listed = |project: &str| -> Vec<String> {
        let job = db.read(|tx| tx.jobs().get(&p(project), &JobId::from("j"))).unwrap().unwrap();
        job.actions.into_iter().map(|a| a.action_id.into_string()).collect()
    };
    assert_eq!(listed("a"), ["x", "y", "x"]);
    // Editing a saved action shows in the jobs that use it, of this project only.
    let mut edited = action("a", "x");
    edited.max_retries = 77;
    db.transaction(|tx| tx.actions().save(&edited)).unwrap();
    let job_a = db.read(|tx| tx.jobs().get(&p("a"), &JobId::from("j"))).unwrap().unwrap();
    let job_b = db.read(|tx| tx.jobs().get(&p("b"), &JobId::from("j"))).unwrap().unwrap();
    assert_eq!((job_a.actions[2].max_retries, job_b.actions[0].max_retries), (77, 5));
    assert!(!db.transaction(|tx| tx.actions().delete(&p("b"), &ActionId::from("y"))).unwrap());
    assert!(db.transaction(|tx| tx.actions().delete(&p("a"), &ActionId::from("x"))).unwrap());
    assert_eq!(listed("a"), ["y"]);
    assert_eq!(listed("b"), ["x"]);
    let found = db.read(|tx| tx.actions().find_many(&p("a"), &["x".into(), "y".into(), "z".into()])).unwrap();
    assert_eq!(found, [action("a", "y")]);
}

pub fn jobs_round_trip(place: &Place) {
    let db = &place.db;
    with_actions(db, "a", &["x", "y"]);
    let mut j = job("a", "j", &["y", "x"]);
    db.transaction(|tx| tx.jobs().insert(&j)).unwrap();
    let read = || db.read(|tx| tx.jobs().get(&p("a"), &JobId::from("j"))).unwrap().unwrap();
    assert_eq!(read(), j);
    assert_eq!(read().plan.keys().collect::<Vec<_>>(), ["schedule_interval", "schedule_date"]);
    shown_as_it_is_read(db, &j);
    j.description = None;
    j.session_id = Some(String::new());
    j.session_tag = -3;
    j.state.event = JobEvent::Abort;
    j.state.status = JobStatus::Running;
    j.state.result = JobResult::Fail;
    j.state.current_pid = Some(1 << 40);
    j.credentials = Some(TrustCredentials { trust_id: "t".into(), trustor_user_id: UserId::from("u") });
    j.next_run_at = Some(Timestamp(9));
    j.actions = vec![action("a", "x")];
    j.plan.clear();
    db.transaction(|tx| {
        let _held = tx.jobs().get_for_update(&p("a"), &JobId::from("j"))?;
        tx.jobs().save(&j)
    })
    .unwrap();
    assert_eq!(read(), j);
    assert!(db.read(|tx| tx.jobs().is_trust_used("t")).unwrap());
    assert!(!db.read(|tx| tx.jobs().is_trust_used("u")).unwrap());
    j.state = JobState::fresh(Timestamp(1));
    assert!(db.transaction(|tx| tx.jobs().set_state(&p("a"), &j.job_id, &j.state)).unwrap());
    assert_eq!(read(), j);
    assert_eq!(db.read(|tx| tx.jobs().show_any_project(&j.job_id)).unwrap().unwrap().job.job_id, j.job_id);
    shown_as_it_is_read(db, &j);
    assert!(db.read(|tx| tx.jobs().get(&p("b"), &j.job_id)).unwrap().is_none());
    assert!(!db.transaction(|tx| tx.jobs().delete(&p("b"), &j.job_id)).unwrap());
    assert!(db.transaction(|tx| tx.jobs().delete(&p("a"), &j.job_id)).unwrap());
    assert!(db.read(|tx| tx.actions().get(&p("a"), &ActionId::from("x"))).unwrap().is_some());
}

/// The stored text makes the same document, to the letter, as what was written.
fn shown_as_it_is_read(db: &Database, j: &Job) {
    let one = db.read(|tx| tx.jobs().show(&j.project_id, &j.job_id, None)).unwrap().unwrap();
    assert_eq!(document_seen(&one), document_of(j));
    let (scope, filter) = (Scope::Project(&j.project_id), JobFilter::default());
    let listed = shown(db, JobList { scope, filter: &filter, viewer: None }, None, Page::ALL).unwrap();
    assert_eq!(listed.iter().map(document_seen).collect::<Vec<_>>(), [document_of(j)]);
}

pub fn job_lists(place: &Place) {
    let db = &place.db;
    with_actions(db, "a", &["x"]);
    db.transaction(|tx| -> Outcome {
        for n in 0..25 {
            let mut j = job("a", &format!("j{:02}", 24 - n), &["x"]);
            j.created_at = Timestamp(n / 2);
            j.client_id = ClientId::from(if n % 3 == 0 { "node1" } else { "node2" });
            j.state.status = if n % 5 == 0 { JobStatus::Completed } else { JobStatus::Scheduled };
            tx.jobs().insert(&j)?;
        }
        tx.jobs().insert(&job("b", "other", &[]))
    })
    .unwrap();
    let project = p("a");
    let list = |scope, filter: &JobFilter, residual: Residual<'_, Job>, page| -> Vec<Job> {
        db.read(|tx| tx.jobs().list(scope, filter, residual, page)).unwrap()
    };
    let any = JobFilter::default();
    let all = list(Scope::Project(&project), &any, None, Page::ALL);
    assert_eq!(all.len(), 25);
    assert!(all.iter().all(|job| job.actions.len() == 1));
    assert!(all.is_sorted_by_key(|job| (job.created_at, job.job_id.clone())));
    let mut paged = Vec::new();
    for offset in (0..30).step_by(7) {
        paged.extend(list(Scope::Project(&project), &any, None, Page { offset, limit: Some(7) }));
    }
    assert_eq!(paged, all);
    assert_eq!(list(Scope::All, &any, None, Page::ALL).len(), 26);
    let filter = JobFilter {
        client_id: Some(ClientId::from("node1")),
        status_not: vec![JobStatus::Completed],
        ..JobFilter::default()
    };
    let expected: Vec<Job> = all
        .iter()
        .filter(|job| job.client_id.as_str() == "node1" && job.state.status != JobStatus::Completed)
        .cloned()
        .collect();
    assert_eq!(list(Scope::Project(&project), &filter, None, Page::ALL), expected);
    let odd = |job: &Job| job.job_id.as_str().ends_with(['1', '3', '5', '7', '9']);
    let expected: Vec<Job> = all.iter().filter(|job| odd(job)).skip(2).take(4).cloned().collect();
    assert_eq!(
        list(Scope::Project(&project), &any, Some(&odd), Page { offset: 2, limit: Some(4) }),
        expected
    );
    assert!(list(Scope::Project(&project), &any, Some(&odd), Page::first(0)).is_empty());
}

pub fn lists_cost_a_fixed_number_of_statements(place: &Place) {
    let db = &place.db;
    with_actions(db, "a", &["x", "y"]);
    let cost = || {
        let before = db.statements();
        let jobs = db
            .read(|tx| tx.jobs().list(Scope::Project(&p("a")), &JobFilter::default(), None, Page::ALL))
            .unwrap();
        (jobs.len(), db.statements() - before)
    };
    let fill = |from: usize, to: usize| {
        db.transaction(|tx| -> Outcome {
            for n in from..to {
                tx.jobs().insert(&job("a", &format!("j{n}"), &["x", "y"]))?;
            }
            Ok(())
        })
        .unwrap();
    };
    fill(0, 3);
    assert_eq!(cost(), (3, 1));
    fill(3, 400);
    assert_eq!(cost(), (400, 1));
    // Batches of a residual search go on where the last one ended.
    fill(400, 2300);
    let last = |job: &Job| job.job_id.as_str() == "j999" || job.job_id.as_str() == "j0";
    let found =
        db.read(|tx| tx.jobs().list(Scope::All, &JobFilter::default(), Some(&last), Page::ALL)).unwrap();
    assert_eq!(found.len(), 2);
    own_clients_come_with_the_jobs(db);
}

/// Which jobs have a client of the project that looks is read with them, whatever else there is: own ones, central ones, and other
/// projects'.
fn own_clients_come_with_the_jobs(db: &Database) {
    let hosts = ["own", "both", "shared", "foreign", "none"];
    db.transaction(|tx| -> Outcome {
        for id in ["own", "both"] {
            tx.clients().insert(&client("c", id))?;
        }
        for id in ["shared", "both"] {
            let mut central = client("ops", id);
            central.is_central = true;
            tx.clients().insert(&central)?;
        }
        tx.clients().insert(&client("b", "foreign"))?;
        for host in hosts {
            let mut j = job("c", host, &[]);
            j.client_id = ClientId::from(host);
            tx.jobs().insert(&j)?;
        }
        Ok(())
    })
    .unwrap();
    let own = |viewer: Option<&str>| {
        let viewer = viewer.map(p);
        let before = db.statements();
        let any = JobFilter::default();
        let (project, filter) = (p("c"), &any);
        let list = JobList { scope: Scope::Project(&project), filter, viewer: viewer.as_ref() };
        let seen = shown(db, list, None, Page::ALL).unwrap();
        let cost = db.statements() - before;
        let few = shown(db, list, None, Page::first(100)).unwrap();
        assert!(few.iter().map(|one| one.has_own_client).eq(seen.iter().map(|one| one.has_own_client)));
        for one in &seen {
            let (project, id) = (p("c"), &one.job.job_id);
            let alone = db.read(|tx| tx.jobs().show(&project, id, viewer.as_ref())).unwrap().unwrap();
            assert_eq!(alone.has_own_client, one.has_own_client, "{id}");
        }
        let mut own: Vec<String> = seen
            .into_iter()
            .filter(|one| one.has_own_client)
            .map(|one| one.job.job_id.into_string())
            .collect();
        own.sort_unstable();
        (own.join(" "), cost)
    };
    assert_eq!(own(Some("c")), ("both own".to_owned(), 2), "weighed, as a list without a limit is");
    assert_eq!(own(Some("b")), (String::new(), 2), "another client of the same name");
    assert_eq!(own(Some("ops")), ("both shared".to_owned(), 2), "central ones");
    assert_eq!(own(None), (String::new(), 2));
}

pub fn runs_round_trip_and_lists(place: &Place) {
    let db = &place.db;
    let mut r = run("a", "j", "r1");
    db.transaction(|tx| tx.runs().insert(&r)).unwrap();
    r.state = RunState::Running;
    r.epoch = Epoch(7);
    r.steps.push(Step {
        action_index: 0,
        attempt: 1,
        epoch: Epoch(7),
        started_at: Some(Timestamp(4)),
        finished_at: None,
        outcome: Some(StepOutcome::Partial),
        exit_code: Some(-15),
        error: Some("é\n".into()),
        result: object(json!({"backup_metadata": {"b": 1, "a": 2}})),
        log: vec!["2026-01-01T00:00:00Z INFO saved".into()],
    });
    r.progress = Progress { bytes_done: u64::MAX, phase: "read".into(), ..Progress::default() };
    r.error = Some("text".repeat(20_000));
    r.abort_requested = true;
    r.action_index = 3;
    db.transaction(|tx| {
        assert!(tx.runs().get_for_update(&r.run_id)?.is_some());
        tx.runs().save(&r)
    })
    .unwrap();
    assert_eq!(db.read(|tx| tx.runs().get(&p("a"), &r.run_id)).unwrap().unwrap(), r);
    assert!(db.read(|tx| tx.runs().get(&p("b"), &r.run_id)).unwrap().is_none());
    db.transaction(|tx| -> Outcome {
        for n in 0..5 {
            let mut other = run("a", "k", &format!("k{n}"));
            other.created_at = Timestamp(n);
            other.state = RunState::ALL[n as usize];
            tx.runs().insert(&other)?;
        }
        tx.runs().insert(&run("b", "k", "foreign"))
    })
    .unwrap();
    let filter = RunFilter { job_id: Some(JobId::from("k")), ..RunFilter::default() };
    let ids: Vec<String> = db
        .read(|tx| tx.runs().list(&p("a"), &filter, None, Page { offset: 1, limit: Some(3) }))
        .unwrap()
        .into_iter()
        .map(|run| run.run_id.into_string())
        .collect();
    assert_eq!(ids, ["k3", "k2", "k1"]);
    let at_work = |project: Option<&ProjectId>| {
        let running = db.read(|tx| tx.runs().running_at(project, &ClientId::from("node1"))).unwrap();
        running.into_iter().map(|(id, epoch)| (id.into_string(), epoch)).collect::<Vec<_>>()
    };
    assert_eq!(at_work(None), [("k2".to_owned(), Epoch(0)), ("r1".to_owned(), Epoch(7))]);
    assert_eq!(at_work(Some(&p("b"))), []);
    assert_eq!(
        db.read(|tx| tx.runs().count_active()).unwrap(),
        [(RunState::Queued, 2), (RunState::Dispatched, 1), (RunState::Running, 2)]
    );
    assert_eq!(db.read(|tx| tx.runs().next_attention()).unwrap(), Some(Timestamp(3)));
}

pub fn backups_filters(place: &Place) {
    let db = &place.db;
    db.transaction(|tx| -> Outcome {
        for n in 0..10 {
            let mut b = backup("a", &format!("b{n}"), 100 + n);
            if n % 2 == 0 {
                b.job_id = Some(JobId::from("j"));
                b.metadata.insert("container".into(), "even".into());
            }
            tx.backups().insert(&b)?;
        }
        tx.backups().insert(&backup("b", "b1", 105))
    })
    .unwrap();
    let ids = |filter: BackupFilter| -> Vec<String> {
        db.read(|tx| tx.backups().list(&p("a"), &filter, None, Page::ALL))
            .unwrap()
            .into_iter()
            .map(|b| b.backup_id.into_string())
            .collect()
    };
    let any = BackupFilter::default;
    assert_eq!(ids(any()).len(), 10);
    assert_eq!(ids(BackupFilter { container: Some("even".into()), ..any() }), ["b0", "b2", "b4", "b6", "b8"]);
    assert_eq!(
        ids(BackupFilter {
            job_id: Some("j".into()),
            time_after: Some(104),
            time_before: Some(106),
            ..any()
        }),
        ["b4", "b6"]
    );
    assert_eq!(ids(BackupFilter { backup_name: Some("name-b3".into()), ..any() }), ["b3"]);
    let backup_names = vec!["name-b3".to_owned(), "name-b5".to_owned(), "nothing".to_owned()];
    let hostnames = vec!["db1".to_owned(), "db2".to_owned()];
    assert_eq!(ids(BackupFilter { hostnames, backup_names: backup_names.clone(), ..any() }), ["b3", "b5"]);
    let elsewhere = BackupFilter { hostnames: vec!["db2".to_owned()], backup_names, ..any() };
    assert!(ids(elsewhere).is_empty());
    let mut b = backup("a", "b3", 500);
    b.status = BackupStatus::Deleted;
    b.status_is_explicit = true;
    db.transaction(|tx| tx.backups().save(&b)).unwrap();
    assert_eq!(ids(BackupFilter { status: Some(BackupStatus::Deleted), ..any() }), ["b3"]);
    assert_eq!(db.read(|tx| tx.backups().get(&p("a"), &b.backup_id)).unwrap().unwrap(), b);
    assert!(!db.transaction(|tx| tx.backups().delete(&p("c"), &b.backup_id)).unwrap());
    assert!(db.transaction(|tx| tx.backups().delete(&p("a"), &b.backup_id)).unwrap());
}

pub fn deleted_ids_can_be_used_again(place: &Place) {
    let db = &place.db;
    for _ in 0..2 {
        db.transaction(|tx| -> Outcome {
            tx.actions().insert(&action("a", "x"))?;
            tx.jobs().insert(&job("a", "j", &["x"]))?;
            tx.backups().insert(&backup("a", "b", 1))?;
            tx.clients().insert(&client("a", "c"))
        })
        .unwrap();
        db.transaction(|tx| -> Outcome {
            assert!(tx.jobs().delete(&p("a"), &JobId::from("j"))?);
            assert!(tx.actions().delete(&p("a"), &ActionId::from("x"))?);
            assert!(tx.backups().delete(&p("a"), &BackupId::from("b"))?);
            assert!(tx.clients().delete(&p("a"), &ClientId::from("c"))?);
            Ok(())
        })
        .unwrap();
    }
}

pub fn purge_keeps_the_newest_run(place: &Place) {
    let db = &place.db;
    db.transaction(|tx| -> Outcome {
        for n in 0..1200 {
            let mut r = run("a", if n % 2 == 0 { "j" } else { "k" }, &format!("r{n}"));
            r.state = RunState::Success;
            r.finished_at = Some(Timestamp(n));
            tx.runs().insert(&r)?;
        }
        tx.runs().insert(&run("a", "j", "active"))?;
        let mut gone = backup("a", "gone", 0);
        gone.status = BackupStatus::Deleted;
        tx.backups().insert(&gone)?;
        tx.backups().insert(&backup("a", "kept", 0))
    })
    .unwrap();
    let plan = db.purge_plan(Timestamp(5_000)).unwrap();
    assert_eq!((plan.runs, plan.backups), (1198, 1));
    assert_eq!(db.purge(Timestamp(5_000)).unwrap(), plan);
    let left: Vec<String> = db
        .read(|tx| tx.runs().list(&p("a"), &RunFilter::default(), None, Page::ALL))
        .unwrap()
        .into_iter()
        .map(|run| run.run_id.into_string())
        .collect();
    assert_eq!(left.len(), 3);
    assert!(["active", "r1198", "r1199"].iter().all(|id| left.iter().any(|found| found == id)));
    assert_eq!(db.purge_plan(Timestamp(5_000)).unwrap().runs, 0);
    // Of names that no client has nothing is left.
    db.transaction(|tx| tx.clients().lock_name(&ClientId::from("nobody"))).unwrap();
    db.purge(Timestamp(5_000)).unwrap();
    place.execute("INSERT INTO client_names (client_id) VALUES ('nobody')");
}

pub fn sync_is_repeatable(place: &Place) {
    let db = &place.db;
    db.ping().unwrap();
    assert!(db.version().unwrap().is_current());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(db.sync().unwrap().is_empty()));
        }
    });
    // A newer program has been here.
    place.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')");
    let trouble = db.version().unwrap().trouble().unwrap();
    assert!(trouble.contains("newer than this program") && trouble.contains("29990101000000"), "{trouble}");
    assert!(db.sync().unwrap().is_empty());
    place.execute("DELETE FROM __diesel_schema_migrations WHERE version = '29990101000000'");
    assert!(db.version().unwrap().is_current());
    all_tables_can_be_removed(place);
}

fn all_tables_can_be_removed(place: &Place) {
    let db = &place.db;
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names
    };
    let ours = sorted(db.tables().unwrap());
    place.execute("CREATE TABLE somebody_elses (id INTEGER)");
    db.transaction(|tx| tx.clients().insert(&client("a", "n"))).unwrap();
    let plan = db.removal_plan().unwrap();
    assert!(plan.contains(&("clients".to_owned(), 1)), "{plan:?}");
    // A table of a migration that nobody thought of here would stay.
    assert_eq!(sorted(plan.into_iter().map(|(name, _)| name).collect()), ours);
    assert_eq!(sorted(db.remove_tables().unwrap()), ours);
    assert_eq!(db.tables().unwrap(), ["somebody_elses"]);
    assert!(db.remove_tables().unwrap().is_empty());
    // Freezer in Python has tables of the same names. To ask for the version makes an empty record of migrations beside them.
    place.execute("CREATE TABLE clients (id INTEGER)");
    assert!(!db.version().unwrap().is_current());
    assert!(db.removal_plan().unwrap().is_empty() && db.remove_tables().unwrap().is_empty());
    assert!(db.tables().unwrap().contains(&"clients".to_owned()));
    place.execute("DROP TABLE clients");
    assert!(!db.sync().unwrap().is_empty());
    assert!(db.version().unwrap().is_current());
}
