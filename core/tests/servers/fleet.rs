//! Several servers that are one: a cluster of three, and a master under sentinels.

use std::time::{Duration, Instant};

use super::Redis;

/// Three masters without replicas.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Redis>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "5000"];
        let nodes: Vec<Redis> = (0..3).map(|_| Redis::start(&options)).collect();
        let places: Vec<String> = nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(places.iter().map(String::as_str));
        create.extend(["--cluster-yes"]);
        nodes[0].cli(&create);
        let patience = Instant::now() + Duration::from_secs(30);
        let ok = |node: &Redis| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
        while !nodes.iter().all(ok) {
            assert!(Instant::now() < patience, "the cluster did not come up");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { nodes }
    }

    pub(crate) fn url(&self) -> String {
        let places: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        format!("redis-cluster://{}", places.join(","))
    }

    /// Which slot a key has, and which node has it.
    pub(crate) fn slot_of(&self, key: &str) -> (String, usize) {
        let slot = self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]);
        let holds = |node: &Redis| {
            let slots = node.cli(&["CLUSTER", "NODES"]);
            let own = slots.lines().find(|line| line.contains("myself")).unwrap();
            let number: u32 = slot.parse().unwrap();
            own.split(' ').skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                match (first.parse::<u32>(), last.parse::<u32>()) {
                    (Ok(first), Ok(last)) => (first..=last).contains(&number),
                    _ => false,
                }
            })
        };
        let at = self.nodes.iter().position(holds).unwrap();
        (slot, at)
    }

    /// Moves a slot as an operator does: key by key, with a rest between them.
    pub(crate) fn move_slot(&self, slot: &str, from: usize, to: usize, rest: Duration) {
        let id = |at: usize| self.nodes[at].cli(&["CLUSTER", "MYID"]);
        let set = |at: usize, how: &str, whose: &str| {
            self.nodes[at].cli(&["CLUSTER", "SETSLOT", slot, how, whose]);
        };
        set(to, "IMPORTING", &id(from));
        set(from, "MIGRATING", &id(to));
        let port = self.nodes[to].port.to_string();
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let keys = self.nodes[from].cli(&["CLUSTER", "GETKEYSINSLOT", slot, "1"]);
            if keys.is_empty() {
                break;
            }
            std::thread::sleep(rest);
            let moved = self.nodes[from].cli(&["MIGRATE", "127.0.0.1", &port, &keys, "0", "5000"]);
            assert!(moved == "OK" || moved == "NOKEY", "{moved}");
            assert!(Instant::now() < patience, "the slot does not get empty");
        }
        let whose = id(to);
        for at in [to, from].into_iter().chain(0..self.nodes.len()) {
            set(at, "NODE", &whose);
        }
    }

    pub(crate) fn clear(&self) {
        for node in &self.nodes {
            node.cli(&["FLUSHALL"]);
        }
    }
}

/// A master, its replica and a sentinel.
pub(crate) struct Watched {
    pub(crate) master: Redis,
    pub(crate) replica: Redis,
    sentinel: Redis,
}

impl Watched {
    /// A master that is given up once it is silent for half a second.
    pub(crate) fn start() -> Self {
        Self::given_up_after(Duration::from_millis(500))
    }

    /// A master that stays one, however busy the machine is.
    pub(crate) fn steady() -> Self {
        Self::given_up_after(Duration::from_secs(60))
    }

    fn given_up_after(silence: Duration) -> Self {
        let master = Redis::start(&[]);
        let replica = Redis::start(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
        let sentinel = Redis::sentinel(&format!(
            "sentinel monitor jobs 127.0.0.1 {} 1\nsentinel down-after-milliseconds jobs {}\nsentinel failover-timeout jobs 2000\n",
            master.port,
            silence.as_millis(),
        ));
        let watched = Self {
            master,
            replica,
            sentinel,
        };
        let patience = Instant::now() + Duration::from_secs(30);
        while !watched
            .sentinel
            .cli(&["SENTINEL", "replicas", "jobs"])
            .contains(&watched.replica.port.to_string())
            || !watched
                .replica
                .cli(&["INFO", "replication"])
                .contains("master_link_status:up")
        {
            assert!(
                Instant::now() < patience,
                "the sentinel does not see the replica"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        watched
    }

    pub(crate) fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/jobs", self.sentinel.port)
    }

    /// Has the sentinel make the replica the master, with both alive, and waits for it.
    pub(crate) fn fail_over(&self) {
        let patience = Instant::now() + Duration::from_secs(30);
        // It refuses until it knows that the replica is well.
        while self.sentinel.cli(&["SENTINEL", "FAILOVER", "jobs"]) != "OK" {
            assert!(Instant::now() < patience, "the sentinel does not fail over");
            std::thread::sleep(Duration::from_millis(100));
        }
        while !self
            .replica
            .cli(&["INFO", "replication"])
            .contains("role:master")
        {
            assert!(Instant::now() < patience, "the replica is no master yet");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
