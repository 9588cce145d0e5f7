//! The program as a user runs it, and the laws of the house.

mod laws;
mod program;
mod up;
