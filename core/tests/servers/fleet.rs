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
    pub(crate) fn start() -> Self {
        let master = Redis::start(&[]);
        let replica = Redis::start(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
        let sentinel = Redis::sentinel(&format!(
            "sentinel monitor jobs 127.0.0.1 {} 1\nsentinel down-after-milliseconds jobs 500\nsentinel failover-timeout jobs 2000\n",
            master.port
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
}
