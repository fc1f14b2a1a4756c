//! The proxy as a program.

fn main() {}
