//! Users and the description of this service as RFC 7643 has them.

use engine::people::Resource;
use serde_json::{Value, json};

use super::PAGE_USERS;

/// The schema of a user.
pub(super) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// A user.
pub(super) fn user(of: &Resource, place: &str) -> Value {
    let user = &of.user;
    let mut value = json!({
        "schemas": [USER],
        "id": of.id,
        "userName": user.user_name,
        "displayName": user.display_name,
        "name": {"formatted": user.display_name},
        "active": user.active,
        "meta": {
            "resourceType": "User",
            "created": of.created.to_string(),
            "lastModified": of.changed.to_string(),
            "location": format!("{place}/Users/{}", of.id),
        },
    });
    if !user.external_id.is_empty() {
        value["externalId"] = user.external_id.as_str().into();
    }
    if !user.mail.is_empty() {
        value["emails"] = json!([{"value": user.mail, "type": "work", "primary": true}]);
    }
    for (name, words) in [("roles", &user.roles), ("groups", &user.groups)] {
        if let Some(words) = words {
            value[name] = words.iter().map(|word| json!({"value": word})).collect();
        }
    }
    value
}

/// What a filter finds of a user, by an attribute's name in lower case.
pub(super) fn values(of: &Resource, name: &str) -> Vec<Value> {
    let user = &of.user;
    let words = |all: &Option<std::collections::BTreeSet<String>>| {
        let all = all.iter().flatten();
        all.map(|word| Value::from(word.as_str())).collect()
    };
    match name {
        "id" => vec![of.id.as_str().into()],
        "username" => vec![user.user_name.as_str().into()],
        "externalid" => vec![user.external_id.as_str().into()],
        "displayname" | "name.formatted" => vec![user.display_name.as_str().into()],
        "emails" | "emails.value" if !user.mail.is_empty() => vec![user.mail.as_str().into()],
        "active" => vec![user.active.into()],
        "roles" | "roles.value" => words(&user.roles),
        "groups" | "groups.value" => words(&user.groups),
        "meta.created" => vec![of.created.to_string().into()],
        "meta.lastmodified" => vec![of.changed.to_string().into()],
        "meta.resourcetype" => vec!["User".into()],
        "schemas" => vec![USER.into()],
        _ => Vec::new(),
    }
}

/// A page of a list.
pub(super) fn list(total: usize, start: usize, page: &[Value]) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": page.len(),
        "Resources": page,
    })
}

/// What this service can do (RFC 7643 §5).
pub(super) fn service() -> Value {
    let no = json!({"supported": false});
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": PAGE_USERS},
        "changePassword": no,
        "sort": no,
        "etag": no,
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "Bearer token",
            "description": "A directory's token, made by an administrator",
            "primary": true,
        }],
        "meta": {"resourceType": "ServiceProviderConfig"},
    })
}

/// Users, the only kind of resource.
pub(super) fn resource_type(place: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": "User",
        "name": "User",
        "endpoint": "/Users",
        "description": "People with accounts",
        "schema": USER,
        "meta": {"resourceType": "ResourceType", "location": format!("{place}/ResourceTypes/User")},
    })
}

/// The attributes of a user that are kept; others are taken and not kept.
pub(super) fn schema(place: &str) -> Value {
    let one = |name: &str, kind: &str, mutability: &str, uniqueness: &str, description: &str| {
        json!({
            "name": name,
            "type": kind,
            "multiValued": false,
            "description": description,
            "required": name == "userName",
            "caseExact": name == "externalId",
            "mutability": mutability,
            "returned": "default",
            "uniqueness": uniqueness,
        })
    };
    let many = |name: &str, description: &str| {
        let mut value = one(name, "complex", "readWrite", "none", description);
        value["multiValued"] = true.into();
        value["subAttributes"] = json!([one("value", "string", "readWrite", "none", "The word")]);
        value
    };
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": USER,
        "name": "User",
        "description": "A person with an account",
        "attributes": [
            one("userName", "string", "immutable", "server", "Name to log in with: 1 to 64 letters, digits, . _ - @ +"),
            one("displayName", "string", "readWrite", "none", "Name that others see"),
            one("active", "boolean", "readWrite", "none", "Whether they may log in; false ends everything at once"),
            one("externalId", "string", "readWrite", "none", "The directory's own id"),
            many("emails", "Where they are told by mail: the primary one is kept"),
            many("roles", "Give roles by the mapping in the settings"),
            many("groups", "Likewise"),
        ],
        "meta": {"resourceType": "Schema", "location": format!("{place}/Schemas/{USER}")},
    })
}
