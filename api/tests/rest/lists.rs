//! Paging, order and the scope of lists (contract §2.3, §6.6).

use crate::harness::*;
use crate::runs::run;
use freezer_api::notices::Notices;
use freezer_database::{Database, DatabaseOptions, DbError};
use freezer_model::RunState;
use serde_json::{Value, json};

fn backup(name: &str) -> Value {
    json!({"container": "c", "hostname": "h", "backup_name": name})
}

#[tokio::test]
async fn pages_are_pieces_of_one_stable_order() {
    let api = Api::start().await;
    for index in 0..8 {
        api.call(ALICE, "POST", "/backups", backup(&format!("b{index}"))).await.expect(201);
    }
    let page = async |query: &str| {
        let answer = api.get(ALICE, &format!("/backups/{query}")).await.expect(200).json();
        answer["backups"].as_array().unwrap().clone()
    };
    let all = page("").await;
    assert_eq!(all.len(), 8);
    assert_eq!(page("?limit=5").await, all[..5]);
    assert_eq!(page("?limit=3&offset=5").await, all[5..]);
    for (query, length) in [
        ("?offset=5", 3),
        ("?offset=8", 0),
        ("?offset=10", 0),
        ("?limit=0", 8),
        ("?limit=&offset=", 8),
        ("?limit=1000000", 8),
    ] {
        assert_eq!(page(query).await.len(), length, "{query}");
    }
    assert!(page("?offset=9223372036854775807").await.is_empty());
    // the same with a condition that no column decides
    let search = json!({"match_not": [{"mode": "nova"}]});
    for (query, expected) in [("?limit=5", &all[..5]), ("?limit=3&offset=5", &all[5..])] {
        let answer = api.call(ALICE, "GET", &format!("/backups{query}"), search.clone()).await.json();
        assert_eq!(answer["backups"].as_array().unwrap(), expected);
    }
}

#[tokio::test]
async fn ten_is_the_default_and_wrong_numbers_are_named() {
    let api = Api::start().await;
    for index in 0..12 {
        api.call(ALICE, "POST", &format!("/actions/a{index}"), json!({"freezer_action": {"action": "info"}}))
            .await
            .expect(201);
    }
    assert_eq!(api.get(ALICE, "/actions").await.json()["actions"].as_array().unwrap().len(), 10);
    for list in ["/actions", "/jobs", "/sessions", "/clients", "/backups", "/runs"] {
        for name in ["limit", "offset"] {
            for bad in ["x", "1.5", "99999999999999999999", "%00"] {
                let text = format!("The \"{name}\" parameter is invalid. The value must be an integer.");
                api.get(ALICE, &format!("{list}?{name}={bad}")).await.expect_error(
                    400,
                    "Invalid parameter",
                    &text,
                );
            }
            let text = format!("The \"{name}\" parameter is invalid. The value must not be negative.");
            api.get(ALICE, &format!("{list}?{name}=-1")).await.expect_error(400, "Invalid parameter", &text);
        }
    }
}

