//! What the document says of every route.

use std::collections::BTreeSet;

use super::*;
use crate::table;

fn document() -> Value {
    super::document(&table::all())
}

/// Every place where something is referred to.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                found.insert(reference.clone());
            }
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn whatever_is_referred_to_is_there() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 30, "{found:?}");
    for reference in found {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference}");
    }
}

#[test]
fn every_operation_has_a_name_of_its_own_and_says_what_it_answers() {
    let mut names = BTreeSet::new();
    for route in table::all() {
        assert!(names.insert(route.id), "{} is there twice", route.id);
        assert!(!route.answers.is_empty(), "{}", route.id);
        assert!(route.summary.ends_with('.'), "{}", route.summary);
    }
}

#[test]
fn every_parameter_of_a_query_is_described() {
    let mut schemas = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = SCHEMAS.into())
        .into_generator();
    for route in table::all() {
        let Some((of, names)) = route.query else {
            continue;
        };
        let parameters = query_parameters(of, names, &mut schemas);
        assert_eq!(
            parameters.len(),
            names.len(),
            "{}: {parameters:?}",
            route.id
        );
        for parameter in parameters {
            assert!(
                parameter["description"].is_string(),
                "{}: {parameter}",
                route.id
            );
        }
    }
}

#[test]
fn what_is_sent_has_no_field_but_those_that_are_named() {
    let document = document();
    let mut sent = BTreeSet::new();
    for path in document["paths"].as_object().unwrap().values() {
        for operation in path.as_object().unwrap().values() {
            references(&operation["requestBody"], &mut sent);
        }
    }
    let mut open = Vec::new();
    for reference in &sent {
        let schema = document.pointer(reference.strip_prefix('#').unwrap());
        if schema.unwrap()["additionalProperties"] != Value::Bool(false) {
            open.push(reference.as_str());
        }
    }
    assert!(sent.len() > 7 && open.is_empty(), "{open:?} of {sent:?}");
}

#[test]
fn what_is_sent_and_comes_back_under_one_name_is_one_thing() {
    let of = |contract: fn(SchemaSettings) -> SchemaSettings| {
        let mut generator = contract(SchemaSettings::draft2020_12()).into_generator();
        schema_of::<crate::api::IdentityRequest>(&mut generator);
        schema_of::<crate::api::FileProgress>(&mut generator);
        generator.take_definitions(true)
    };
    let (requests, answers) = (
        of(SchemaSettings::for_deserialize),
        of(SchemaSettings::for_serialize),
    );
    for (name, schema) in requests {
        assert_eq!(answers[&name], schema, "{name}");
    }
}
