//! The words of magewarden as plain values.
//!
//! Every other crate speaks in these. Nothing here does anything: no IO, no clock, no
//! randomness. What is sealed into the ledger carries `serde`; the envelope around it (in
//! `engine`) carries the version.
//!
//! Invariant: no value here holds a readable card number.

mod access;
mod action;
mod category;
mod conceal;
mod contact;
mod decision;
mod event;
mod field_set;
mod finding;
mod guard;
mod handling;
mod hidden;
mod identity;
mod incident;
mod mark;
mod order;
mod percent;
mod plan;
mod run;
mod stores;
mod time;

pub use access::{AccessEvent, AccessKind, Grant, GrantError, Principal, Right, Role, Via, Who};
pub use action::{
    ActionFacts, Argument, ArgumentError, Arguments, ForensicImpact, Layer, PRIVILEGES, Parameter,
    ParameterKind, Reach, Undo,
};
pub use category::Category;
pub use conceal::conceal;
pub use contact::{CONTACT_CHARS_MAX, CONTACTS_MAX, Contact, ContactError, ContactRole};
pub use decision::{Act, Attachment, CommentKind, Decision, Person, TaskState};
pub use event::{Event, Field, Value};
pub use field_set::FieldSet;
pub use finding::{
    Actor, ActorKind, Asset, AssetKind, Count, DataClass, EventRef, External, Finding, Grade, Level,
};
pub use guard::{
    Leftover, Look, Orders, Passage, Revenue, UnknownWhy, Verdict, ViewLook, Walk, WalkEnd,
    WalkStage,
};
pub use handling::{Handling, Stage, Taken, Task};
pub use hidden::is_hidden;
pub use identity::{
    Generation, InstallationId, Lane, Position, RecordIdentity, Scope, Sequence, SourceId,
};
pub use incident::{
    Exposure, Incident, IncidentState, Joined, Obligation, ObligationState, Related,
};
pub use mark::{Brand, Mark, MarkKind};
pub use order::{
    Ask, HostReply, HostReport, Instructed, Instruction, ORDER_VERSION, Order, Refused, Sales,
    Signed, WantedPiece, Word,
};
pub use percent::percent_decoded;
pub use plan::{
    Guard, OnBreach, Plan, PlanStep, PlannedBy, Question, Stops, TIMEOUT_MAX, Touched, UndoWords,
    Work,
};
pub use run::{Happened, Piece, RUN_VERSION, RunChange, RunEntry};
pub use stores::{RunType, StoreMap, ViewPlace};
pub use time::{TimeQuality, Timestamp};
