//! Resources of the cloud: how they are reached, and what is made of them for a while.
//!
//! [`cloud::Cloud`] speaks with the services under one login of the action; the folders named after services hold thin typed
//! calls and decide nothing; [`temporary::Ledger`] knows every resource that was made only for the work and takes it away.

mod barbican;
pub mod ceph;
pub mod cinder;
pub mod cindernative;
pub mod cloud;
pub mod control_plane;
pub mod error;
pub mod glance;
pub mod image;
pub mod neutron;
pub mod nova;
pub mod pages;
pub mod pipe;
pub mod project;
pub(crate) mod secret;
pub mod server;
pub mod swift;
pub mod temporary;
pub mod trail;
pub mod volume;
pub mod waiting;
