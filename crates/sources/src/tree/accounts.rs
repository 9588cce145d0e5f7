//! Names of the system's accounts by number, as `/etc/passwd` has them.

use std::collections::BTreeMap;

/// Read once: an account that comes later is shown by its number.
pub(super) struct Accounts(BTreeMap<u32, String>);

impl Accounts {
    pub(super) fn read() -> Self {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::of(&passwd)
    }

    fn of(passwd: &str) -> Self {
        let accounts = passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
        });
        Self(accounts.collect())
    }

    /// Its name, else its number.
    pub(super) fn name(&self, number: u32) -> String {
        let name = self.0.get(&number).cloned();
        name.unwrap_or_else(|| number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::Accounts;

    #[test]
    fn an_account_without_a_name_is_its_number() {
        let accounts =
            Accounts::of("root:x:0:0:root:/:/bin/sh\nbroken\nwww-data:x:33:33::/var/www:\n");
        assert_eq!(accounts.name(33), "www-data");
        assert_eq!(accounts.name(0), "root");
        assert_eq!(accounts.name(4711), "4711");
    }
}
