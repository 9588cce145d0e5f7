//! What a row of an audit table tells of an administrator's act: who, from where, what, to what, whether it succeeded.
//!
//! Apart because shops keep the same facts under other names: Commerce's admin action log, the add-on of Mage-OS,
//! Magento's own tables. What a column holds is anybody's; a value that isn't what it should be tells nothing.

use std::net::{IpAddr, Ipv4Addr};

use model::Field;

use crate::observation::Observation;

/// Which column tells what. The first that has a value counts; it stays among the row's values, too.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// The administrator's user name.
    Name(&'static str),
    /// Their number.
    Id(&'static str),
    /// The address the connection came from, which may be a proxy's.
    Address(&'static str),
    /// The address or addresses that were sent along.
    Forwarded(&'static str),
    /// What was done.
    Action(&'static str),
    /// Magento's full action name.
    FullAction(&'static str),
    /// The group of actions it belongs to.
    Group(&'static str),
    /// Whether it succeeded.
    Outcome(&'static str),
    /// Class and number of the thing it was done to.
    Entity(&'static str, &'static str),
    /// The path of the setting it was done to.
    Setting(&'static str),
    /// The number of the customer it was done as.
    Customer(&'static str),
}

/// Models whose rows are watched, with their tables: what is done to one is told under the row's own name.
const MODELS: [(&str, &str); 9] = [
    ("Magento\\Cms\\Model\\Page", "cms_page"),
    ("Magento\\Cms\\Model\\Block", "cms_block"),
    (
        "Magento\\Widget\\Model\\Widget\\Instance",
        "widget_instance",
    ),
    ("Magento\\Email\\Model\\Template", "email_template"),
    (
        "Magento\\CheckoutAgreements\\Model\\Agreement",
        "checkout_agreement",
    ),
    ("Magento\\User\\Model\\User", "admin_user"),
    ("Magento\\Authorization\\Model\\Role", "authorization_role"),
    ("Magento\\Integration\\Model\\Integration", "integration"),
    ("Magento\\Customer\\Model\\Customer", "customer_entity"),
];

/// Characters that `admin_user_session.ip` and its like have room for: a longer address was cut there.
const NARROW: usize = 15;

/// Adds what a row tells; `find` gives a column's value.
pub(super) fn tell<'a>(
    mut observation: Observation,
    acts: &[Act],
    find: impl Fn(&str) -> Option<&'a str>,
) -> Observation {
    let find = |column: &str| find(column).filter(|value| !value.is_empty());
    for act in acts {
        observation = match *act {
            Act::Id(column) => match find(column).and_then(|id| id.parse().ok()) {
                Some(id) => observation.int(Field::AdminId, id),
                None => observation,
            },
            _ => match text(*act, &find) {
                Some((field, text)) => observation.text(field, &text),
                None => observation,
            },
        };
    }
    observation
}

fn text<'a>(act: Act, find: &impl Fn(&str) -> Option<&'a str>) -> Option<(Field, String)> {
    let plain = |field, column| Some((field, find(column)?.to_owned()));
    match act {
        Act::Id(_) => None,
        Act::Name(column) => plain(Field::AdminName, column),
        Act::Action(column) => plain(Field::AdminAction, column),
        Act::FullAction(column) => plain(Field::AdminFullAction, column),
        Act::Group(column) => plain(Field::AdminActionGroup, column),
        Act::Address(column) => Some((Field::PeerIp, address(find(column)?)?.to_string())),
        Act::Forwarded(column) => {
            let sent = find(column)?;
            let sent = address(sent).map_or_else(|| sent.to_owned(), |one| one.to_string());
            Some((Field::ForwardedFor, sent)).filter(|(_, sent)| sent != "0")
        }
        Act::Outcome(column) => {
            let outcome = match find(column)?.to_ascii_lowercase().as_str() {
                "1" | "success" => "success",
                "0" | "failure" => "failure",
                _ => return None,
            };
            Some((Field::AdminOutcome, outcome.to_owned()))
        }
        Act::Entity(class, id) => {
            let (class, id) = (find(class)?, find(id)?);
            let model = class
                .trim_start_matches('\\')
                .trim_end_matches("\\Interceptor");
            let table = MODELS.iter().find(|(known, _)| *known == model);
            let table = table.map_or(model, |(_, table)| table);
            Some((Field::AdminTarget, format!("{table}:{id}")))
        }
        Act::Setting(column) => {
            let path = find(column).filter(|path| path.contains('/'))?;
            Some((Field::AdminTarget, format!("core_config_data:{path}")))
        }
        Act::Customer(column) => Some((
            Field::AdminTarget,
            format!("customer_entity:{}", find(column)?),
        )),
    }
}

/// An address as text, or an IPv4 address packed into a number. None for a text that may be an IPv6 address cut off.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(packed) = text.parse::<u32>() {
        return (packed != 0).then(|| Ipv4Addr::from(packed).into());
    }
    let address: IpAddr = text.parse().ok()?;
    (address.is_ipv4() || text.len() != NARROW).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::{Act, tell};
    use crate::observation::Observation;
    use model::{Category, Timestamp};

    #[track_caller]
    fn check(acts: &[Act], row: &[(&str, &str)], expected: &str) {
        let observation = Observation::new(Category::ShopRow, Timestamp::default());
        let find = |name: &str| row.iter().find(|(column, _)| *column == name);
        let told = tell(observation, acts, |name| Some(find(name)?.1)).record();
        let told: serde_json::Map<_, _> = serde_json::from_slice(&told).expect("JSON");
        let told = told.into_iter();
        let told: serde_json::Map<_, _> = told
            .filter(|(field, _)| !["category", "time"].contains(&field.as_str()))
            .collect();
        let expected = serde_json::from_str(&format!("{{{expected}}}")).expect("JSON");
        assert_eq!(told, expected, "{row:?}");
    }

    #[test]
    fn an_address_is_read_as_each_table_keeps_it() {
        let sent = [Act::Forwarded("ip")];
        check(
            &sent,
            &[("ip", "3221225985")],
            r#""x-forwarded-for":"192.0.2.1""#,
        );
        let list = "192.0.2.1, 10.0.0.1";
        check(
            &sent,
            &[("ip", list)],
            &format!(r#""x-forwarded-for":"{list}""#),
        );
        check(&sent, &[("ip", "0")], "");
        let acts = [Act::Address("ip")];
        for (ip, expected) in [
            ("3221225985", r#""peer-ip":"192.0.2.1""#),
            ("192.0.2.77", r#""peer-ip":"192.0.2.77""#),
            ("192.168.100.200", r#""peer-ip":"192.168.100.200""#),
            ("2001:db8::7", r#""peer-ip":"2001:db8::7""#),
            // Cut at fifteen characters it looks like another address.
            ("2001:db8:0:1::7", ""),
            ("0", ""),
            ("4294967296", ""),
            ("-1062731775", ""),
            ("nonsense", ""),
            ("", ""),
        ] {
            check(&acts, &[("ip", ip)], expected);
        }
    }

    #[test]
    fn what_was_done_to_is_named_as_the_row_is() {
        let acts = [Act::Entity("class", "id"), Act::Setting("field")];
        for (row, expected) in [
            (
                [("class", "Magento\\Cms\\Model\\Page"), ("id", "7")],
                r#""admin.target":"cms_page:7""#,
            ),
            (
                [
                    ("class", "\\Magento\\Cms\\Model\\Block\\Interceptor"),
                    ("id", "8"),
                ],
                r#""admin.target":"cms_block:8""#,
            ),
            (
                [("class", "Vendor\\Model"), ("id", "9")],
                r#""admin.target":"Vendor\\Model:9""#,
            ),
            (
                [("field", "design/head/includes"), ("id", "1")],
                r#""admin.target":"core_config_data:design/head/includes""#,
            ),
            ([("field", "title"), ("id", "1")], ""),
            ([("class", ""), ("id", "1")], ""),
        ] {
            check(&acts, &row, expected);
        }
    }

    #[test]
    fn who_what_and_whether_it_succeeded() {
        let acts = [
            Act::Name("user"),
            Act::Id("user_id"),
            Act::Action("action"),
            Act::Outcome("status"),
        ];
        check(
            &acts,
            &[
                ("user", "alice"),
                ("user_id", "4"),
                ("action", "login"),
                ("status", "failure"),
            ],
            r#""admin.action":"login","admin.id":4,"admin.name":"alice","admin.outcome":"failure""#,
        );
        check(
            &acts,
            &[("user", "bob"), ("user_id", "x"), ("status", "1")],
            r#""admin.name":"bob","admin.outcome":"success""#,
        );
        check(&acts, &[("user", ""), ("status", "2")], "");
    }
}
