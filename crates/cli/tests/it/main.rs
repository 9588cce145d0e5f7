//! The program as a user runs it, and the laws of the house.

mod kills;
mod laws;
mod program;
mod up;
