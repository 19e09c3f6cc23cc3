//! The lab.

pub mod pki;
pub mod poll;
pub mod tap;
pub mod apiserver;
pub mod artifacts;
pub mod etcd;
pub mod kcp;
pub mod process;
pub mod realm;
pub mod simulator;
