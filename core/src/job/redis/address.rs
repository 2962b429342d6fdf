//! A Redis URL, taken apart. Pure.
//!
//! | URL | what |
//! |---|---|
//! | `redis://[user][:password@]host[:port][/db]` | one server; `rediss://` with TLS |
//! | `redis-cluster://[user][:password@]host:port,host:port…` | a cluster; `rediss-cluster://` with TLS |
//! | `redis-sentinel://[user][:password@]host:port,host:port…/MASTER[/db]` | the master that the sentinels name |
//!
//! `?prefix=NAME` keeps the jobs apart from others on the same server; default `cr`.
//! Sentinels that want a password of their own get `sentinel_password=` and `sentinel_user=`.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use url::Url;

use crate::job::JobError;

/// What the names of keys begin with unless the URL says otherwise.
const PREFIX: &str = "cr";
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Where the servers are and how to speak to them.
#[derive(Clone)]
pub(crate) struct Address {
    pub(super) kind: Kind,
    /// What the names of all keys begin with.
    pub(crate) prefix: String,
    /// The URL without user, password and options.
    pub(crate) shown: String,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Single(ConnectionInfo),
    Cluster(Vec<ConnectionInfo>),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        login: RedisConnectionInfo,
    },
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, JobError> {
        let refused = |problem: &str| JobError::invalid("url", problem);
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| refused("it has no scheme: give one as `redis://localhost:6379`"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let shown = if path.is_empty() {
            format!("{scheme}://{hosts}")
        } else {
            format!("{scheme}://{hosts}/{path}")
        };
        let Options { prefix, sentinel } = Options::parse(query)?;
        let tls = scheme.starts_with("rediss");
        let one = |host: &str, port: u16, database: &str| {
            let scheme = if tls { "rediss" } else { "redis" };
            let at = if login.is_empty() { "" } else { "@" };
            let host = if host.is_empty() { "127.0.0.1" } else { host };
            let url = format!("{scheme}://{login}{at}{host}/{database}");
            let mut url = Url::parse(&url).map_err(|_| refused("it has a host that is none"))?;
            if url.port().is_none() {
                let _ = url.set_port(Some(port));
            }
            let info = url.as_str().into_connection_info();
            // The parser's own message may show the password.
            info.map_err(|_| {
                refused("it is no Redis URL: give one as `redis://:password@host:6379/0`")
            })
        };
        let all = |port: u16, database: &str| -> Result<Vec<ConnectionInfo>, JobError> {
            hosts
                .split(',')
                .map(|host| one(host.trim(), port, database))
                .collect()
        };
        let kind = match scheme {
            "redis" | "rediss" => {
                if hosts.contains(',') {
                    return Err(refused(
                        "it has several hosts: use `redis-cluster://` or `redis-sentinel://`",
                    ));
                }
                Kind::Single(one(hosts, PORT, path)?)
            }
            "redis-cluster" | "rediss-cluster" => Kind::Cluster(all(PORT, "")?),
            "redis-sentinel" | "rediss-sentinel" => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(refused(
                        "it has no master's name: `redis-sentinel://host:26379/mymaster`",
                    ));
                }
                let sentinels = all(SENTINEL_PORT, "")?;
                let login = one("localhost", PORT, database)?.redis_settings().clone();
                let anonymous = |info: ConnectionInfo| info.set_redis_settings(sentinel.clone());
                Kind::Sentinel {
                    sentinels: sentinels.into_iter().map(anonymous).collect(),
                    master: master.to_owned(),
                    login,
                }
            }
            _ => {
                return Err(refused(
                    "its scheme is none of redis, rediss, redis-cluster, redis-sentinel",
                ));
            }
        };
        Ok(Self {
            kind,
            prefix,
            shown,
        })
    }

    /// What the names of a queue's keys begin with. They share the slot of the queue's
    /// public list, whose name is the queue's.
    pub(super) fn queue_prefix(&self, queue: &str) -> String {
        format!("{}:{{{queue}}}:", self.prefix)
    }

    /// The queue's public list: what anyone pushes to it is a job. Its name is the queue's;
    /// installations on one server that have prefixes of their own must not share it.
    pub(super) fn list(&self, queue: &str) -> String {
        if self.prefix == PREFIX {
            return queue.to_owned();
        }
        format!("{}:{{{queue}}}", self.prefix)
    }

    /// Refuses a queue whose public list would be one of the keys that belong to no queue.
    pub(super) fn check_queue(&self, queue: &str) -> Result<(), JobError> {
        crate::job::check_queue(queue)?;
        let own = queue
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix(':'));
        if self.prefix == PREFIX && own.is_some() {
            let problem = "over Redis no name begins with `cr:`, as the names of its own keys do";
            return Err(JobError::invalid("queue", problem));
        }
        Ok(())
    }

    /// The name of a key that belongs to no queue.
    pub(crate) fn global(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }
}

