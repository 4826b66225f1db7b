//! Everything the story plays on: the world, the shop open in it, the pager, slowburn, and the customers.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;

use super::child::Child;
use super::crowd::{Crowd, Plan};
use super::definitions;
use super::receiver::Receiver;
use super::scratch::Scratch;
use super::stack::{Stack, Wanted};
use super::terminal::Terminal;
use super::world::{Place, World};

const SERVICE_PATIENCE: Duration = Duration::from_secs(20);
/// From the back to the front: place, port, workers.
const SERVICES: [(Place, u16, u16); 3] = [
    (Place::Stock, 8082, 32),
    (Place::Checkout, 8081, 32),
    (Place::Web, 8080, 8),
];

const HONEST: Plan = Plan {
    place: Place::Honest,
    sources: None,
    requests: &["GET /", "GET /cart", "GET /", "POST /checkout"],
    rate: 100,
    // Bounded, should nobody end it.
    seconds: 900,
};
const FLOOD: Plan = Plan {
    place: Place::Flood,
    sources: Some(1),
    requests: &["POST /checkout"],
    rate: 200,
    seconds: 180,
};
const LIGHT: Plan = Plan {
    rate: 20,
    seconds: 3_600,
    ..HONEST
};

/// Fields are dropped in order: what runs in the world goes before it.
#[derive(Debug)]
pub struct Stage {
    pub honest: Crowd,
    pub flood: Option<Crowd>,
    pub stack: Stack,
    pub pager: Receiver,
    shop: Vec<Child>,
    targets: Vec<SocketAddr>,
    scratch: Scratch,
    world: World,
}

impl Stage {
    pub async fn set(
        listen: SocketAddr,
        terminal: &mut Terminal,
        interrupt: &CancellationToken,
    ) -> Result<Self> {
        let world = World::create().context("build the demo's network")?;
        let families = if world.has_ipv6() {
            "IPv4 and IPv6"
        } else {
            "IPv4 only: this machine has no IPv6"
        };
        let cgroup = world.cgroup().display();
        let prefix = world.namespace_prefix();
        terminal.tell(
            "network",
            &format!("namespaces {prefix}* on a bridge, {families}; cgroup {cgroup}"),
        )?;
        let scratch = Scratch::create()?;

        let mut shop = Vec::new();
        let mut behind = None;
        for (place, port, workers) in SERVICES {
            let open = open(&world, scratch.path(), place, port, workers, behind);
            let opened = tokio::time::timeout(SERVICE_PATIENCE, open).await;
            shop.push(opened.with_context(|| format!("`{}` did not begin to listen", place.name()))??);
            // The last address: the services speak IPv6 among themselves where there is any.
            behind = world
                .addresses(place)
                .last()
                .map(|&address| SocketAddr::new(address, port));
        }
        terminal.tell(
            "shop",
            "web -> checkout -> stock, three HTTP services, listen in their namespaces",
        )?;

        let pager = Receiver::start(definitions::ROUTING_KEY).await?;
        let config = definitions::write(scratch.path(), |place| world.cgroup_name(place), &pager.url())?;
        let address = super::stack::free(listen)?;
        if address != listen {
            terminal.tell("notice", &format!("{listen} is in use, so a free port is taken"))?;
        }
        let wanted = Wanted {
            config,
            state: scratch.state(),
            listen: address,
        };
        let stack = Stack::start(&world, wanted, interrupt.child_token())
            .await
            .context("start slowburn")?;
        let address = stack.address();
        terminal.tell(
            "slowburn",
            &format!("counts in the kernel, books in its own Postgres; look at http://{address}"),
        )?;

        let (_, port, _) = SERVICES[SERVICES.len() - 1];
        let targets = world
            .addresses(Place::Web)
            .iter()
            .map(|&web| SocketAddr::new(web, port))
            .collect::<Vec<_>>();
        let honest = Crowd::start(&world, scratch.path(), &targets, HONEST)?;
        let sources = world.addresses(Place::Honest).len();
        terminal.tell(
            "customers",
            &format!("{} requests/s from {sources} addresses", HONEST.rate),
        )?;
        Ok(Self {
            honest,
            flood: None,
            stack,
            pager,
            shop,
            targets,
            scratch,
            world,
        })
    }

    pub fn flood_source(&self) -> Option<IpAddr> {
        self.world.addresses(Place::Flood).first().copied()
    }

    pub fn start_flood(&mut self) -> Result<()> {
        self.flood = Some(Crowd::start(
            &self.world,
            self.scratch.path(),
            &self.targets,
            FLOOD,
        )?);
        Ok(())
    }

    pub const fn flood_rate(&self) -> u32 {
        FLOOD.rate
    }

    /// Fewer customers, for as long as somebody looks around. Ends what ran before.
    pub async fn lighten(&mut self) -> Result<()> {
        let light = Crowd::start(&self.world, self.scratch.path(), &self.targets, LIGHT)?;
        std::mem::replace(&mut self.honest, light).end().await?;
        Ok(())
    }

    /// Whether everything that should run still does.
    pub fn check(&mut self) -> Result<()> {
        for service in &mut self.shop {
            service.check()?;
        }
        self.honest.check()?;
        self.flood.as_mut().map_or(Ok(()), Crowd::check)
    }

    /// Ends everything in order; what is left afterwards is removed by being dropped.
    pub async fn strike(self) -> Result<()> {
        if let Some(flood) = self.flood {
            flood.end().await?;
        }
        self.honest.end().await?;
        for service in self.shop {
            service.end().await?;
        }
        self.stack.stop().await
    }
}

async fn open(
    world: &World,
    logs: &Path,
    place: Place,
    port: u16,
    workers: u16,
    behind: Option<SocketAddr>,
) -> Result<Child> {
    let any = if world.has_ipv6() {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    };
    let mut command = world.command(place)?;
    command.args(["demo-service", place.name(), "--tied"]);
    command.args([
        "--listen",
        &SocketAddr::new(any, port).to_string(),
        "--workers",
        &workers.to_string(),
    ]);
    if let Some(behind) = behind {
        command.args(["--upstream", &behind.to_string()]);
    }
    let (mut child, mut lines) = Child::start(place.name(), command, logs)?;
    let Some(_listening) = lines.next_line().await.context("read the service's output")? else {
        return Err(child.ended_early().await);
    };
    Ok(child)
}
