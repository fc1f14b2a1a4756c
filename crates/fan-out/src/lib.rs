//! One log of wire images per stream, read by any number of cursors.
