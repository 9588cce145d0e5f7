//! Changes in the forms that Entra ID and Okta send, and what nobody should send.

use super::patched;
use crate::User;
use serde_json::{Map, Value, json};

/// A change of one operation.
fn one(op: &str, path: Option<&str>, value: Option<Value>) -> Vec<u8> {
    let mut operation = Map::new();
    operation.insert("op".to_owned(), op.into());
    if let Some(path) = path {
        operation.insert("path".to_owned(), path.into());
    }
    if let Some(value) = value {
        operation.insert("value".to_owned(), value);
    }
    json!({"Operations": [operation]}).to_string().into_bytes()
}

fn anna() -> User {
    User {
        user_name: "anna@example.com".to_owned(),
        external_id: "7".to_owned(),
        display_name: "Anna".to_owned(),
        mail: String::new(),
        active: true,
        roles: Some(["viewer".to_owned()].into()),
        groups: None,
    }
}

#[track_caller]
fn check(body: &Value, expected: Result<&str, &str>) {
    bytes(body.to_string().as_bytes(), expected);
}

#[track_caller]
fn bytes(body: &[u8], expected: Result<&str, &str>) {
    let shown = patched(body, &anna()).map(|user| {
        let words = |all: Option<std::collections::BTreeSet<String>>| {
            all.map_or("-".to_owned(), |all| {
                all.into_iter().collect::<Vec<_>>().join("+")
            })
        };
        format!(
            "{}|{}|{}|{}|{}",
            user.external_id,
            user.display_name,
            user.active,
            words(user.roles),
            words(user.groups)
        )
    });
    let shown = shown.map_err(|refusal| format!("{}: {}", refusal.kind.name(), refusal.detail));
    match (shown, expected) {
        (Ok(shown), Ok(expected)) => assert_eq!(shown, expected),
        (Err(shown), Err(expected)) => assert!(shown.contains(expected), "{shown}"),
        (shown, expected) => panic!("{shown:?} isn't {expected:?}"),
    }
}

#[test]
fn entra_id_takes_somebody_out() {
    // The default of Entra ID: op with a capital, the truth as a text.
    check(
        &json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "Replace", "path": "active", "value": "False"}]}),
        Ok("7|Anna|false|viewer|-"),
    );
    // With `aadOptscim062020`, which follows the standard.
    check(
        &json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "path": "active", "value": false}]}),
        Ok("7|Anna|false|viewer|-"),
    );
}

#[test]
fn entra_id_changes_several_attributes_at_once() {
    check(
        &json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [
            {"op": "Add", "path": "externalId", "value": "8"},
            {"op": "Replace", "path": "displayName", "value": "Anna B"},
            {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "b@example.com"},
            {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "Fraud"},
            {"op": "Add", "path": "roles[primary eq \"True\"].value", "value": "lead"}
        ]}),
        Ok("8|Anna B|true|lead+viewer|-"),
    );
    bytes(
        &one(
            "Replace",
            Some("roles[primary eq \"True\"].value"),
            Some("lead".into()),
        ),
        Ok("7|Anna|true|lead|-"),
    );
    // Dotted names in a value without a path.
    bytes(
        &one(
            "Add",
            None,
            Some(json!({"name.givenName": "B", "displayName": "B", "active": "False"})),
        ),
        Ok("7|B|false|viewer|-"),
    );
}

#[test]
fn okta_takes_somebody_out_and_in() {
    check(
        &json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "value": {"active": false}}]}),
        Ok("7|Anna|false|viewer|-"),
    );
    check(
        &json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "value": {"id": "x", "ACTIVE": true}}]}),
        Ok("7|Anna|true|viewer|-"),
    );
}

