//! What every handler may use.

use std::net::SocketAddr;

use sqlx::PgPool;

#[derive(Debug, Clone)]
pub struct AppState {
    pub pool: PgPool,
    pub listen: SocketAddr,
}