/// The same host with another port and login.
pub(super) fn at(
    info: &ConnectionInfo,
    host: &str,
    port: u16,
    login: &RedisConnectionInfo,
) -> ConnectionInfo {
    let address = match info.addr() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host: host.to_owned(),
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host.to_owned(), port),
    };
    info.clone()
        .set_addr(address)
        .set_redis_settings(login.clone())
}

/// What stands behind the `?`.
struct Options {
    prefix: String,
    sentinel: RedisConnectionInfo,
}

impl Options {
    fn parse(query: &str) -> Result<Self, JobError> {
        let refused = |problem: &str| JobError::invalid("url", problem);
        // What looks like an option may be a part of the password: no word of it is shown.
        if query.contains('@') {
            return Err(refused(
                "it has an `@` behind a `?`: in user and password write `?` as `%3F` and `@` as `%40`",
            ));
        }
        let mut options = Self {
            prefix: PREFIX.to_owned(),
            sentinel: RedisConnectionInfo::default(),
        };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "prefix" => options.prefix = prefix(&value)?,
                "sentinel_user" => options.sentinel = options.sentinel.set_username(&*value),
                "sentinel_password" => options.sentinel = options.sentinel.set_password(&*value),
                _ => {
                    let problem = format!(
                        "it has an unknown option `{name}`: there are `prefix`, `sentinel_user` and `sentinel_password`"
                    );
                    return Err(refused(&problem));
                }
            }
        }
        Ok(options)
    }
}

fn prefix(value: &str) -> Result<String, JobError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    if value.is_empty() || value.len() > 100 || !value.chars().all(plain) {
        return Err(JobError::invalid(
            "url",
            "its `prefix` is made of letters, digits, `_`, `-`, `.` and `:`",
        ));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let rows = [
            ("redis://localhost", "redis://localhost"),
            ("redis://:secret@h:1/2?prefix=x", "redis://h:1/2"),
            ("rediss://u:p%40@h", "rediss://h"),
            ("redis-cluster://:s@a:1,b:2,c", "redis-cluster://a:1,b:2,c"),
            (
                "redis-sentinel://:s@a:1,b/main/3",
                "redis-sentinel://a:1,b/main/3",
            ),
        ];
        for (url, shown) in rows {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.shown, shown);
        }
        let Kind::Sentinel {
            sentinels,
            master,
            login,
        } = Address::parse(rows[4].0).unwrap().kind
        else {
            panic!("no sentinel");
        };
        assert_eq!(
            (
                sentinels.len(),
                master.as_str(),
                login.db(),
                login.password()
            ),
            (2, "main", 3, Some("s"))
        );
        assert_eq!(sentinels[1].addr().to_string(), "b:26379");
        assert_eq!(sentinels[0].redis_settings().password(), None);
        let own = "redis-sentinel://:s@a:1/main?sentinel_user=u&sentinel_password=p%40w";
        let Address { kind, shown, .. } = Address::parse(own).unwrap();
        assert_eq!(shown, "redis-sentinel://a:1/main");
        let Kind::Sentinel {
            sentinels, login, ..
        } = kind
        else {
            panic!("no sentinel");
        };
        let settings = sentinels[0].redis_settings();
        assert_eq!(
            (settings.username(), settings.password(), login.password()),
            (Some("u"), Some("p@w"), Some("s"))
        );
        let address = Address::parse(rows[1].0).unwrap();
        assert_eq!(address.queue_prefix("q"), "x:{q}:");
        assert_eq!(address.list("q"), "x:{q}");
        assert!(address.check_queue("cr:queues").is_ok());
        let usual = Address::parse(rows[0].0).unwrap();
        assert_eq!(usual.list("q"), "q");
        let refused = usual.check_queue("cr:queues").unwrap_err();
        assert!(refused.to_string().contains("`cr:`"), "{refused}");
        assert!(usual.check_queue("crew").is_ok());
    }

    #[test]
    fn what_is_no_url_is_refused_without_showing_it() {
        for url in [
            "localhost",
            "http://h",
            "redis://a,b",
            "redis-sentinel://h",
            "redis://:secret@h?prefx=1",
            "redis://:secret@h:port",
            "redis://h?prefix={}",
            "redis://:ab?secret@h",
            "redis://:ab?prefix=secret@h",
            "redis://:ab/secret@h",
            "redis://:ab#secret@h",
        ] {
            let error = Address::parse(url).err().unwrap().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
