//! Sockets, shards and clocks around the proxy cores.
