//! The headers that say what is known of a value beside its bytes.
//!
//! What must stay true: scripts rely on these names; they are only ever added to. The document of the API tells of
//! them in `table.rs`.

use axum::http::HeaderName;

/// Its key.
pub(super) const KEY: HeaderName = HeaderName::from_static("qadom-key");
/// Who gave it.
pub(super) const SOURCE: HeaderName = HeaderName::from_static("qadom-source");
/// How long ago the copy was stored here.
pub(super) const AGE: HeaderName = HeaderName::from_static("qadom-age-ms");
/// Who wrote it.
pub(super) const WRITER: HeaderName = HeaderName::from_static("qadom-writer");
/// Its version.
pub(super) const SEQ: HeaderName = HeaderName::from_static("qadom-seq");
/// The signature of the record.
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("qadom-signature");
/// When it expires unless its writer renews it.
pub(super) const EXPIRES_AT: HeaderName = HeaderName::from_static("qadom-expires-at");
/// Whether its writer signed other content under this version, too.
pub(super) const CONFLICT: HeaderName = HeaderName::from_static("qadom-conflict");
/// The depth at which it was found.
pub(super) const HOPS: HeaderName = HeaderName::from_static("qadom-hops");
/// Requests sent.
pub(super) const MESSAGES: HeaderName = HeaderName::from_static("qadom-messages");
/// From the call to the verified value.
pub(super) const TOOK: HeaderName = HeaderName::from_static("qadom-took-ms");
