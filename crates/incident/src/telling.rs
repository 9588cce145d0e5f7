//! Through whom a recipient of a duty is told, and whether a duty binds a merchant by what settings say.
//!
//! Apart from projecting because what is sealed holds every duty: settings narrow what is shown, never what is kept.

use std::collections::BTreeSet;

use model::{ContactRole, Obligation};

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

/// Whether a duty binds, as far as settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It binds every merchant, or those that settings say this is one of.
    Binds,
    /// It binds only some, and settings don't say whether this is one.
    Unknown,
    /// By the settings it doesn't bind this one.
    Elsewhere,
}

/// Members of the EU, and those of the EEA, where the GDPR holds too.
const EU: &str =
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK IS LI NO";

/// Whether a place of the settings lies in a region as rules name them, e.g. `DE` in `EU`, `CA-QC` in `CA`.
fn lies_in(place: &str, region: &str) -> bool {
    let is_part = |whole: &str, part: &str| {
        part.strip_prefix(whole)
            .is_some_and(|rest| rest.starts_with('-'))
    };
    place == region
        || (region == "EU" && EU.split(' ').any(|code| code == place || is_part(code, place)))
        || (region == "UK" && place == "GB")
        // All of a federal state, and one part of it: a duty of either may bind.
        || is_part(region, place)
        || is_part(place, region)
        // Whatever state has no rule of its own here.
        || (region == "US-other" && (place == "US" || place.starts_with("US-")))
}

/// Whether a duty binds a merchant whose customers and trade are as `profile` says. What it says nothing of stays unknown.
#[must_use]
pub fn reach(duty: &Obligation, profile: &EntityProfile) -> Reach {
    let mut reach = Reach::Binds;
    for fact in &duty.depends_on {
        let (words, known) = if let Some(rest) = fact.strip_prefix(RESIDENCE) {
            (rest, &profile.regions)
        } else if let Some(rest) = fact.strip_prefix(MERCHANT) {
            (rest, &profile.entities)
        } else {
            continue;
        };
        let Some(known) = known else {
            reach = Reach::Unknown;
            continue;
        };
        let wanted: BTreeSet<&str> = words.trim_start_matches(": ").split(", ").collect();
        let fits = |one: &String| wanted.iter().any(|region| lies_in(one, region));
        if !known.iter().any(fits) {
            return Reach::Elsewhere;
        }
    }
    reach
}

#[cfg(test)]
mod tests {
    use super::{Reach, called, lies_in, reach};
    use crate::EntityProfile;
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
        ] {
            assert_eq!(lies_in(place, region), is_in, "{place} {region}");
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
        // As they are projected: what hinges on who is what isn't known.
        assert!(crate::hinges_on_who(&duty(&[eu])));
    }
}
