//! The shop's own nesting, as settings and its database tell it: what a request's place is told from.

use std::collections::BTreeMap;

/// What a host is run as (`MAGE_RUN_TYPE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunType {
    /// A website: its own views, the default one where nothing is asked for.
    Website,
    /// A store (group).
    Store,
    /// A view; Magento still takes every other active one that is asked for.
    View,
}

/// A store view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewPlace {
    /// Code of its website; empty when it isn't known.
    pub website: String,
    /// Code of its store (group); empty when it isn't known.
    pub store: String,
    /// Whether the shop front serves it.
    pub is_active: bool,
    /// Whether it is the one its website and its store show when nothing is asked for.
    pub is_default: bool,
}

/// Websites, stores and views of one installation, and how hosts are run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreMap {
    /// Views by code.
    pub views: BTreeMap<String, ViewPlace>,
    /// Hosts in lower case, without port: how they are run, and as what.
    pub hosts: BTreeMap<String, (RunType, String)>,
    /// Whether a view's code may be the first part of a path (`web/url/use_store`); `None` when it isn't known.
    pub code_in_path: Option<bool>,
    /// Code of the website that is the installation's own (`store_website.is_default`); empty when it isn't known.
    pub default_website: String,
    /// First part of the back end's paths (`backend/frontName`); empty when it isn't known.
    pub back_end: String,
}
