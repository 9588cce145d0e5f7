//! Through whom a recipient of a duty is told, and whether a duty binds a merchant by what settings say.
//!
//! Apart from projecting because what is sealed holds every duty: settings narrow what is shown, never what is kept.

use std::collections::BTreeSet;

use model::{ContactRole, Incident, Obligation, Timestamp};

use crate::EntityProfile;
use crate::project::{MERCHANT, RESIDENCE};

/// Words of recipients, and who is called for them; the shop's own people last.
const CALLED: &[(&[&str], ContactRole)] = &[
    (&["acquirer", "licensee"], ContactRole::Acquirer),
    (
        &[
            "visa",
            "mastercard",
            "american express",
            "discover",
            "brand",
        ],
        ContactRole::PaymentBrand,
    ),
    (
        &["payment service provider", "gateway"],
        ContactRole::PaymentServiceProvider,
    ),
    (&["insurer"], ContactRole::Insurer),
    (&["incident lead"], ContactRole::IncidentLead),
    (&["counsel"], ContactRole::Counsel),
];

/// Whom to call about a recipient. Authorities and the people concerned are told through counsel and the data protection officer.
#[must_use]
pub fn called(recipient: &str) -> Vec<ContactRole> {
    let lower = recipient.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let found = CALLED.iter().filter(|(words, _)| has(words));
    let roles: Vec<ContactRole> = found.map(|(_, role)| *role).collect();
    if roles.is_empty() {
        return vec![ContactRole::Counsel, ContactRole::DataProtectionOfficer];
    }
    roles
}

/// Whether a duty binds, as far as settings say; of several facts the last of these that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// It binds every merchant, or those that settings say this is one of.
    Binds,
    /// It binds only some, and settings don't say whether this is one.
    Unknown,
    /// By the settings it doesn't bind this one.
    Elsewhere,
}

/// Members of the EU, parts of them with a code of their own where its law holds, and those of the EEA, where the GDPR holds too.
const EU: &str = "AT AX BE BG CY CZ DE DK EE ES FI FR GF GP GR HR HU IE IS IT LI LT LU LV MF MQ MT NL NO PL PT RE RO SE SI SK YT";

/// Every other country and part of one that has a code in ISO 3166-1.
const ELSEWHERE: &str = "AD AE AF AG AI AL AM AO AQ AR AS AU AW AZ BA BB BD BF BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH \
                         CI CK CL CM CN CO CR CU CV CW CX DJ DM DO DZ EC EG EH ER ET FJ FK FM FO GA GB GD GE GG GH GI GL GM GN GQ GS GT GU GW \
                         GY HK HM HN HT ID IL IM IN IO IQ IR JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LK LR LS LY MA MC MD ME MG \
                         MH MK ML MM MN MO MP MR MS MU MV MW MX MY MZ NA NC NE NF NG NI NP NR NU NZ OM PA PE PF PG PH PK PM PN PR PS PW PY QA \
                         RS RU RW SA SB SC SD SG SH SJ SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG \
                         UM US UY UZ VA VC VE VG VI VN VU WF WS YE ZA ZM ZW";

/// Whether settings may name a place so: `DE`, `EU`, `UK`, or a part of a country with two letters, `US-CA`.
#[must_use]
pub fn is_place(text: &str) -> bool {
    let (country, part) = text.split_once('-').unwrap_or((text, "AA"));
    let mut known = EU.split(' ').chain(ELSEWHERE.split(' '));
    let is_known = ["EU", "UK"].contains(&country) || known.any(|code| code == country);
    is_known && part.len() == 2 && part.bytes().all(|b| b.is_ascii_uppercase())
}

/// Whether a place of the settings lies in a region as rules name them, e.g. `DE` in `EU`, `CA-QC` in `CA`.
fn lies_in(place: &str, region: &str) -> bool {
    let is_part = |whole: &str, part: &str| {
        part.strip_prefix(whole)
            .is_some_and(|rest| rest.starts_with('-'))
    };
    // Two that have a second code.
    let place = match place {
        "GB" => "UK",
        "PR" => "US-PR",
        _ => place,
    };
    place == region
        || (region == "EU" && EU.split(' ').any(|code| code == place || is_part(code, place)))
        // All of a federal state, and one part of it: a duty of either may bind.
        || is_part(region, place)
        || is_part(place, region)
        // Rather one too many: which states have a rule of their own isn't looked up.
        || (region == "US-other" && is_part("US", place))
}

/// Whether any of what settings know fits.
fn among(known: Option<&BTreeSet<String>>, fits: impl Fn(&str) -> bool) -> Reach {
    match known {
        None => Reach::Unknown,
        Some(known) if known.iter().any(|one| fits(one)) => Reach::Binds,
        Some(_) => Reach::Elsewhere,
    }
}

/// Whether a duty binds a merchant whose customers and trade are as `profile` says. What it says nothing of stays unknown.
#[must_use]
pub fn reach(duty: &Obligation, profile: &EntityProfile) -> Reach {
    let of = |fact: &String| {
        if let Some(rest) = fact.strip_prefix(RESIDENCE) {
            let regions = rest.trim_start_matches(": ").split(", ");
            among(profile.regions.as_ref(), |place| {
                regions.clone().any(|region| lies_in(place, region))
            })
        } else if let Some(rest) = fact.strip_prefix(MERCHANT) {
            // What a merchant is may have commas of its own: it is looked for as a whole.
            let list = format!("{}, ", rest.replacen(':', ",", 1));
            among(profile.entities.as_ref(), |word| {
                list.contains(&format!(", {word}, "))
            })
        } else {
            Reach::Binds
        }
    };
    let facts = duty.depends_on.iter().map(of);
    facts.max().unwrap_or(Reach::Binds)
}

