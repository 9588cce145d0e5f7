//! magewarden.
fn main(){}
