//! Jobs of central clients and the Keystone trusts they act under (contract §7), with real users and real trusts.

use crate::stage::{Person, Stage};
use crate::tenant::{Tenant, User, account};
use crate::without_lists;
use freezer_testkit::TestDatabase;
use futures_util::future::join_all;
use keystone::NewTrust;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A stage with a central client, of the service user who is the trustee, and with an ordinary one of the tenant.
struct Scene<'a> {
    stage: Stage,
    tenant: &'a Tenant,
    service: Person,
    ann: User,
}

impl<'a> Scene<'a> {
    async fn open(tenant: &'a Tenant, more: &str) -> Self {
        let mut stage = Stage::start();
        if !more.is_empty() {
            reconfigure(&mut stage, more);
        }
        Self::on(stage, tenant).await
    }

    async fn on(stage: Stage, tenant: &'a Tenant) -> Self {
        let service = stage.person("freezer", "service").await;
        let central =
            json!({"client_id": "central", "is_central": true, "supported_modes": ["nova", "cinder"]});
        stage.call(&service, "POST", "/clients", central).await.expect(201);
        let ann = tenant.ann().await;
        stage.call(&ann.person, "POST", "/clients", json!({"client_id": "node1"})).await.expect(201);
        Self { stage, tenant, service, ann }
    }

    /// Creates a job of Ann's and answers its id.
    async fn job(&self, client: &str, more: Value) -> String {
        let answer = self.stage.call(&self.ann.person, "POST", "/jobs", body(client, more)).await.expect(201);
        answer.json()["job_id"].as_str().unwrap().to_owned()
    }

    async fn seen_by(&self, who: &Person, id: &str) -> Value {
        let path = format!("/v2/{}/jobs/{id}", self.tenant.project_id);
        self.stage.ask(Some(&who.token), "GET", &path, Value::Null).await.expect(200).json()
    }

    async fn trust_of(&self, id: &str) -> Option<String> {
        let job = self.seen_by(&self.ann.person, id).await;
        job["user_credentials"]["trust_id"].as_str().map(str::to_owned)
    }

    /// The trusts of this user that Keystone has.
    async fn trusts(&self, user: &User) -> BTreeSet<String> {
        let listed = user.session.list_trusts(&user.person.user_id, &self.service.user_id).await.unwrap();
        listed.into_iter().map(|trust| trust.id).collect()
    }

    async fn call(&self, who: &User, method: &str, id: &str, body: Value) -> crate::stage::Answer {
        self.stage.call(&who.person, method, &format!("/jobs/{id}"), body).await
    }
}

pub fn reconfigure(stage: &mut Stage, more: &str) {
    let path = stage.folder.path().join("freezer.conf");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}{more}")).unwrap();
    stage.daemon.start();
    let port = stage.base.rsplit_once(':').unwrap().1.parse().unwrap();
    freezer_testkit::private::wait_for_port(port, "freezer-api");
}

fn body(client: &str, more: Value) -> Value {
    let mut body = json!({"client_id": client, "job_actions": [{"freezer_action": {"action": "info", "container": "c"}}]});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    body
}

