//! What the binary embeds from `content/`; changing it needs no Rust.

/// Every embedded file as path below `content/` and text, in order of path.
pub static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/content.rs"));

/// Finds the embedded files under a folder with an ending, e.g. `rules/`, `.yml`.
pub fn under(folder: &str, ending: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES
        .iter()
        .copied()
        .filter(move |(name, _)| name.starts_with(folder) && name.ends_with(ending))
}
