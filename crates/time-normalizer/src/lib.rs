//! One outgoing timeline per stream, fitted to each backend session.
