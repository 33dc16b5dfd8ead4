//! Which connections are logged, and which of their secrets.

use crate::connection::Role;
use ipnet::IpNet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// What is known of a TLS connection when its first secret appears.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Facts<'a> {
    /// Which side this process is.
    pub role: Role,
    /// The vhost that serves the connection; `client` for those of clients.
    pub vhost: &'a str,
    /// The name that the client asks for (SNI), if it names one.
    pub server_name: Option<&'a str>,
    /// The other end; `None` on a Unix domain socket.
    pub peer: Option<SocketAddr>,
}

type Predicate = Arc<dyn Fn(&Facts<'_>) -> bool + Send + Sync>;

/// Which connections of a context are logged, and which of their secrets. The
/// default is all.
///
/// Of one kind, any of those given will do; of several kinds, each must.
///
/// ```
/// use libwebsockets::keylog::{Filter, KeyLog};
/// use libwebsockets::Role;
///
/// let filter = Filter::new()
///     .role(Role::Server)
///     .server_name("*.example.com")
///     .peer("192.0.2.0/24".parse().unwrap())
///     .peer("2001:db8::/32".parse().unwrap())
///     .without_label("EXPORTER_SECRET");
/// let keylog = KeyLog::file("keys.log").filter(filter);
/// ```
#[derive(Clone, Default)]
#[must_use = "a filter does nothing until a key log is given it"]
pub struct Filter {
    roles: Vec<Role>,
    vhosts: Vec<String>,
    server_names: Vec<String>,
    peers: Vec<IpNet>,
    labels: Vec<String>,
    without: Vec<String>,
    predicate: Option<Predicate>,
}

impl Filter {
    /// Logs everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Connections in which this process is the server, or the client.
    pub fn role(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }

    /// Connections that this vhost serves, by its name; `client` stands for
    /// those of clients.
    pub fn vhost(mut self, name: impl Into<String>) -> Self {
        self.vhosts.push(name.into());
        self
    }

    /// Connections to this name (SNI, in either role), in upper or lower case;
    /// `*.example.com` stands for every name below `example.com`.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_names.push(name.into());
        self
    }

    /// Connections whose other end has an address in this network, as
    /// `"192.0.2.0/24".parse()` makes it. An IPv4 address that arrives as an IPv6
    /// one (`::ffff:192.0.2.1`) counts as IPv4.
    pub fn peer(mut self, network: IpNet) -> Self {
        self.peers.push(network);
        self
    }

    /// Secrets with this label (RFC 9850, section 2), such as `CLIENT_RANDOM`.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// All but the secrets with this label. Wireshark needs no `EXPORTER_SECRET`,
    /// which keys other protocols, and it must not be given away lightly
    /// (RFC 9850, section 3). Without `CLIENT_RANDOM` no TLS 1.2 connection can
    /// be read.
    pub fn without_label(mut self, label: impl Into<String>) -> Self {
        self.without.push(label.into());
        self
    }

    /// Connections for which a function returns true. It is called once for a
    /// connection that everything else lets through, on the context's thread, in
    /// the midst of the handshake: it should be quick. Where it panics, the
    /// connection isn't logged, and [`Context::run`](crate::Context::run) resumes
    /// the panic.
    pub fn connections(
        mut self,
        predicate: impl Fn(&Facts<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.predicate = Some(Arc::new(predicate));
        self
    }

    /// Whether a connection's facts matter at all.
    pub(crate) fn looks_at_connections(&self) -> bool {
        let lists = [&self.vhosts, &self.server_names];
        !self.roles.is_empty()
            || !self.peers.is_empty()
            || self.predicate.is_some()
            || lists.iter().any(|list| !list.is_empty())
    }

    pub(super) fn takes_connection(&self, facts: &Facts<'_>) -> bool {
        let any = |empty: bool, found: bool| empty || found;
        let named = |pattern: &String| facts.server_name.is_some_and(|name| matches(pattern, name));
        let peer = facts.peer.map(|peer| peer.ip().to_canonical());
        any(self.roles.is_empty(), self.roles.contains(&facts.role))
            && any(
                self.vhosts.is_empty(),
                self.vhosts.iter().any(|name| name == facts.vhost),
            )
            && any(
                self.server_names.is_empty(),
                self.server_names.iter().any(named),
            )
            && any(
                self.peers.is_empty(),
                peer.is_some_and(|ip| self.peers.iter().any(|net| net.contains(&ip))),
            )
            && self.predicate.as_ref().is_none_or(|takes| takes(facts))
    }

    /// Whether a line's label is wanted.
    pub(super) fn takes_line(&self, line: &[u8]) -> bool {
        if self.labels.is_empty() && self.without.is_empty() {
            return true;
        }
        let label = line.split(|b| *b == b' ').next().unwrap_or_default();
        let is = |name: &String| name.as_bytes() == label;
        (self.labels.is_empty() || self.labels.iter().any(is)) && !self.without.iter().any(is)
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name
            .len()
            .checked_sub(parent.len() + 1)
            .filter(|start| *start > 0)
            .and_then(|start| name.get(start..))
            .is_some_and(|end| end.starts_with('.') && end[1..].eq_ignore_ascii_case(parent)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("roles", &self.roles)
            .field("vhosts", &self.vhosts)
            .field("server_names", &self.server_names)
            .field("peers", &self.peers)
            .field("labels", &self.labels)
            .field("without", &self.without)
            .field("predicate", &self.predicate.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts<'a>(peer: &str, server_name: Option<&'a str>) -> Facts<'a> {
        Facts {
            role: Role::Server,
            vhost: "a.test",
            server_name,
            peer: Some(peer.parse().unwrap()),
        }
    }

    #[test]
    fn kinds_must_all_fit_and_of_one_kind_any() {
        let a = facts("192.0.2.7:99", Some("www.Example.com"));
        let takes = |filter: Filter| filter.takes_connection(&a);
        assert!(takes(Filter::new()));
        assert!(takes(Filter::new().role(Role::Server)));
        assert!(!takes(Filter::new().role(Role::Client)));
        assert!(takes(Filter::new().role(Role::Client).role(Role::Server)));
        assert!(takes(Filter::new().vhost("b.test").vhost("a.test")));
        assert!(!takes(Filter::new().vhost("a.test").server_name("b.test")));
        assert!(takes(Filter::new().peer("192.0.2.0/24".parse().unwrap())));
        assert!(!takes(Filter::new().peer("192.0.3.0/24".parse().unwrap())));
        assert!(takes(Filter::new().connections(|f| f.peer.is_some())));
        assert!(!takes(Filter::new().connections(|_| false)));
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_one() {
        let filter = Filter::new().peer("192.0.2.0/24".parse().unwrap());
        assert!(filter.takes_connection(&facts("[::ffff:192.0.2.7]:99", None)));
        assert!(!filter.takes_connection(&facts("[2001:db8::1]:99", None)));
    }

    #[test]
    fn names_match_whole_labels() {
        for (pattern, name, expected) in [
            ("example.com", "EXAMPLE.com", true),
            ("example.com", "www.example.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.Example.Com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*.example.com", ".example.com", false),
            ("*.m", "é.m", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        let filter = Filter::new().server_name("example.com");
        assert!(!filter.takes_connection(&facts("192.0.2.7:99", None)));
    }

    #[test]
    fn labels_are_compared_whole() {
        let filter = Filter::new().without_label("EXPORTER_SECRET");
        assert!(!filter.takes_line(b"EXPORTER_SECRET 00 11"));
        assert!(filter.takes_line(b"EARLY_EXPORTER_SECRET 00 11"));
        let filter = Filter::new().label("CLIENT_RANDOM");
        assert!(filter.takes_line(b"CLIENT_RANDOM 00 11"));
        assert!(!filter.takes_line(b"CLIENT_RANDOM_X 00 11"));
    }
}