#[test]
fn roles_and_groups_are_added_and_taken_away() {
    for (op, path, value, roles) in [
        (
            "add",
            "roles",
            Some(json!([{"value": "lead"}])),
            "lead+viewer|-",
        ),
        (
            "replace",
            "roles",
            Some(json!([{"value": "lead"}])),
            "lead|-",
        ),
        ("remove", "roles", None, "|-"),
        ("remove", "roles[value eq \"viewer\"]", None, "|-"),
        ("remove", "roles[value eq \"lead\"]", None, "viewer|-"),
        ("Remove", "roles", Some(json!([{"value": "viewer"}])), "|-"),
        (
            "add",
            "groups",
            Some(json!([{"value": "g", "display": "G"}])),
            "viewer|g",
        ),
        (
            "add",
            "roles[value eq \"x\"].display",
            Some("y".into()),
            "viewer|-",
        ),
        ("add", "roles.value", Some("x".into()), "viewer+x|-"),
    ] {
        bytes(
            &one(op, Some(path), value),
            Ok(&format!("7|Anna|true|{roles}")),
        );
    }
}

#[test]
fn a_name_never_changes() {
    bytes(
        &one("replace", Some("userName"), Some("root".into())),
        Err("mutability"),
    );
    bytes(
        &one("Replace", None, Some(json!({"userName": "root"}))),
        Err("mutability"),
    );
    bytes(&one("remove", Some("userName"), None), Err("mutability"));
    bytes(
        &one("replace", Some("id"), Some("1".into())),
        Err("mutability"),
    );
    // The same name once more is none.
    bytes(
        &one("replace", Some("userName"), Some("Anna@example.com".into())),
        Ok("7|Anna|true|viewer|-"),
    );
}

#[test]
fn what_is_no_change_is_refused_whole() {
    for (body, why) in [
        (json!({}), "invalidSyntax"),
        (json!({"Operations": {}}), "invalidSyntax"),
        (json!({"Operations": []}), "invalidSyntax"),
        (
            json!({"Operations": vec![json!({"op": "remove", "path": "title"}); 101]}),
            "invalidSyntax",
        ),
        (json!({"Operations": [7]}), "invalidSyntax"),
        (
            json!({"Operations": [{"op": "test", "path": "active", "value": true}]}),
            "invalidSyntax",
        ),
        (
            json!({"Operations": [{"path": "active", "value": true}]}),
            "invalidSyntax",
        ),
        (
            json!({"Operations": [{"op": "replace", "path": "active"}]}),
            "invalidValue",
        ),
        (
            json!({"Operations": [{"op": "replace", "path": "active", "value": "0"}]}),
            "invalidValue",
        ),
        (
            json!({"Operations": [{"op": "replace", "path": "active", "value": null}]}),
            "invalidValue",
        ),
        (
            json!({"Operations": [{"op": "remove", "path": "active"}]}),
            "invalidValue",
        ),
        (json!({"Operations": [{"op": "remove"}]}), "noTarget"),
        (
            json!({"Operations": [{"op": "add", "value": "x"}]}),
            "invalidValue",
        ),
        (
            json!({"Operations": [{"op": "add", "path": 7, "value": "x"}]}),
            "invalidPath",
        ),
        (
            json!({"Operations": [{"op": "add", "path": "active[", "value": "x"}]}),
            "invalidPath",
        ),
        (
            json!({"Operations": [{"op": "add", "path": "active[value pr]", "value": false}]}),
            "invalidPath",
        ),
        (
            json!({"Operations": [{"op": "add", "path": "roles"}]}),
            "invalidValue",
        ),
        (
            json!({"Operations": [{"op": "add", "path": "active", "value": false}, {"op": "x"}]}),
            "invalidSyntax",
        ),
        (
            json!({"Operations": [{"op": "add", "OP": "remove", "path": "roles"}]}),
            "invalidSyntax",
        ),
        (
            json!({"Operations": [{"op": "add", "value": {"active": false, "Active": true}}]}),
            "invalidSyntax",
        ),
    ] {
        check(&body, Err(why));
    }
    bytes(b"\xff", Err("invalidSyntax"));
}