#[tokio::test]
async fn all_projects_is_for_those_who_ask_and_may() {
    let api = Api::start().await;
    for (who, id) in [(ALICE, "j1"), (OTTO, "j2")] {
        api.client(who, "node1").await;
        api.job(who, json!({"job_id": id})).await;
    }
    let seen = async |who: Who, project: &str, query: &str| {
        let answer =
            api.call_in(who, project, "GET", &format!("/jobs/{query}"), Value::Null).await.expect(200).json();
        answer["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["job_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(seen(ALICE, "p1", "?all_projects=True").await, "j1");
    assert_eq!(seen(ALICE, "p1", "?all_projects=False").await, "j1");
    for who in [ADMIN, SERVICE] {
        assert_eq!(seen(who, "p2", "").await, "j2");
        assert_eq!(seen(who, who.project, "").await, "");
        assert_eq!(seen(who, who.project, "?all_projects=True").await, "j1 j2");
        api.call(who, "GET", "/jobs/j2", Value::Null).await.expect(200);
    }
    let text = "The \"all_projects\" parameter is invalid. The value of the parameter must be \"true\" or \"false\".";
    api.get(ALICE, "/jobs?all_projects=TRUE").await.expect_error(400, "Invalid parameter", text);
}

#[tokio::test]
async fn a_lists_cost_does_not_grow_with_its_length() {
    let api = Api::start().await;
    api.client(ALICE, "node1").await;
    let cost = async |path: &str| {
        let before = api.db.statements();
        api.get(ALICE, path).await.expect(200);
        api.db.statements() - before
    };
    for index in 0..3 {
        api.job(ALICE, json!({"job_schedule": {"current_pid": index}})).await;
    }
    let few = cost("/jobs?limit=100").await;
    for index in 0..30 {
        api.job(ALICE, json!({"job_schedule": {"current_pid": index}})).await;
    }
    assert_eq!(cost("/jobs?limit=100").await, few);
    assert_eq!(few, 1, "rows with their actions, and whose clients are the own ones");
    a_large_projects_list_costs_no_more(&api).await;
    let before = api.db.statements();
    let id = api.job(ALICE, json!({})).await;
    assert_eq!(api.db.statements() - before, 4, "client and quota, action, job, link");
    assert_eq!(cost(&format!("/jobs/{id}")).await, 1);
    for index in 0..100 {
        api.call(ALICE, "POST", "/backups", backup(&format!("b{index}"))).await.expect(201);
        let run = run(&format!("r{index}"), "p1", &id, RunState::Success, NOW);
        api.db.transaction(|tx| tx.runs().insert(&run)).unwrap();
    }
    // Those of sessions are in `sessions`.
    for list in ["actions", "clients", "backups", "runs"] {
        let listed = api.get(ALICE, &format!("/{list}?limit=100")).await.expect(200).json();
        assert!(listed[list].as_array().unwrap().len() > 30, "{list}: too few to tell");
        for query in ["", "?limit=100"] {
            assert_eq!(cost(&format!("/{list}{query}")).await, 1, "{list}{query}");
        }
    }
}

/// A host for each job, three actions in each, and far more hosts beside them than are read in one go.
async fn a_large_projects_list_costs_no_more(api: &Api) {
    api.db
        .transaction(|tx| {
            let mut client = tx.clients().get(&"p1".into(), &"node1".into())?.unwrap();
            for index in 0..1600 {
                client.client_id = format!("host{index}").into();
                client.uuid = format!("uuid{index}");
                tx.clients().insert(&client)?;
            }
            Ok::<(), freezer_database::DbError>(())
        })
        .unwrap();
    for index in 0..9 {
        // Together nearly a MiB for a hundred jobs with nine of them.
        let excluded = vec!["abcdefgh"; 80];
        let action = json!({"freezer_action": {"action": "info", "excluded": excluded}});
        api.call(ALICE, "POST", &format!("/actions/many{index}"), action).await.expect(201);
    }
    let actions = |count: u32| -> Vec<Value> {
        (0..count).map(|index| json!({"action_id": format!("many{}", index % 9)})).collect()
    };
    for index in 0..100 {
        let schedule = json!({"current_pid": index});
        // Behind all others, whose ids have no such letter.
        let job = json!({"job_id": format!("zz{index:03}"), "client_id": format!("host{index}"), "job_actions": actions(3),
            "job_schedule": schedule});
        api.job(ALICE, job).await;
    }
    let list = async |who: Who, query: &str| {
        let before = api.db.statements();
        let jobs = api.get(who, &format!("/jobs?limit=100{query}")).await.expect(200).json();
        (jobs["jobs"].as_array().unwrap().clone(), api.db.statements() - before)
    };
    for who in [ALICE, READER] {
        let (jobs, cost) = list(who, "&offset=33").await;
        assert_eq!((jobs.len(), cost), (100, 1), "rows with their actions");
        assert_eq!(jobs[99]["job_actions"].as_array().unwrap().len(), 3);
        assert_eq!(jobs[99]["job_schedule"]["current_pid"], 99, "their own clients'");
    }
    let (jobs, cost) = list(SERVICE, "&offset=33&all_projects=true").await;
    assert_eq!((jobs.len(), cost), (100, 1), "who sees all need not be asked about");
    // With very many actions they are weighed first, so that a page does not fill the memory.
    for (count, statements) in [(9, 1), (27, 3)] {
        for index in 0..100 {
            let change = json!({"job_actions": actions(count)});
            api.call(ALICE, "PATCH", &format!("/jobs/zz{index:03}"), change).await.expect(200);
        }
        let (jobs, cost) = list(ALICE, "&offset=33").await;
        let found = jobs[99]["job_actions"].as_array().unwrap().len() as u32;
        assert_eq!((found, cost), (count, statements));
    }
    let (jobs, _) = list(ALICE, "&offset=33").await;
    assert!(serde_json::to_string(&jobs).unwrap().len() > 512 << 10, "too little text to tell");
}

/// A hundred jobs with twenty long actions each: a quarter of a MiB a job, as much as one may have.
async fn large_jobs(api: &Api) {
    api.client(ALICE, "node1").await;
    let template = api.job(ALICE, json!({})).await;
    api.db
        .transaction(|tx| {
            let mut job = tx.jobs().get(&"p1".into(), &template.as_str().into())?.unwrap();
            tx.jobs().delete(&job.project_id, &job.job_id)?;
            let action = job.actions[0].clone();
            for number in 0..100 {
                job.job_id = format!("large{:02}", (number * 37) % 100).into();
                job.actions.clear();
                for position in 0..20 {
                    let mut action = action.clone();
                    action.action_id = format!("a{number}-{position}").into();
                    let excluded = vec![format!("\u{e9}\"{number}"); 1400];
                    action.freezer_action.insert("excluded".to_owned(), json!(excluded));
                    tx.actions().insert(&action)?;
                    job.actions.push(action);
                }
                tx.jobs().insert(&job)?;
            }
            Ok::<(), DbError>(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_large_page_of_jobs_arrives_whole_and_costs_three_statements() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:///{}/freezer.sqlite", folder.path().display());
    let open = |spool_bytes: u64| {
        let options = DatabaseOptions { counts_statements: true, spool_bytes, ..DatabaseOptions::new(&url) };
        Database::connect(&options).unwrap()
    };
    let (db, without_room) = (open(1 << 30), open(0));
    db.sync().unwrap();
    let api = Api::over(db, folder, |_| {}, Notices::default()).await;
    large_jobs(&api).await;
    let list = async |api: &Api| {
        let answer = api.get(ALICE, "/jobs?limit=100").await.expect(200);
        assert!(answer.text.len() > 20 << 20, "{} bytes are too few to tell", answer.text.len());
        answer.json()["jobs"].as_array().unwrap().clone()
    };
    let before = api.db.statements();
    let jobs = list(&api).await;
    assert_eq!(api.db.statements() - before, 3);
    assert_eq!(jobs.len(), 100);
    for (number, listed) in jobs.iter().enumerate() {
        assert_eq!(listed["job_id"], format!("large{number:02}"));
        let alone = api.get(ALICE, &format!("/jobs/large{number:02}")).await.expect(200).json();
        assert_eq!(&alone, listed);
    }
    let before = api.db.statements();
    let (one, other) = tokio::join!(list(&api), list(&api));
    assert_eq!(api.db.statements() - before, 6);
    assert!(one == jobs && other == jobs);
    // Without room for it: in pieces, as large lists come.
    let elsewhere = Api::over(without_room, tempfile::tempdir().unwrap(), |_| {}, Notices::default()).await;
    let before = elsewhere.db.statements();
    let (one, other) = tokio::join!(list(&elsewhere), list(&elsewhere));
    assert!(elsewhere.db.statements() - before > 12, "it was not read in pieces");
    assert!(one == jobs && other == jobs);
}
