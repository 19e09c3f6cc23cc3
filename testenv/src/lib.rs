//! The lab.

pub mod apiserver;
pub mod artifacts;
pub mod cases;
pub mod demo;
pub mod etcd;
pub mod faults;
pub mod ferry;
pub mod kcp;
pub mod mcp;
pub mod pki;
pub mod poll;
pub mod process;
pub mod realm;
pub mod simulator;
pub mod tap;
pub mod world;
