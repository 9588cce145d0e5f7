//! Claims about grouping.
