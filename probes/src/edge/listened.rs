//! What the kernel tells of who begins to listen: that somebody does.

use aya::{
    Ebpf,
    maps::{Array, MapData, MapError},
};

use crate::agent::AgentError;

const LISTENED: &str = "LISTENED";

/// Tells when somebody of ours began to listen last, in nanoseconds since boot; 0 before.
pub(crate) fn open(ebpf: &mut Ebpf) -> Result<impl Fn() -> u64 + Send + use<>, AgentError> {
    let unknown = || MapError::InvalidName {
        name: LISTENED.to_owned(),
    };
    let map = ebpf.take_map(LISTENED).ok_or_else(unknown);
    let map = map.and_then(Array::<MapData, u64>::try_from);
    let map = map.map_err(AgentError::map("open", LISTENED))?;
    Ok(move || map.get(&0, 0).unwrap_or(0))
}
