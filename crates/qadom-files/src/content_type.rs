//! What kind of content a file has, guessed from its name.
//!
//! What must stay true: the guess is a hint for browsers and people; nothing is decided by it.

use std::path::Path;

/// The media type that a file of this name usually has; `application/octet-stream` when none is
/// known.
///
/// ```
/// use std::path::Path;
///
/// use qadom_files::content_type;
///
/// assert_eq!(content_type(Path::new("film.mp4")), "video/mp4");
/// assert_eq!(content_type(Path::new("README")), "application/octet-stream");
/// ```
pub fn content_type(name: &Path) -> &'static str {
    mime_guess::from_path(name)
        .first_raw()
        .unwrap_or("application/octet-stream")
}
