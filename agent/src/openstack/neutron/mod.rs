//! Neutron's REST interface: thin typed calls.

pub mod networks;
pub mod ports;
