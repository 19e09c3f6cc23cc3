//! kubeferry's own cluster client, for inventory sources that are clusters themselves (ClusterProfile hubs and the
//! like). It never carries a caller's token. No such source exists yet: kubeconfig files are read from disk.
