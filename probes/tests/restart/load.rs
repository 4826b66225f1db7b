//! Clients that ask without a pause and know how many answers they got.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use super::{Client, Server, eventually};

pub const CONNECTIONS: u64 = 4;

pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(server: &Server, address: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let clients = (0..CONNECTIONS)
            .map(|_| {
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                server.spawn_beside(move || {
                    let mut client = Client::connect(address);
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(client.get("/"), 200);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Self {
            stop,
            answered,
            clients,
        }
    }

    /// Until some more requests have been answered, whatever else happens.
    pub fn wait_for_more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("more requests", || {
            (self.answered.load(Ordering::Relaxed) > before + 100).then_some(())
        });
    }

    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        self.answered.load(Ordering::Relaxed)
    }
}
