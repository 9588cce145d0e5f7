//! Roles, what each may do, and which of them one account may not hold together.
//!
//! Two tables and nothing else decide: `MATRIX` (PCI DSS v4.0.1 req. 7.2.1: an access-control model by job function,
//! least privilege) and `APART`. What a table doesn't allow is refused (req. 7.3.3).

use serde::{Deserialize, Serialize};

/// What somebody does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Looks at incidents and at what is read.
    Viewer,
    /// Works on incidents.
    Analyst,
    /// Decides about incidents.
    IncidentLead,
    /// Answers for evidence: what leaves the house, and what is destroyed.
    EvidenceCustodian,
    /// Lets actions happen that somebody else asked for.
    Approver,
    /// Keeps notes under legal privilege.
    Counsel,
    /// Runs a store: helps with the incidents of it, without its sealed records.
    StoreAdmin,
    /// Plans and leads exercises.
    ExerciseController,
    /// Reads everything but counsel's notes, and changes nothing.
    Auditor,
    /// Lets people in; decides nothing about incidents.
    Admin,
}

/// Something a role may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Right {
    /// See incidents, their findings and duties.
    SeeIncidents,
    /// See sealed records: masked, but with names, addresses and statements.
    SeeEvidence,
    /// See sources, what can't be seen, payment pages and what is installed.
    SeeSources,
    /// Acknowledge, comment, keep tasks, assign, watch, attach.
    Work,
    /// Move an incident through its life cycle; its severity; merge, split, close.
    Decide,
    /// Read and write counsel's notes.
    CounselNotes,
    /// Let an action happen that somebody else asked for.
    Approve,
    /// Take evidence out.
    Export,
    /// Destroy what an entry holds.
    Redact,
    /// Plan and lead exercises.
    Exercise,
    /// Take a further role for an hour, with a reason.
    BreakGlass,
    /// Invite, grant, disable.
    ManagePeople,
    /// See accounts, what they may do, and who did what.
    SeeAdministration,
}

const X: bool = true;
const O: bool = false;

/// What each role may do: a row a role, a column a right, in the order of [`Right::ALL`].
#[rustfmt::skip]
const MATRIX: [(Role, [bool; 13]); 10] = [
    //                        see                        do                    keep             lead      people
    //                        incidents evidence sources work decide counsel approve export redact exercise glass manage administration
    (Role::Viewer,            [X,       O,       X,      O,   O,     O,      O,      O,     O,     O,       O,    O,     O]),
    (Role::Analyst,           [X,       X,       X,      X,   O,     O,      O,      O,     O,     O,       X,    O,     O]),
    (Role::IncidentLead,      [X,       X,       X,      X,   X,     O,      O,      O,     O,     O,       X,    O,     O]),
    (Role::EvidenceCustodian, [X,       X,       X,      O,   O,     O,      O,      X,     X,     O,       O,    O,     O]),
    (Role::Approver,          [X,       X,       X,      O,   O,     O,      X,      O,     O,     O,       O,    O,     O]),
    (Role::Counsel,           [X,       X,       O,      X,   O,     X,      O,      X,     O,     O,       O,    O,     O]),
    (Role::StoreAdmin,        [X,       O,       X,      X,   O,     O,      O,      O,     O,     O,       O,    O,     O]),
    (Role::ExerciseController,[X,       O,       X,      O,   O,     O,      O,      O,     O,     X,       O,    O,     O]),
    (Role::Auditor,           [X,       X,       X,      O,   O,     O,      O,      O,     O,     O,       O,    O,     X]),
    (Role::Admin,             [X,       O,       X,      O,   O,     O,      O,      O,     O,     O,       O,    X,     X]),
];

