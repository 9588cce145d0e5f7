//! The clock vectors.
