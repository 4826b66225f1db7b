//! `slowburn demo`: an incident to watch, on this machine, with nothing pretended but the customers.
//!
//! `world` is a network of its own, `shop` three real services in it, `load` their customers and a flood,
//! and the story drives the whole of slowburn through an incident and says what it saw.

mod child;
pub mod load;
pub mod shop;
mod world;

pub use load::LoadArgs;
pub use shop::ShopArgs;
