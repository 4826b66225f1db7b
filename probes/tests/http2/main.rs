//! HTTP/2 and gRPC, between real servers and real clients: what slowburn counts is what they say.

#![allow(clippy::unwrap_used, reason = "tests panic")]

#[path = "../support/mod.rs"]
mod support;

mod apache;
mod calls;
mod doubt;
mod ends;
mod load;
mod loss;
mod order;
mod program;
