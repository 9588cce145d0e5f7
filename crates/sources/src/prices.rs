//! What each log costs the shop that magewarden asks to switch on, as `benches/load.py` measured it: ten pairs without and with
//! the log, at a small shop whose two cores were busy, MariaDB 10.11. Medians, and the interval that holds them in 95 of 100.

/// MariaDB's `server_audit` with `CONNECT,QUERY,TABLE`.
pub(crate) const AUDIT_LOG: &str =
    "measured at a small shop under full load: -1 % requests a second (-13 to +2)";
/// MariaDB's slow log with `long_query_time=0`.
pub(crate) const SLOW_LOG: &str = "measured at a small shop under full load: none that could be told apart (-13 to +3 % requests a second)";
/// nginx's access log as JSON with cookie and header, beside the usual one.
pub(crate) const ACCESS_LOG: &str = "measured at a small shop under full load: none that could be told apart (-2 to +12 % requests a second); a second line on disk for each request";