/// Roles one account may not hold together, and why. That nobody approves what they asked for
/// themselves is checked at each approval, not here.
const APART: [(Role, Role, &str); 13] = [
    (
        Role::Admin,
        Role::IncidentLead,
        "who lets people in could otherwise close the incident that is about them",
    ),
    (
        Role::Admin,
        Role::EvidenceCustodian,
        "who lets people in could otherwise destroy what shows whom they let in",
    ),
    (
        Role::Admin,
        Role::Approver,
        "who lets people in could otherwise make the second person for an action",
    ),
    (
        Role::Admin,
        Role::Counsel,
        "counsel's notes are privileged: not for who runs the installation",
    ),
    (
        Role::IncidentLead,
        Role::EvidenceCustodian,
        "who closes an incident may not destroy what it rests on",
    ),
    (Role::Auditor, Role::Analyst, AUDITOR),
    (Role::Auditor, Role::IncidentLead, AUDITOR),
    (Role::Auditor, Role::EvidenceCustodian, AUDITOR),
    (Role::Auditor, Role::Approver, AUDITOR),
    (Role::Auditor, Role::Counsel, AUDITOR),
    (Role::Auditor, Role::StoreAdmin, AUDITOR),
    (Role::Auditor, Role::ExerciseController, AUDITOR),
    (Role::Auditor, Role::Admin, AUDITOR),
];

const AUDITOR: &str = "an auditor judges what others did, so may have done none of it";

impl Role {
    /// Every role.
    pub const ALL: [Self; 10] = [
        Self::Viewer,
        Self::Analyst,
        Self::IncidentLead,
        Self::EvidenceCustodian,
        Self::Approver,
        Self::Counsel,
        Self::StoreAdmin,
        Self::ExerciseController,
        Self::Auditor,
        Self::Admin,
    ];

    /// The name in settings, commands and what is sealed, e.g. `incident_lead`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::IncidentLead => "incident_lead",
            Self::EvidenceCustodian => "evidence_custodian",
            Self::Approver => "approver",
            Self::Counsel => "counsel",
            Self::StoreAdmin => "store_admin",
            Self::ExerciseController => "exercise_controller",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// The role of a name, `-` for `_` allowed.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.replace('-', "_");
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What it is for, in words.
    #[must_use]
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Viewer => "looks at incidents",
            Self::Analyst => "works on incidents",
            Self::IncidentLead => "decides about incidents",
            Self::EvidenceCustodian => "answers for evidence: exports and redacts",
            Self::Approver => "approves actions others ask for",
            Self::Counsel => "keeps privileged notes",
            Self::StoreAdmin => "runs a store, helps with its incidents",
            Self::ExerciseController => "plans and leads exercises",
            Self::Auditor => "reads everything, changes nothing",
            Self::Admin => "lets people in",
        }
    }

    /// Whether the role includes a right.
    #[must_use]
    pub fn may(self, right: Right) -> bool {
        let column = Right::ALL.iter().position(|one| *one == right);
        let row = MATRIX.iter().find(|(role, _)| *role == self);
        matches!((row, column), (Some((_, row)), Some(column)) if row[column])
    }

    /// Why one account may not hold both roles; `None` when it may.
    #[must_use]
    pub fn apart_from(self, other: Self) -> Option<&'static str> {
        APART
            .iter()
            .find(|(one, two, _)| (*one, *two) == (self, other) || (*one, *two) == (other, self))
            .map(|(_, _, why)| *why)
    }

    /// Whether it is only held for the whole installation: accounts have no place in the shop.
    #[must_use]
    pub const fn is_for_all_only(self) -> bool {
        matches!(self, Self::Admin)
    }

    /// Whether a person alone gives it, takes it, or changes the account that holds it: a program that could would let
    /// others manage people, or read what is privileged.
    #[must_use]
    pub fn is_for_people_alone(self) -> bool {
        self.may(Right::ManagePeople) || self.is_given_only()
    }

    /// Whether an administrator alone gives it: whoever could take it for an hour would read what is privileged.
    #[must_use]
    pub fn is_given_only(self) -> bool {
        self.may(Right::CounselNotes)
    }
}

impl Right {
    /// Every right, in the order of the matrix's columns.
    pub const ALL: [Self; 13] = [
        Self::SeeIncidents,
        Self::SeeEvidence,
        Self::SeeSources,
        Self::Work,
        Self::Decide,
        Self::CounselNotes,
        Self::Approve,
        Self::Export,
        Self::Redact,
        Self::Exercise,
        Self::BreakGlass,
        Self::ManagePeople,
        Self::SeeAdministration,
    ];

    /// Whether it only looks: a right that changes nothing.
    #[must_use]
    pub const fn only_sees(self) -> bool {
        matches!(
            self,
            Self::SeeIncidents | Self::SeeEvidence | Self::SeeSources | Self::SeeAdministration
        )
    }

