//! The configuration file of the proxy, with errors that name line and key.
