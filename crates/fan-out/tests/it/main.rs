//! What readers get, rule by rule and against a model.

mod batches;
mod held;
mod instant;
mod kept_tracks;
mod log_bounds;
mod renditions;
mod rows_model;
mod source;
mod tcp_lag;
mod tcp_model;
mod tcp_player;
mod tcp_rules;
mod udp_model;
mod udp_players;
mod udp_rules;
