//! The scenarios that come with the crate.

/// Each by its name and as its text.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("churn", include_str!("../../scenarios/churn.toml")),
    ("flood", include_str!("../../scenarios/flood.toml")),
    ("loss", include_str!("../../scenarios/loss.toml")),
    ("million", include_str!("../../scenarios/million.toml")),
    ("outage", include_str!("../../scenarios/outage.toml")),
    ("partition", include_str!("../../scenarios/partition.toml")),
    ("restart", include_str!("../../scenarios/restart.toml")),
    ("sybil", include_str!("../../scenarios/sybil.toml")),
    (
        "ten-million",
        include_str!("../../scenarios/ten-million.toml"),
    ),
    ("wide-area", include_str!("../../scenarios/wide-area.toml")),
];

pub(super) fn text(name: &str) -> Option<&'static str> {
    let found = BUILT_IN.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

/// Their names, for people.
pub(super) fn list() -> String {
    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}
