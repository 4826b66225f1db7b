//! What each service of the shop offers, and which route of the service behind it that needs.

use axum::http::Method;
use axum::routing::MethodFilter;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    Web,
    Checkout,
    Stock,
}

#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub method: Verb,
    pub path: &'static str,
    /// Share of the service's full work that this route does itself.
    pub weight: f64,
    /// The route of the service behind that is asked before answering.
    pub behind: Option<(Verb, &'static str)>,
}

#[derive(Clone, Copy, Debug)]
pub enum Verb {
    Get,
    Post,
}

const WEB: &[Route] = &[
    Route {
        method: Verb::Get,
        path: "/",
        weight: 0.5,
        behind: None,
    },
    Route {
        method: Verb::Get,
        path: "/cart",
        weight: 0.5,
        behind: Some((Verb::Get, "/cart")),
    },
    Route {
        method: Verb::Post,
        path: "/checkout",
        weight: 1.0,
        behind: Some((Verb::Post, "/orders")),
    },
];
const CHECKOUT: &[Route] = &[
    Route {
        method: Verb::Get,
        path: "/cart",
        weight: 0.5,
        behind: None,
    },
    Route {
        method: Verb::Post,
        path: "/orders",
        weight: 1.0,
        behind: Some((Verb::Post, "/reservations")),
    },
];
const STOCK: &[Route] = &[
    Route {
        method: Verb::Get,
        path: "/items",
        weight: 0.5,
        behind: None,
    },
    Route {
        method: Verb::Post,
        path: "/reservations",
        weight: 1.0,
        behind: None,
    },
];

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Checkout => "checkout",
            Self::Stock => "stock",
        }
    }

    pub const fn routes(self) -> &'static [Route] {
        match self {
            Self::Web => WEB,
            Self::Checkout => CHECKOUT,
            Self::Stock => STOCK,
        }
    }
}

impl Verb {
    pub const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
        }
    }

    pub const fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_asks_is_offered_by_the_one_behind_it() {
        for (front, behind) in [(Role::Web, Role::Checkout), (Role::Checkout, Role::Stock)] {
            for (verb, path) in front.routes().iter().filter_map(|route| route.behind) {
                let offered = behind.routes().iter();
                let mut same =
                    offered.filter(|route| route.path == path && route.method.method() == verb.method());
                assert!(
                    same.next().is_some(),
                    "{} asks {path} of {}",
                    front.name(),
                    behind.name()
                );
            }
        }
        assert!(Role::Stock.routes().iter().all(|route| route.behind.is_none()));
    }
}
