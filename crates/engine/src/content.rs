//! What the binary embeds from `content/`; changing it needs no Rust.

use std::sync::LazyLock;

use incident::handling::Flows;

/// Every embedded file as path below `content/` and text, in order of path.
pub static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/content.rs"));

/// Finds the embedded files under a folder with an ending, e.g. `rules/`, `.yml`.
pub fn under(folder: &str, ending: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES
        .iter()
        .copied()
        .filter(move |(name, _)| name.starts_with(folder) && name.ends_with(ending))
}

/// The embedded flows: stages that an incident of a kind goes through before it closes.
///
/// # Panics
///
/// Never in a program that passed its tests: one of them reads what is embedded.
pub fn flows() -> &'static Flows {
    static FLOWS: LazyLock<Flows> = LazyLock::new(|| {
        let files: Vec<_> = under("flows/", ".toml").collect();
        Flows::parse(&files).expect("a test reads the embedded flows")
    });
    &FLOWS
}

#[cfg(test)]
mod tests {
    #[test]
    fn embedded_flows_are_read() {
        for (id, stages) in [("pan_leak", 7), ("response", 3)] {
            let flow = super::flows().named(id).expect("embedded");
            assert_eq!(flow.stages.len(), stages, "{id}");
        }
    }
}