    /// What it is, in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::SeeIncidents => "see incidents",
            Self::SeeEvidence => "see sealed records",
            Self::SeeSources => "see sources, payment pages and what is installed",
            Self::Work => "work on incidents",
            Self::Decide => "decide about incidents",
            Self::CounselNotes => "read and write counsel's notes",
            Self::Approve => "approve actions",
            Self::Export => "export evidence",
            Self::Redact => "redact entries",
            Self::Exercise => "lead exercises",
            Self::BreakGlass => "take a further role for an hour",
            Self::ManagePeople => "manage people",
            Self::SeeAdministration => "see accounts and who did what",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name().replace('_', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::{APART, MATRIX, Right, Role};

    /// A role's rights as the initial letters of the columns, written apart from the matrix.
    #[track_caller]
    fn check(role: Role, rights: &[Right]) {
        let has: Vec<_> = Right::ALL
            .into_iter()
            .filter(|right| role.may(*right))
            .collect();
        assert_eq!(has, rights, "{role}");
    }

    #[test]
    fn each_role_may_what_its_job_needs_and_nothing_else() {
        use Right as R;
        check(Role::Viewer, &[R::SeeIncidents, R::SeeSources]);
        let sees = [R::SeeIncidents, R::SeeEvidence, R::SeeSources];
        check(
            Role::Analyst,
            &[&sees[..], &[R::Work, R::BreakGlass]].concat(),
        );
        check(
            Role::IncidentLead,
            &[&sees[..], &[R::Work, R::Decide, R::BreakGlass]].concat(),
        );
        check(
            Role::EvidenceCustodian,
            &[&sees[..], &[R::Export, R::Redact]].concat(),
        );
        check(Role::Approver, &[&sees[..], &[R::Approve]].concat());
        check(
            Role::Counsel,
            &[
                R::SeeIncidents,
                R::SeeEvidence,
                R::Work,
                R::CounselNotes,
                R::Export,
            ],
        );
        check(Role::StoreAdmin, &[R::SeeIncidents, R::SeeSources, R::Work]);
        check(
            Role::ExerciseController,
            &[R::SeeIncidents, R::SeeSources, R::Exercise],
        );
        check(
            Role::Auditor,
            &[&sees[..], &[R::SeeAdministration]].concat(),
        );
        check(
            Role::Admin,
            &[
                R::SeeIncidents,
                R::SeeSources,
                R::ManagePeople,
                R::SeeAdministration,
            ],
        );
    }

    #[test]
    fn the_matrix_has_every_role_once_and_in_order() {
        assert_eq!(MATRIX.map(|(role, _)| role), Role::ALL);
        for role in Role::ALL {
            assert_eq!(Role::named(role.name()), Some(role));
            assert_eq!(Role::named(&role.name().replace('_', "-")), Some(role));
        }
        assert_eq!(Role::named("root"), None);
    }

    #[test]
    fn an_auditor_is_apart_from_every_role_that_acts() {
        for role in Role::ALL {
            let acts = Right::ALL
                .into_iter()
                .any(|right| !right.only_sees() && role.may(right));
            assert_eq!(
                Role::Auditor.apart_from(role).is_some(),
                acts,
                "auditor and {role}"
            );
        }
    }

    #[test]
    fn who_manages_people_can_do_nothing_dangerous_by_any_second_role() {
        let dangerous = [
            Right::Decide,
            Right::CounselNotes,
            Right::Approve,
            Right::Export,
            Right::Redact,
        ];
        for role in Role::ALL {
            let has = dangerous.into_iter().any(|right| role.may(right));
            if has {
                assert!(Role::Admin.apart_from(role).is_some(), "admin and {role}");
            }
        }
    }

    #[test]
    fn apart_is_said_once_a_pair_both_ways_and_with_a_reason() {
        for (at, (one, two, why)) in APART.iter().enumerate() {
            assert_ne!(one, two);
            assert_eq!(one.apart_from(*two), Some(*why));
            assert_eq!(two.apart_from(*one), Some(*why));
            let again = APART
                .iter()
                .skip(at + 1)
                .any(|(a, b, _)| (a, b) == (one, two) || (a, b) == (two, one));
            assert!(!again, "{one} and {two} twice");
        }
        assert_eq!(Role::Admin.apart_from(Role::Analyst), None);
    }
}
