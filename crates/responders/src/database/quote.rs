//! Names in statements: the one place where text becomes part of a statement instead of a value beside it.
//!
//! Invariant: whatever is given, what comes out is one name to the server, in every `sql_mode`.

use model::Argument;

/// A name of a schema, table, column or trigger: in backticks, each inside of it doubled
/// (MariaDB, *Identifier Names*: "any character in the BMP except U+0000").
pub(crate) fn name(text: &str) -> String {
    let text = text.replace('\0', "").replace('`', "``");
    format!("`{text}`")
}

/// A name with the schema it is in.
pub(crate) fn within(schema: &str, text: &str) -> String {
    format!("{}.{}", name(schema), name(text))
}

/// Both parts of an account, as they are written in statements.
pub(crate) fn account(account: &Argument) -> String {
    let (user, host) = parts(account);
    format!("{}@{}", name(user), name(host))
}

/// User and host of an account; its kind says that there is an `@`.
pub(crate) fn parts(account: &Argument) -> (&str, &str) {
    account.as_str().rsplit_once('@').unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{account, name, parts};
    use model::{Argument, ParameterKind};
    use proptest::prelude::*;

    /// A name as the server reads it, and what is behind it.
    fn read(text: &str) -> Option<(String, &str)> {
        let mut rest = text.strip_prefix('`')?;
        let mut out = String::new();
        loop {
            let (before, after) = rest.split_once('`')?;
            out.push_str(before);
            match after.strip_prefix('`') {
                Some(inside) => {
                    out.push('`');
                    rest = inside;
                }
                None => return Some((out, after)),
            }
        }
    }

    #[test]
    fn an_account_is_two_names() {
        let given = Argument::read(ParameterKind::DatabaseAccount, "re.port@10.0.0.%");
        let given = given.expect("an account");
        assert_eq!(account(&given), "`re.port`@`10.0.0.%`");
        assert_eq!(parts(&given), ("re.port", "10.0.0.%"));
    }

    proptest! {
        #[test]
        fn no_name_breaks_out(text in any::<String>(), behind in "[^`].*") {
            let quoted = name(&text);
            let whole = format!("{quoted}{behind}");
            let (told, after) = read(&whole).expect("a name");
            prop_assert_eq!(told, text.replace('\0', ""));
            prop_assert_eq!(after, behind);
        }

        #[test]
        fn names_of_marks_alone_do_not_either(text in "[`'\"\\\\;\0 -]{0,12}") {
            let whole = format!("{} x", name(&text));
            let (told, after) = read(&whole).expect("a name");
            prop_assert_eq!(told, text.replace('\0', ""));
            prop_assert_eq!(after, " x");
        }

        #[test]
        fn accounts_that_are_read_stay_accounts(text in "[a-zA-Z0-9_.$%:/@'`\" -]{1,40}") {
            if let Ok(given) = Argument::read(ParameterKind::DatabaseAccount, &text) {
                let quoted = account(&given);
                let (user, rest) = read(&quoted).expect("a user");
                let (host, end) = read(rest.strip_prefix('@').expect("a host")).expect("a host");
                prop_assert_eq!((user.as_str(), host.as_str()), parts(&given));
                prop_assert_eq!(end, "");
            }
        }
    }
}
