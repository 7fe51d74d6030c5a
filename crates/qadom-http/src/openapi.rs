//! The description of the API in the `OpenAPI` 3.1 format, made of the table of routes and of the types
//! that travel.
//!
//! What must stay true: it says what the router does, because it is made of the same table, and what
//! serde does, because the schemas are derived from the same types.

use std::collections::BTreeMap;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::problem::Problem;
use crate::route::{Answer, BYTES, Body, Content, JSON, Route, SchemaOf, schema_of};

/// Where schemas lie in the document.
const SCHEMAS: &str = "/components/schemas";

/// The media type of refusals.
const PROBLEM: &str = "application/problem+json";

/// What the API is, for people.
const ABOUT: &str = "Drives one qadom node: a member of a distributed hash table without servers. \
Keys are 64 hex digits, `int:` and a decimal number below 2^256, or `name:` and a text. Every refusal \
is a problem of RFC 9457 whose `type` ends in a reason; a write that found too few nodes carries its \
receipt there. Streams are server-sent events.";

/// Describes the routes.
pub(crate) fn document(routes: &[Route]) -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        })
    };
    let mut schemas = Schemas {
        requests: settings().for_deserialize().into_generator(),
        answers: settings().for_serialize().into_generator(),
    };
    let mut paths = BTreeMap::<&str, Map<String, Value>>::new();
    for route in routes {
        let operation = operation(route, &mut schemas);
        let methods = paths.entry(route.path).or_default();
        methods.insert(route.method.to_owned(), operation);
    }
    let mut types = schemas.requests.take_definitions(true);
    types.extend(schemas.answers.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "qadom",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The daemon that gave this document" }],
        "paths": paths,
        "components": {
            "schemas": types,
            "responses": {
                "Problem": {
                    "description": "Refused, and why.",
                    "content": { PROBLEM: { "schema": reference("Problem") } },
                },
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Over TCP, when the daemon was started with a token.",
                },
            },
        },
        "security": [{}, { "token": [] }],
    })
}

/// Schemas of what is sent, and of what comes back: a field that may be left out there may always come
/// here.
struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#{SCHEMAS}/{name}") })
}

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    // So that it is there to be referred to.
    schema_of::<Problem>(&mut schemas.answers);
    let mut parameters = path_parameters(route.path);
    if let Some((of, names)) = &route.query {
        parameters.extend(query_parameters(*of, names, &mut schemas.requests));
    }
    parameters.extend(route.headers.iter().map(|(name, says)| {
        json!({
            "name": name, "in": "header", "description": says, "schema": { "type": "string" },
        })
    }));
    let mut responses = Map::new();
    for answer in &route.answers {
        responses.insert(
            answer.status.to_string(),
            response(answer, &mut schemas.answers),
        );
    }
    let refused = json!({ "$ref": "#/components/responses/Problem" });
    responses.insert("default".to_owned(), refused);
    let mut operation = json!({
        "operationId": route.id,
        "tags": [route.group],
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(body) = &route.body {
        let body = request_body(body, &mut schemas.requests);
        operation
            .as_object_mut()
            .map(|fields| fields.insert("requestBody".to_owned(), body));
    }
    operation
}

/// The parts of a path that vary.
fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?;
        name.strip_suffix('}')
    });
    let parameters = names.map(|name| {
        let (says, schema) = path_parameter(path, name);
        json!({
            "name": name, "in": "path", "required": true, "description": says, "schema": schema,
        })
    });
    parameters.collect()
}

fn path_parameter(path: &str, name: &str) -> (&'static str, Value) {
    let hex = || json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
    let key = || json!({ "type": "string", "pattern": "^([0-9a-f]{64}|int:[0-9]{1,77}|name:.+)$" });
    match name {
        "key" => (
            "64 hex digits, `int:` and a decimal number, or `name:` and a text.",
            key(),
        ),
        "topic" => (
            "A text, or a key in any of its forms.",
            json!({ "type": "string", "minLength": 1 }),
        ),
        "slot" => (
            "`bag:KEY`, `dict:NAME`, `namespace:PUBLIC_KEY/KEY` or `topic:TOPIC`.",
            json!({ "type": "string", "pattern": "^(bag|dict|namespace|topic):" }),
        ),
        "writer" => ("A public key, 64 hex digits.", hex()),
        "id" if path.ends_with("fetch") => (
            "The id of a file, or a name that it carries.",
            json!({ "type": "string", "minLength": 1 }),
        ),
        "id" => ("The BLAKE3 of a file, 64 hex digits.", hex()),
        "what" => (
            "A node's id or address text, or a key in any of its forms.",
            key(),
        ),
        _ => (
            "A text.",
            json!({ "type": "string", "minLength": 1, "maxLength": 256 }),
        ),
    }
}

/// The fields of a struct, as far as they mean something, as parameters of a query.
fn query_parameters(of: SchemaOf, names: &[&str], generator: &mut SchemaGenerator) -> Vec<Value> {
    let schema = of(generator);
    let name = schema.get("$ref").and_then(Value::as_str);
    let name = name
        .and_then(|reference| reference.rsplit('/').next())
        .unwrap_or_default();
    // A query is taken apart here and is no schema of the document.
    let fields = generator.definitions_mut().remove(name);
    let fields = fields.as_ref().and_then(|schema| schema.get("properties"));
    let parameters = names.iter().filter_map(|name| {
        let mut schema = fields?.get(*name)?.as_object()?.clone();
        let says = schema.remove("description");
        // Whoever leaves it out says nothing; there is no null in a query.
        if let Some(Value::Array(types)) = schema.get("type") {
            let kept = types.iter().find(|kind| *kind != "null").cloned();
            schema.insert("type".to_owned(), kept.unwrap_or_default());
        }
        schema.remove("default");
        Some(json!({ "name": name, "in": "query", "description": says, "schema": schema }))
    });
    parameters.collect()
}

fn request_body(body: &Body, generator: &mut SchemaGenerator) -> Value {
    let says = match body.kind {
        Some(kind) => format!("At most {} bytes (`{}`).", kind.limit(), kind.name()),
        None => "The content of a file, of any length.".to_owned(),
    };
    let (media_type, schema) = match body.schema {
        Some(of) => (JSON, of(generator).to_value()),
        None => (BYTES, json!({ "type": "string", "format": "binary" })),
    };
    json!({
        "required": true, "description": says, "content": { media_type: { "schema": schema } },
    })
}

fn response(answer: &Answer, generator: &mut SchemaGenerator) -> Value {
    let mut response = Map::new();
    response.insert("description".to_owned(), answer.says.into());
    let contents = answer.contents.iter().map(|(media_type, content)| {
        let content = match content {
            Content::Bytes => json!({ "schema": { "type": "string", "format": "binary" } }),
            Content::Text => json!({ "schema": { "type": "string" } }),
            Content::Json(of) => json!({ "schema": of(generator) }),
            Content::Events(of) => json!({
                "schema": { "type": "string" },
                "x-event": of(generator),
            }),
        };
        ((*media_type).to_owned(), content)
    });
    let contents = contents.collect::<Map<_, _>>();
    if !contents.is_empty() {
        response.insert("content".to_owned(), contents.into());
    }
    let headers = answer.headers.iter().map(|(name, says)| {
        let header = json!({ "description": says, "schema": { "type": "string" } });
        ((*name).to_owned(), header)
    });
    let headers = headers.collect::<Map<_, _>>();
    if !headers.is_empty() {
        response.insert("headers".to_owned(), headers.into());
    }
    response.into()
}

#[cfg(test)]
mod tests;
