//! A context of ours in either role, whose peers are raw sockets.

use super::peer::{upgrade, Raw};
use super::{client_context, probe, serve, Events, Probe, Running};
use libwebsockets::{Client, ConnectionId, Role, WebSocketConfig};
use std::net::TcpListener;

/// A context whose connections tell what happens to them.
pub struct Ours {
    pub running: Running,
    pub role: Role,
    pub events: Events,
    config: WebSocketConfig,
    probe: Probe,
    listener: TcpListener,
    extensions: &'static str,
}

impl Ours {
    pub fn new(role: Role, config: WebSocketConfig) -> Ours {
        Ours::with_extensions(role, config, "")
    }

    /// As [`new`](Ours::new), with a header line that offers or accepts extensions.
    pub fn with_extensions(role: Role, config: WebSocketConfig, line: &'static str) -> Ours {
        let (probe, events) = probe();
        let running = match role {
            Role::Client => client_context(),
            Role::Server => {
                let (config, probe) = (config.clone(), probe.clone());
                serve(move |vhost| vhost.config(config).accept(move |_| Ok(probe.clone())))
            }
        };
        Ours {
            running,
            role,
            events,
            config,
            probe,
            listener: TcpListener::bind(("127.0.0.1", 0)).unwrap(),
            extensions: line,
        }
    }

    /// Our end in both roles.
    pub fn both(config: &WebSocketConfig) -> [Ours; 2] {
        [Role::Server, Role::Client].map(|role| Ours::new(role, config.clone()))
    }

    /// A new connection, open at both ends.
    pub fn connection(&self) -> (Raw, ConnectionId) {
        let raw = match self.role {
            Role::Server => {
                let mut raw = Raw::connect(self.running.addr());
                let answer = raw.ask(&upgrade("/", self.extensions));
                assert_eq!(answer.status, 101, "{answer:?}");
                raw
            }
            Role::Client => {
                let url = format!("ws://{}/", self.listener.local_addr().unwrap());
                let to = Client::new(&url).unwrap().config(self.config.clone());
                drop(self.running.handle.connect(to, self.probe.clone()).unwrap());
                Raw::accept(&self.listener, self.extensions)
            }
        };
        (raw, self.events.open())
    }
}
