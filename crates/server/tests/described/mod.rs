//! The API's description holds every address of the API, and no other.

use std::collections::BTreeSet;

use crate::{desk, get};

#[test]
fn every_address_of_the_api_is_described_with_its_methods_and_no_other_is() {
    let source = include_str!("../../src/lib.rs");
    let mut routes = BTreeSet::new();
    for route in source.split(".route(").skip(1) {
        let path = route.split('"').nth(1).expect("a path");
        let handlers = route.split('"').nth(2).expect("handlers");
        let handlers = handlers.split(".route_layer").next().unwrap_or_default();
        if let Some(path) = path.strip_prefix("/api/v1") {
            for method in ["get", "post", "put", "delete"] {
                if handlers.contains(&format!("{method}(")) {
                    routes.insert(format!("{method} {path}"));
                }
            }
        }
    }
    assert!(routes.len() > 8, "{routes:?}");
    let text = include_str!("../../static/openapi.json");
    let description: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let paths = description["paths"].as_object().expect("paths");
    let described: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods.keys().map(move |method| format!("{method} {path}"))
        })
        .collect();
    assert_eq!(described, routes);
}

#[test]
fn a_program_reads_json_of_what_leads_nowhere_and_hears_how_a_slash_is_written() {
    let (_, headers, body) = get(&desk("x"), "/api/v1/sources/file:/var/log/x");
    assert_eq!(headers["content-type"], "application/problem+json");
    assert!(body.contains("%2F"), "{body}");
}
