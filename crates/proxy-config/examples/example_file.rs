//! Writes the commented example file to stdout:
//! `cargo run -p rtsp-proxy-config --example example_file > crates/proxy-config/proxy-server.example.toml`

fn main() {
    print!("{}", proxy_config::example());
}