/// The duties of an incident by whether they bind the merchant: what every page, list and program is told goes by this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duties<'a> {
    /// What binds, by law or by what settings say.
    pub binds: Vec<&'a Obligation>,
    /// What binds only some, where settings don't say whether this is one.
    pub unknown: Vec<&'a Obligation>,
    /// What by the settings doesn't bind.
    pub elsewhere: Vec<&'a Obligation>,
}

impl<'a> Duties<'a> {
    /// Of an incident, for a merchant.
    #[must_use]
    pub fn of(incident: &'a Incident, profile: &EntityProfile) -> Self {
        let mut out = Self::default();
        for duty in &incident.obligations {
            match reach(duty, profile) {
                Reach::Binds => out.binds.push(duty),
                Reach::Unknown => out.unknown.push(duty),
                Reach::Elsewhere => out.elsewhere.push(duty),
            }
        }
        out
    }

    /// The clocks that run: what binds and has a time, the earliest first. What may bind is no clock, since it would hide what does.
    #[must_use]
    pub fn clocks(&self) -> Vec<(Timestamp, &'a Obligation)> {
        let timed = self
            .binds
            .iter()
            .filter_map(|duty| Some((duty.due?, *duty)));
        let mut clocks: Vec<_> = timed.collect();
        clocks.sort_by_key(|(due, duty)| (*due, &duty.rule));
        clocks
    }
}

#[cfg(test)]
mod tests {
    use super::{Reach, called, is_place, lies_in, reach};
    use crate::EntityProfile;
    use crate::project::MERCHANT;
    use crate::rules::shipped;
    use model::{ContactRole, Obligation, ObligationState, Timestamp};
    use std::collections::BTreeSet;

    #[test]
    fn every_recipient_there_is_is_called_through_somebody() {
        let rules = shipped();
        for rule in rules.rules() {
            assert!(!called(&rule.recipient).is_empty(), "{}", rule.recipient);
        }
        for (recipient, role) in [
            ("acquirer, by telephone", ContactRole::Acquirer),
            ("Visa or the acquirer", ContactRole::PaymentBrand),
            ("insurer", ContactRole::Insurer),
            ("Attorney General", ContactRole::Counsel),
            ("people concerned", ContactRole::DataProtectionOfficer),
        ] {
            assert!(called(recipient).contains(&role), "{recipient}");
        }
        assert!(!called("acquirer").contains(&ContactRole::PaymentBrand));
    }

    #[test]
    fn a_place_lies_in_regions_as_rules_name_them() {
        for (place, region, is_in) in [
            ("DE", "EU", true),
            ("NO", "EU", true),
            ("CH", "EU", false),
            ("GB", "UK", true),
            ("US", "US-CA", true),
            ("US-CA", "US-NY", false),
            ("US-MT", "US-other", true),
            ("CA-QC", "CA", true),
            ("CA-ON", "CA-QC", false),
            ("CA", "US-CA", false),
            ("RE", "EU", true),
            ("PR", "US-PR", true),
        ] {
            assert_eq!(lies_in(place, region), is_in, "{place} {region}");
        }
    }

    #[test]
    fn a_misspelt_place_is_none() {
        for place in ["DE", "UK", "GB", "EU", "US-CA", "CA-QC", "RE", "PR"] {
            assert!(is_place(place), "{place}");
        }
        for place in [
            "SP", "EN", "EL", "de", "DEU", "US-", "US-ca", "XX-CA", "", " ",
        ] {
            assert!(!is_place(place), "{place:?}");
        }
    }

    #[test]
    fn whatever_a_rule_says_a_merchant_is_binds_whoever_settings_say_is_that() {
        let rules = shipped();
        for rule in rules.rules() {
            for word in &rule.entities {
                let all: Vec<&str> = rule.entities.iter().map(String::as_str).collect();
                let fact = format!("{MERCHANT}: {}", all.join(", "));
                let profile = EntityProfile {
                    regions: None,
                    entities: Some(BTreeSet::from([word.clone()])),
                };
                assert_eq!(reach(&duty(&[&fact]), &profile), Reach::Binds, "{word}");
            }
            for region in rule.regions.iter().filter(|region| *region != "US-other") {
                assert!(is_place(region), "{region}");
            }
        }
    }

    fn duty(depends_on: &[&str]) -> Obligation {
        Obligation {
            rule: "a".to_owned(),
            regime: String::new(),
            recipient: String::new(),
            started: Timestamp::default(),
            due: None,
            limit: String::new(),
            trigger: String::new(),
            state: ObligationState::Projected,
            source: String::new(),
            confidence: String::new(),
            depends_on: depends_on.iter().map(|&fact| fact.to_owned()).collect(),
        }
    }

    #[test]
    fn settings_narrow_and_say_nothing_of_what_they_leave_open() {
        let set = |words: &[&str]| -> Option<BTreeSet<String>> {
            Some(words.iter().map(|&word| word.to_owned()).collect())
        };
        let eu = "residence of the people concerned: EU";
        let bank = "whether the merchant is: bank, fund";
        let nobody = EntityProfile::default();
        let german = EntityProfile {
            regions: set(&["DE"]),
            entities: None,
        };
        let shop = EntityProfile {
            regions: set(&["US-CA"]),
            entities: set(&[]),
        };
        for (facts, profile, expected) in [
            (&["another fact"][..], &nobody, Reach::Binds),
            (&[eu], &nobody, Reach::Unknown),
            (&[eu], &german, Reach::Binds),
            (&[eu], &shop, Reach::Elsewhere),
            (&[eu, bank], &german, Reach::Unknown),
            (&[bank], &shop, Reach::Elsewhere),
        ] {
            assert_eq!(reach(&duty(facts), profile), expected, "{facts:?}");
        }
    }
}
