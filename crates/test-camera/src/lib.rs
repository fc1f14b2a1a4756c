//! An RTSP camera made for tests: a looping clip, any number of streams, faults on command.
