//! How much a soak asks for: in CI, and by hand.

/// How much of each.
pub struct Sizes {
    pub idle: &'static str,
    pub busy_seconds: &'static str,
    pub churn: &'static str,
    pub slow: [&'static str; 2],
    pub malformed: &'static str,
    pub killed: &'static str,
    /// Peers in each phase, and seconds until a stalled frame's have to be gone.
    pub stalled: [&'static str; 2],
    pub half_open: &'static str,
    /// Descriptors of the server, peers that want one, seconds.
    pub exhausted: [&'static str; 3],
    pub keylog: &'static str,
    pub reconnect: &'static str,
    /// How many of the first allocations fail, in runs of their own; and connections
    /// to a server of which each so-manieth fails, and how many of these may fail.
    pub no_memory: (u32, &'static str, &'static str),
}

impl Sizes {
    /// In CI.
    pub const QUICK: Self = Sizes {
        idle: "500",
        busy_seconds: "3",
        churn: "2000",
        slow: ["40", "3"],
        malformed: "1000",
        killed: "200",
        stalled: ["5", "15"],
        half_open: "20",
        exhausted: ["256", "300", "2"],
        keylog: "50",
        reconnect: "50",
        no_memory: (10, "100", "90"),
    };

    /// By hand.
    pub const FULL: Self = Sizes {
        idle: "10000",
        busy_seconds: "60",
        churn: "100000",
        slow: ["400", "30"],
        malformed: "20000",
        killed: "2000",
        // The default is 310 s.
        stalled: ["50", "330"],
        half_open: "200",
        exhausted: ["1024", "1500", "10"],
        keylog: "500",
        reconnect: "500",
        // A server and its few clients make some 60.
        no_memory: (80, "2000", "1800"),
    };
}
