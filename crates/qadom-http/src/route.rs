//! What one route is: where it is, what it takes, what it answers, and who does its work.
//!
//! What must stay true: the router and the document of the API are both made of these, so that neither
//! says what the other does not know.

use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::bodies::BodyKind;
use crate::router::App;

/// Makes the schema of a type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A route of the control API.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// With the parts that vary in braces.
    pub(crate) path: &'static str,
    /// The name of the operation, for generated clients.
    pub(crate) id: &'static str,
    /// The chapter that it belongs to.
    pub(crate) group: &'static str,
    /// What it does, in one sentence.
    pub(crate) summary: &'static str,
    /// Does the work.
    pub(crate) serve: MethodRouter<App>,
    /// What the query may say: a struct, and the fields of it that mean something here.
    pub(crate) query: Option<(SchemaOf, &'static [&'static str])>,
    /// Headers of the request that mean something here, with what they say.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    /// What is sent.
    pub(crate) body: Option<Body>,
    /// What comes back when all is well.
    pub(crate) answers: Vec<Answer>,
}

/// What a request carries.
pub(crate) struct Body {
    /// What it is; none for the content of a file, which is taken as it comes.
    pub(crate) kind: Option<BodyKind>,
    /// The JSON; none for bytes.
    pub(crate) schema: Option<SchemaOf>,
}

/// What a request that went well is answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) says: &'static str,
    pub(crate) contents: Vec<(&'static str, Content)>,
    /// Headers of the answer, with what they say.
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

/// What an answer is made of.
pub(crate) enum Content {
    /// Bytes as they are.
    Bytes,
    /// Text.
    Text,
    /// JSON of this schema.
    Json(SchemaOf),
    /// Server-sent events, each with JSON of this schema.
    Events(SchemaOf),
}

/// Makes the schema of `T` by reference.
pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The media types of answers.
pub(crate) const JSON: &str = "application/json";
pub(crate) const BYTES: &str = "application/octet-stream";
pub(crate) const EVENTS: &str = "text/event-stream";

impl Route {
    /// A route that takes and answers nothing yet.
    pub(crate) fn new(
        place: (&'static str, &'static str),
        id: &'static str,
        group: &'static str,
        summary: &'static str,
        serve: MethodRouter<App>,
    ) -> Self {
        let (method, path) = place;
        Self {
            method,
            path,
            id,
            group,
            summary,
            serve,
            query: None,
            headers: &[],
            body: None,
            answers: Vec::new(),
        }
    }

    /// Takes these fields of `Q` in the query.
    pub(crate) fn query<Q: JsonSchema>(mut self, names: &'static [&'static str]) -> Self {
        self.query = Some((schema_of::<Q>, names));
        self
    }

    /// Heeds these headers.
    pub(crate) fn heeds(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    /// Takes bytes.
    pub(crate) fn takes_bytes(mut self, kind: BodyKind) -> Self {
        self.body = Some(Body {
            kind: Some(kind),
            schema: None,
        });
        self
    }

    /// Takes the content of a file, of any length.
    pub(crate) fn takes_file(mut self) -> Self {
        self.body = Some(Body {
            kind: None,
            schema: None,
        });
        self
    }

    /// Takes the JSON of `T`.
    pub(crate) fn takes<T: JsonSchema>(mut self, kind: BodyKind) -> Self {
        let schema = Some(schema_of::<T> as SchemaOf);
        let kind = Some(kind);
        self.body = Some(Body { kind, schema });
        self
    }

    /// Answers with the JSON of `T`.
    pub(crate) fn gives<T: JsonSchema>(self, says: &'static str) -> Self {
        self.gives_as::<T>(200, says)
    }

    /// Answers with the JSON of `T` under this status.
    pub(crate) fn gives_as<T: JsonSchema>(self, status: u16, says: &'static str) -> Self {
        self.answers(status, says, vec![(JSON, Content::Json(schema_of::<T>))])
    }

    /// Answers with events of `T`.
    pub(crate) fn tells<T: JsonSchema>(self, says: &'static str) -> Self {
        self.answers(200, says, vec![(EVENTS, Content::Events(schema_of::<T>))])
    }

    /// Answers with text.
    pub(crate) fn gives_text(self, media_type: &'static str, says: &'static str) -> Self {
        self.answers(200, says, vec![(media_type, Content::Text)])
    }

    /// Answers with bytes, or with the JSON of `T` about them; whoever has them already is told so.
    pub(crate) fn gives_value<T: JsonSchema>(
        self,
        headers: &'static [(&'static str, &'static str)],
    ) -> Self {
        let contents = vec![
            (BYTES, Content::Bytes),
            (JSON, Content::Json(schema_of::<T>)),
        ];
        let mut route = self
            .heeds(CONDITION)
            .answers(
                200,
                "The value, or with `Accept: application/json` the JSON about it.",
                contents,
            )
            .answers(304, "The value has this tag already.", Vec::new());
        if let Some(answer) = route.answers.first_mut() {
            answer.headers = headers;
        }
        route
    }

    /// Answers with one of these contents under this status.
    pub(crate) fn answers(
        mut self,
        status: u16,
        says: &'static str,
        contents: Vec<(&'static str, Content)>,
    ) -> Self {
        self.answers.push(Answer {
            status,
            says,
            contents,
            headers: &[],
        });
        self
    }
}

/// The header by which a read is made conditional.
const CONDITION: &[(&str, &str)] = &[(
    "If-None-Match",
    "The ETag of what the asker has; when that is what is there, the answer is 304.",
)];
