//! Meshproof.
mod shim;
fn main() {}
