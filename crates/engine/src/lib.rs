//! Joins the floors below: bytes come in, are masked, sealed, read, judged and grouped.
//!
//! One pipeline for everything: live, `analyze`, replay and exercises. A record is sealed and
//! durable before anything it caused is acted on; what is judged is always the sealed, masked
//! bytes, so that replay sees exactly what live saw.

pub mod agent;
pub mod analyze;
pub mod archive;
pub mod attach;
mod compact;
pub mod compare;
pub mod containment;
pub mod content;
pub mod counsel;
pub mod decider;
pub mod desk;
pub mod evidence;
pub mod exercise;
pub mod external;
mod framer;
pub mod handled;
pub mod health;
mod hex;
mod hide;
pub mod intake;
pub mod inventory;
pub mod judge;
pub mod ledger;
pub mod link;
pub mod live;
pub mod mail;
pub mod merchant;
pub mod pause;
mod peers;
pub mod people;
pub mod pipeline;
pub mod projection;
pub mod reads;
pub mod report;
mod rest;
pub mod restart;
pub mod rulebook;
pub mod runs;
pub mod sealed;
pub mod state;
pub mod trail;
pub mod watching;
pub mod zone;
