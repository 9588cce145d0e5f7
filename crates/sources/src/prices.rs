//! What each log costs the shop that magewarden asks to switch on: as `benches/load.py` measured it (`docs/performance.md`).

pub(crate) const ACCESS_LOG: &str = "TODO";
