#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
//! Section 4 of the REST contract, row by row.

use super::*;
use serde_json::json;

fn job() -> Value {
    json!({
        "job_id": "j1", "client_id": "node1", "description": "Nightly ETC",
        "job_schedule": {"status": "scheduled", "time_started": -1, "event": ""},
        "job_actions": [
            {"action_id": "a1", "max_retries": 5, "freezer_action": {"mode": "fs", "no_incremental": false, "max_level": 0}},
            {"action_id": "a2", "max_retries": 7, "freezer_action": {"mode": "nova", "container": "Vault-7"}},
        ],
    })
}

fn found(search: Value) -> bool {
    Search::parse(&search).unwrap().matches(&job())
}

#[test]
fn match_and_match_not() {
    for (search, expected) in [
        (json!({}), true),
        (json!({"match": null, "match_not": []}), true),
        (json!({"other": 1}), true),
        (json!({"match": [{"client_id": "node1"}]}), true),
        (json!({"match": [{"client_id": "node2"}]}), false),
        (json!({"match": [{"client_id": "node1"}, {"status": "scheduled"}]}), true),
        (json!({"match": [{"client_id": "node1", "status": "completed"}]}), false),
        // two values for one key never match
        (json!({"match": [{"client_id": "node1"}, {"client_id": "node2"}]}), false),
        (json!({"match_not": [{"status": "completed"}], "match": [{"client_id": "node1"}]}), true),
        (json!({"match_not": [{"status": "completed"}, {"status": "scheduled"}]}), false),
        // the last one found wins
        (json!({"match": [{"mode": "nova"}]}), true),
        (json!({"match": [{"mode": "fs"}]}), false),
        (json!({"match": [{"max_retries": 7}]}), true),
        // what was found is not looked into; objects compare deeply
        (json!({"match": [{"freezer_action": {"container": "Vault-7", "mode": "nova"}}]}), true),
        // a missing key is null
        (json!({"match": [{"absent": null}]}), true),
        (json!({"match_not": [{"absent": null}]}), false),
        // types count, except as Python has it
        (json!({"match": [{"max_retries": "7"}]}), false),
        (json!({"match": [{"max_retries": 7.0}]}), true),
        (json!({"match": [{"max_level": false}]}), true),
        (json!({"match": [{"no_incremental": 0}]}), true),
        (json!({"match": [{"no_incremental": "false"}]}), false),
        (json!({"match": [{"client_id": "NODE1"}]}), false),
    ] {
        assert_eq!(found(search.clone()), expected, "{search}");
    }
}

#[test]
fn all_is_a_text_search_or_conditions() {
    for (text, expected) in [
        (json!("nightly"), true),
        (json!("  etc "), true),
        (json!("vault-7"), true),
        (json!("j1"), true),
        (json!("j12"), false),
        (json!(""), true),
        (json!("[{\"max_retries\": \"7\"}]"), true),
        (json!("[{\"max_retries\": 7}, {\"mode\": \"nova\"}]"), true),
        (json!("[{\"max_retries\": 7}, {\"mode\": \"fs\"}]"), false),
        (json!("{\"mode\": \"nova\"}"), true),
        (json!("[\"a2\"]"), true),
        (json!("[\"a2\", \"a3\"]"), false),
        (json!("[]"), true),
        (json!("7"), true),
        (json!(7), true),
        (json!("\"node1\""), true),
        (json!("[1"), false),
    ] {
        for search in
            [json!({"match": [{"_all": text}]}), json!({"match": [{"client_id": "node1"}, {"_all": text}]})]
        {
            assert_eq!(found(search.clone()), expected, "{search}");
        }
        let none = json!({"match": [{"_all": text}, {"client_id": "other"}]});
        assert!(!found(none.clone()), "_all never widens: {none}");
    }
    assert!(!found(json!({"match_not": [{"_all": "nightly"}]})));
    assert!(found(
        json!({"match": [{"_all": "nightly"}, {"_all": "vault"}], "match_not": [{"_all": "zzz"}]})
    ));
}

#[test]
fn numbers_compare_exactly() {
    assert!(!equal(&json!(9007199254740993_i64), &json!(9007199254740992_i64)));
    assert!(equal(&json!(u64::MAX), &json!(u64::MAX)));
    assert!(equal(&json!(0.5), &json!(0.5)));
    assert!(!equal(&json!(0.5), &json!(0)));
    assert!(equal(&json!([1, {"a": true}]), &json!([1.0, {"a": 1}])));
    assert!(!equal(&json!([1]), &json!([1, 2])));
}

#[test]
fn wrong_shapes_are_named() {
    for (search, text) in [
        (json!([1]), "search document: must be a JSON object, not a list"),
        (json!({"match": "x"}), "search document: 'match' must be a list of objects, not a string"),
        (
            json!({"match": ["x"]}),
            "search document: 'match' must be a list of objects, not a list with a string",
        ),
        (
            json!({"match_not": {"a": 1}}),
            "search document: 'match_not' must be a list of objects, not an object",
        ),
        (
            json!({"time_after": "yesterday"}),
            "search document: 'time_after' must be a number of seconds since the epoch, not a string",
        ),
        (
            json!({"match": vec![json!({"a": 1}); MAX_CONDITIONS + 1]}),
            "search document: more than 128 conditions; ask for less at once",
        ),
    ] {
        assert_eq!(Search::parse(&search).unwrap_err().to_string(), text);
    }
}

#[test]
fn times_are_bounds() {
    let search = Search::parse(&json!({"time_after": 10.5, "time_before": "20"})).unwrap();
    assert_eq!((search.time_after, search.time_before), (Some(11), Some(20)));
    assert!(!search.has_conditions());
    let search = Search::parse(&json!({"time_after": 1e300, "time_before": -1e300})).unwrap();
    assert_eq!((search.time_after, search.time_before), (Some(i64::MAX), Some(i64::MIN)));
}

#[test]
fn columns_are_taken_out_once() {
    let mut search = Search::parse(&json!({
        "match": [{"client_id": "n"}, {"client_id": "m"}, {"client_id": 5}], "match_not": [{"status": "completed"}, {"status": "odd"}],
    }))
    .unwrap();
    assert_eq!(search.take_match("client_id", |_| true).as_deref(), Some("n"));
    assert_eq!(search.take_match_not("status", |word| word != "odd").as_deref(), Some("completed"));
    assert_eq!(search.take_match_not("status", |word| word != "odd"), None);
    assert!(search.has_conditions());
    assert_eq!(search.must.len(), 2);
}
