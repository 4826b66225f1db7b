//! The server of known delays: `GET /50` is answered after 50 ms.

use std::io::{BufRead as _, BufReader};

use super::network::{Network, Running, SERVER, Side};

/// The server, listening on this port.
pub fn start(network: &Network, port: &str) -> Running {
    let arguments = ["tests/programs/delays.py", SERVER, port];
    let mut server = network.spawn(Side::Server, "python3", &arguments);
    wait_until_it_listens(&mut server);
    server
}

/// Waits for the one line that the test servers say.
pub fn wait_until_it_listens(server: &mut Running) {
    let mut said = String::new();
    BufReader::new(server.0.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert_eq!(said, "listening\n");
}