fn one(id: &str) -> BTreeSet<String> {
    BTreeSet::from([id.to_owned()])
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_member_share_one_trust_until_the_last_is_gone() {
    Tenant::with(async |tenant| {
        let scene = Scene::open(tenant, "").await;
        let forged = json!({"user_credentials": {"trust_id": "abc", "trustor_user_id": "somebody"}});
        let first = scene.job("central", forged.clone()).await;
        let id = scene.trust_of(&first).await.unwrap();
        let trust = scene.ann.session.show_trust(&id).await.unwrap().unwrap();
        assert_eq!(
            (&trust.trustor_user_id, &trust.trustee_user_id),
            (&scene.ann.person.user_id, &scene.service.user_id)
        );
        assert_eq!(
            (trust.project_id.as_deref(), trust.impersonation),
            (Some(tenant.project_id.as_str()), false)
        );
        assert_eq!((trust.roles, trust.expires_at), (Some(vec!["member".to_owned()]), None));

        // Another way to create, and a client that becomes central.
        scene.call(&scene.ann, "POST", "under-its-own-id", body("central", json!({}))).await.expect(201);
        let moved = scene.job("node1", forged.clone()).await;
        assert_eq!(scene.trust_of(&moved).await, None);
        scene.call(&scene.ann, "PATCH", &moved, json!({"client_id": "central"})).await.expect(200);
        for job in ["under-its-own-id", &moved] {
            assert_eq!(scene.trust_of(job).await.as_ref(), Some(&id), "{job}");
        }
        // Nothing that is sent changes it.
        for more in [forged, json!({"user_credentials": {}}), json!({"user_credentials": null})] {
            scene.call(&scene.ann, "PATCH", &first, more.clone()).await.expect(200);
            scene.call(&scene.ann, "POST", &first, body("central", more)).await.expect(201);
            assert_eq!(scene.trust_of(&first).await.as_ref(), Some(&id));
        }
        assert_eq!(scene.trusts(&scene.ann).await, one(&id));

        scene.call(&scene.ann, "PATCH", &moved, json!({"client_id": "node1"})).await.expect(200);
        scene.call(&scene.ann, "POST", &first, body("node1", json!({}))).await.expect(201);
        assert_eq!((scene.trust_of(&moved).await, scene.trust_of(&first).await), (None, None));
        assert_eq!(scene.trusts(&scene.ann).await, one(&id), "one job still acts under it");
        scene.call(&scene.ann, "DELETE", "under-its-own-id", Value::Null).await.expect(204);
        assert_eq!(scene.trusts(&scene.ann).await, BTreeSet::new());
        let log = scene.stage.daemon.log();
        assert!(!log.contains(&id), "ids of trusts stay out of the log");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trust_is_shown_to_those_who_may_change_the_job() {
    Tenant::with(async |tenant| {
        let scene = Scene::open(tenant, "").await;
        let job = scene.job("central", json!({"job_schedule": {"current_pid": 77}})).await;
        let id = scene.trust_of(&job).await.unwrap();
        let (bob, rita) = (tenant.bob().await, tenant.rita().await);
        let seen = scene.seen_by(&bob.person, &job).await;
        assert_eq!(
            seen["user_credentials"],
            json!({"trust_id": id, "trustor_user_id": scene.ann.person.user_id})
        );
        assert_eq!(seen["job_schedule"].get("current_pid"), None, "a process of somebody else's host");
        let seen = scene.seen_by(&rita.person, &job).await;
        assert_eq!(seen.get("user_credentials"), None);
        // Nor can a reader guess it by searching.
        let search = json!({"match": [{"trust_id": id}]});
        for (who, count) in [(&bob.person, 1), (&rita.person, 0)] {
            let listed = scene.stage.call(who, "GET", "/jobs", search.clone()).await.expect(200).json();
            assert_eq!(listed["jobs"].as_array().unwrap().len(), count);
        }
        // The central scheduler polls all projects, and only when it asks for them.
        let polled =
            scene.stage.call(&scene.service, "GET", "/jobs/?all_projects=True", Value::Null).await.json();
        assert_eq!(polled["jobs"][0]["user_credentials"]["trust_id"], json!(id));
        assert_eq!(polled["jobs"][0]["job_schedule"]["current_pid"], 77);
        for path in ["/jobs/?all_projects=False", "/jobs"] {
            let own = scene.stage.call(&scene.service, "GET", path, Value::Null).await.json();
            assert_eq!(own, json!({"jobs": []}));
        }
        scene.call(&scene.ann, "DELETE", &job, Value::Null).await.expect(204);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_member_cannot_end_is_ended_when_its_trustor_comes_by() {
    Tenant::with(async |tenant| {
        let scene = Scene::open(tenant, "").await;
        let job = scene.job("central", json!({})).await;
        let old = scene.trust_of(&job).await.unwrap();
        let bob = tenant.bob().await;
        // Bob's change of a plan, and his choice of the same client, leave Ann's trust alone.
        let plan = json!({"job_schedule": {"schedule_interval": "1 days"}, "client_id": "central"});
        scene.call(&bob, "PATCH", &job, plan).await.expect(200);
        assert_eq!(scene.trust_of(&job).await.as_ref(), Some(&old));
        scene.call(&bob, "DELETE", &job, Value::Null).await.expect(204);
        let left = scene.trusts(&scene.ann).await;
        assert!(left.is_empty() || left == one(&old), "{left:?}");
        let next = scene.job("central", json!({})).await;
        let new = scene.trust_of(&next).await.unwrap();
        assert_ne!(new, old, "a trust that was given up is not taken again");
        assert_eq!(scene.trusts(&scene.ann).await, one(&new));
        scene.call(&scene.ann, "DELETE", &next, Value::Null).await.expect(204);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trusts_that_do_not_hold_are_not_used() {
    Tenant::with(async |tenant| {
        let scene = Scene::open(tenant, "").await;
        // Too weak, and for somebody else.
        let by_hand = |role: &str, trustee: &str| NewTrust {
            trustor_user_id: scene.ann.person.user_id.clone(),
            trustee_user_id: trustee.to_owned(),
            project_id: tenant.project_id.clone(),
            roles: vec![role.to_owned()],
        };
        let bob = tenant.bob().await;
        let weak = scene.ann.session.create_trust(&by_hand("reader", &scene.service.user_id)).await.unwrap();
        scene.ann.session.create_trust(&by_hand("member", &bob.person.user_id)).await.unwrap();
        let job = scene.job("central", json!({})).await;
        let first = scene.trust_of(&job).await.unwrap();
        assert_ne!(first, weak.id);
        // One that was ended behind our back is replaced, for new jobs and for this one.
        scene.ann.session.delete_trust(&first).await.unwrap();
        let other = scene.job("central", json!({})).await;
        let second = scene.trust_of(&other).await.unwrap();
        scene.call(&scene.ann, "PATCH", &job, json!({"client_id": "central"})).await.expect(200);
        assert_eq!(scene.trust_of(&job).await.as_ref(), Some(&second));
        assert_eq!(scene.trusts(&scene.ann).await, BTreeSet::from([weak.id, second.clone()]));
        // A colleague's job can be taken over when its trust is gone, and only then.
        scene.call(&bob, "PATCH", &job, json!({"client_id": "central"})).await.expect(200);
        assert_eq!(scene.trust_of(&job).await.as_ref(), Some(&second));
        scene.ann.session.delete_trust(&second).await.unwrap();
        scene.call(&bob, "PATCH", &job, json!({"client_id": "central"})).await.expect(200);
        let bobs = scene.trusts(&bob).await;
        assert_eq!((bobs.len(), scene.trust_of(&job).await), (1, bobs.first().cloned()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_job_leaves_no_trust() {
    Tenant::with(async |tenant| {
        let scene = Scene::open(tenant, "").await;
        let taken = scene.job("node1", json!({"job_id": "taken"})).await;
        for (more, status) in [
            (json!({"job_id": taken}), 409),
            (json!({"job_actions": [{"freezer_action": {"action": "backup", "mode": "fs"}}]}), 422),
            (json!({"job_actions": [{"action_id": "nothing"}]}), 422),
            (json!({"description": 5}), 400),
        ] {
            scene.stage.call(&scene.ann.person, "POST", "/jobs", body("central", more)).await.expect(status);
        }
        scene.call(&scene.ann, "PATCH", "no-such-job", json!({"client_id": "central"})).await.expect(404);
        let wrong = json!({"client_id": "central", "job_actions": [{"freezer_action": {"action": "backup", "mode": "fs"}}]});
        scene.call(&scene.ann, "PATCH", &taken, wrong).await.expect(422);
        assert_eq!(scene.trusts(&scene.ann).await, BTreeSet::new());
        let rita = tenant.rita().await;
        scene.stage.call(&rita.person, "POST", "/jobs", body("central", json!({}))).await.expect(403);
        assert_eq!(scene.trusts(&rita).await, BTreeSet::new());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_options_of_the_section() {
    Tenant::with(async |tenant| {
        let mut scene = Scene::open(tenant, "[centralized_scheduler]\nenforce_trusts = true\n").await;
        let job = scene.job("node1", json!({})).await;
        assert_eq!(scene.trusts(&scene.ann).await, one(&scene.trust_of(&job).await.unwrap()));
        reconfigure(&mut scene.stage, "enabled = false\n");
        for client in ["node1", "central"] {
            let job = scene.job(client, json!({})).await;
            assert_eq!(scene.trust_of(&job).await, None, "{client}");
        }
        scene.call(&scene.ann, "DELETE", &job, Value::Null).await.expect(204);
        assert_eq!(scene.trusts(&scene.ann).await, BTreeSet::new());

        reconfigure(&mut scene.stage, "enabled = true\nenforce_trusts = false\ntrusts_delegated_roles = member, nonsense\n");
        let refused = scene.stage.call(&scene.ann.person, "POST", "/jobs", body("central", json!({}))).await;
        let text = json!({"title": "Missing required credentials", "description": "Failed to find roles member, nonsense"});
        assert_eq!(refused.expect(422).json(), text);
        reconfigure(&mut scene.stage, "trusts_delegated_roles =\n");
        let job = scene.job("central", json!({})).await;
        let trust = scene.ann.session.show_trust(&scene.trust_of(&job).await.unwrap()).await.unwrap().unwrap();
        let roles = BTreeSet::from_iter(scene.ann.session.roles().await.unwrap());
        assert_eq!(BTreeSet::from_iter(trust.roles.unwrap()), roles);

        let keystone = freezer_testkit::services::keystone_url();
        let login = format!(
            "auth_section = trustee\n[trustee]\nauth_type = password\nauth_url = {keystone}\nusername = freezer\n\
             password = wrong\nuser_domain_name = Default\nproject_name = service\nproject_domain_name = Default\n"
        );
        reconfigure(&mut scene.stage, &login);
        let refused = scene.stage.call(&scene.ann.person, "POST", "/jobs", body("central", json!({}))).await;
        let text = "Cannot deduce trustee user from auth_section";
        assert_eq!(refused.expect(422).json(), json!({"title": "Missing required credentials", "description": text}));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_trusts_that_fails_is_no_reason_to_fail() {
    Tenant::with(async |tenant| {
        let database = TestDatabase::create();
        let url = database.url();
        let stage = Stage::on(&url, Some(database), &without_lists::start());
        let scene = Scene::on(stage, tenant).await;
        let mut made = BTreeSet::new();
        for id in ["one", "two"] {
            scene.job("central", json!({"job_id": id})).await;
            made.insert(scene.trust_of(id).await.unwrap());
        }
        assert_eq!(made.len(), 2, "a new one for each, as what there is cannot be known");
        assert_eq!(scene.trusts(&scene.ann).await, made);
        assert!(scene.stage.daemon.log().contains("trusts cannot be listed, a new one is made"));
        for id in ["one", "two"] {
            scene.call(&scene.ann, "DELETE", id, Value::Null).await.expect(204);
        }
        assert_eq!(scene.trusts(&scene.ann).await, BTreeSet::new());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_come_and_go_at_once_end_with_trusts_that_work() {
    Tenant::with(async |tenant| {
        let scene = Scene::open(tenant, "").await;
        let service = account("freezer", "service");
        for _ in 0..3 {
            let (going, coming) = (join_all((0..3).map(|_| scene.job("central", json!({})))).await, 0..3);
            let deletions = going.iter().map(async |id| {
                scene.call(&scene.ann, "DELETE", id, Value::Null).await.expect(204);
            });
            let creations = coming.map(async |_| scene.job("central", json!({})).await);
            let (made, _) = tokio::join!(join_all(creations), join_all(deletions));
            for job in made {
                let trust = scene.trust_of(&job).await.unwrap();
                let acting = service.in_trust(&trust).unwrap();
                assert_eq!(acting.project_id().await.unwrap().as_deref(), Some(tenant.project_id.as_str()));
                scene.call(&scene.ann, "DELETE", &job, Value::Null).await.expect(204);
            }
            assert_eq!(scene.trusts(&scene.ann).await, BTreeSet::new());
        }
    })
    .await;
}
