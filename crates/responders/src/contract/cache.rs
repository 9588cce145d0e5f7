//! A Redis or Valkey as it is, for comparing: every key with its value.

use std::net::SocketAddr;

use redis::{Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, RedisError};

use super::Seen;
use crate::ActionError;

/// Looks at some of its databases with an account that may see all; names are `cache DATABASE KEY`.
///
/// # Errors
///
/// [`ActionError::Cache`] when it can't be asked.
pub fn seen_in_cache(at: SocketAddr, databases: &[i64]) -> Result<Seen, ActionError> {
    seen(at, databases).map_err(|error| ActionError::Cache {
        what: "be looked at",
        how: error.to_string(),
    })
}

fn seen(at: SocketAddr, databases: &[i64]) -> Result<Seen, RedisError> {
    let mut out = Seen::new();
    for database in databases {
        let info = ConnectionAddr::Tcp(at.ip().to_string(), at.port()).into_connection_info()?;
        let login = RedisConnectionInfo::default().set_db(*database);
        let mut connection = Client::open(info.set_redis_settings(login))?.get_connection()?;
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection)?;
        for key in keys {
            let value: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut connection)?;
            out.insert(format!("cache {database} {key}"), format!("{value:?}"));
        }
    }
    Ok(out)
}
