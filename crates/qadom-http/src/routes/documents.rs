//! The description of the API: as a document for programs and as a page for people.
//!
//! What must stay true: the page needs nothing but itself, neither scripts nor other hosts; whatever
//! stands in it is escaped.

use std::fmt::{self, Write};

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::Answer;
use crate::{openapi, table};

/// How the page looks.
const STYLE: &str = include_str!("../../assets/docs.css");

/// The page may show itself and its style, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// `GET /v1/openapi.json`.
pub(crate) async fn openapi() -> Json<Value> {
    Json(openapi::document(&table::all()))
}

/// `GET /docs`.
pub(crate) async fn page() -> Answer<Response> {
    let document = openapi::document(&table::all());
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write_page(&mut text, &document);
    let mut response = text.into_response();
    let headers = response.headers_mut();
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    let policy = HeaderValue::from_static(POLICY);
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

fn write_page(page: &mut String, document: &Value) -> fmt::Result {
    let info = &document["info"];
    let title = Escaped(text(&info["title"]));
    write!(
        page,
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\"><title>{title} API</title>\
         <style>{STYLE}</style><h1>{title} API <small>{}</small></h1><p>{}</p>\
         <p>For programs: <a href=\"/v1/openapi.json\">/v1/openapi.json</a> (OpenAPI 3.1).</p>",
        Escaped(text(&info["version"])),
        Escaped(text(&info["description"])),
    )?;
    let operations = operations(document);
    let mut groups = Vec::new();
    for (_, _, operation) in &operations {
        let group = text(at(operation, "/tags/0"));
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    for group in groups {
        write!(page, "<h2>{}</h2>", Escaped(group))?;
        for (path, method, operation) in &operations {
            if text(at(operation, "/tags/0")) == group {
                write_operation(page, (path, method), operation)?;
            }
        }
    }
    write!(page, "<h2>Types</h2>")?;
    for (name, schema) in fields(at(document, "/components/schemas")) {
        let name = Escaped(name);
        write!(
            page,
            "<details id=\"{name}\"><summary><code>{name}</code> {}</summary><pre>{:#}</pre></details>",
            Escaped(text(&schema["description"])),
            EscapedJson(schema)
        )?;
    }
    Ok(())
}

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = fields(&document["paths"]);
    let operations = paths.flat_map(|(path, methods)| {
        fields(methods).map(move |(method, operation)| (path, method, operation))
    });
    operations.collect()
}

fn write_operation(page: &mut String, place: (&str, &str), operation: &Value) -> fmt::Result {
    let (path, method) = place;
    write!(
        page,
        "<details><summary><b>{}</b> <code>{}</code> {}</summary><table>",
        Escaped(&method.to_uppercase()),
        Escaped(path),
        Escaped(text(&operation["summary"])),
    )?;
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        write!(
            page,
            "<tr><td><code>{}</code><td>{}<td>{}",
            Escaped(text(&parameter["name"])),
            Escaped(text(&parameter["in"])),
            Escaped(text(&parameter["description"])),
        )?;
    }
    let body = &operation["requestBody"];
    for (media_type, content) in fields(&body["content"]) {
        write!(page, "<tr><td>body<td>{}<td>", Escaped(media_type))?;
        write_schema(page, &content["schema"])?;
        write!(page, " {}", Escaped(text(&body["description"])))?;
    }
    for (status, response) in fields(&operation["responses"]) {
        if status == "default" {
            continue;
        }
        write!(page, "<tr><td>{}<td>", Escaped(status))?;
        let says = Escaped(text(&response["description"]));
        let mut kinds = fields(&response["content"]).peekable();
        if kinds.peek().is_none() {
            write!(page, "<td>{says}")?;
        }
        for (media_type, content) in kinds {
            write!(page, "{}<td>", Escaped(media_type))?;
            write_schema(page, content.get("x-event").unwrap_or(&content["schema"]))?;
            write!(page, " {says}<tr><td><td>")?;
        }
        for (name, header) in fields(&response["headers"]) {
            write!(
                page,
                "<tr><td><code>{}</code><td>answer<td>{}",
                Escaped(name),
                Escaped(text(&header["description"])),
            )?;
        }
    }
    write!(page, "</table></details>")
}

/// The name of a type, as a link to it.
fn write_schema(page: &mut String, schema: &Value) -> fmt::Result {
    let reference = schema.get("$ref").or_else(|| schema["items"].get("$ref"));
    let name = reference
        .and_then(Value::as_str)
        .and_then(|path| path.rsplit('/').next());
    match name {
        Some(name) => {
            let name = Escaped(name);
            write!(page, "<a href=\"#{name}\"><code>{name}</code></a>")
        }
        None => Ok(()),
    }
}

/// What lies at a place of a document; null where there is nothing.
fn at<'a>(value: &'a Value, place: &str) -> &'a Value {
    value.pointer(place).unwrap_or(&Value::Null)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn fields(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let fields = value.as_object().into_iter().flat_map(Map::iter);
    fields.map(|(name, value)| (name.as_str(), value))
}

/// A text that means nothing to a browser.
#[derive(Clone, Copy)]
struct Escaped<'a>(&'a str);

/// JSON that means nothing to a browser.
struct EscapedJson<'a>(&'a Value);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '&' => formatter.write_str("&amp;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for EscapedJson<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = format!("{:#}", self.0);
        Escaped(&json).fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_route_and_calls_no_other_host() {
        let document = openapi::document(&table::all());
        let mut page = String::new();
        write_page(&mut page, &document).unwrap();
        for route in table::all() {
            assert!(page.contains(route.path), "{}", route.path);
        }
        for foreign in ["http://", "https://", "//cdn", "<script", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn what_looks_like_markup_is_escaped() {
        let escaped = Escaped("<b a=\"'&").to_string();
        assert_eq!(escaped, "&lt;b a=&quot;&#39;&amp;");
    }
}
