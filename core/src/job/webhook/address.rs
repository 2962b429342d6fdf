//! To which addresses deliveries may go: by default none that only this network can reach.
//!
//! A name is resolved here, and the connection goes to what was looked at: a name that
//! points elsewhere a moment later deceives nobody. Pure but for the question to DNS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// A delivery that would go where it must not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the webhook's host `{host}` is at {address} ({sort}), and deliveries go to public addresses only: give another URL, or start the worker with `allow_private`"
)]
pub(super) struct AddressRefused {
    host: String,
    address: IpAddr,
    sort: &'static str,
}

/// Of what sort an address is that deliveries do not go to.
pub(super) fn refusal(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => in_v4(address),
        IpAddr::V6(address) => in_v6(address),
    }
}

/// # Errors
/// When the URL has an address for a host, and it is one that deliveries do not go to.
/// Such hosts are never resolved.
pub(super) fn check_literal(url: &Url) -> Result<(), AddressRefused> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    refusal(address).map_or(Ok(()), |sort| {
        Err(AddressRefused {
            host: address.to_string(),
            address,
            sort,
        })
    })
}

/// Resolves names, and gives only addresses that deliveries go to.
#[derive(Debug)]
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?;
            let public = public(host, found)?;
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Those of a host's addresses that deliveries go to.
fn public(
    host: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, AddressRefused> {
    let mut refused = None;
    let public: Vec<SocketAddr> = found
        .filter(|at| match refusal(at.ip()) {
            Some(sort) => {
                refused.get_or_insert(AddressRefused {
                    host: host.to_owned(),
                    address: at.ip(),
                    sort,
                });
                false
            }
            None => true,
        })
        .collect();
    match refused {
        Some(refused) if public.is_empty() => Err(refused),
        _ => Ok(public),
    }
}

/// IANA's registry of addresses for special purposes, and multicast.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32, &str); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "behind a carrier's NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// Sorts within the global unicast addresses, and those outside that have a name. The rest
/// outside is reserved.
const NOT_PUBLIC_V6: [(Ipv6Addr, u32, &str); 12] = [
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0),
        96,
        "an IPv4 address in disguise",
    ),
    (
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0),
        32,
        "an IPv4 address behind NAT64",
    ),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "private"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "private"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved"),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "for documentation",
    ),
    (
        Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0),
        16,
        "an IPv4 address in disguise",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "for documentation",
    ),
];

fn in_v4(address: Ipv4Addr) -> Option<&'static str> {
    let same = |net: &Ipv4Addr, bits: u32| (address.to_bits() ^ net.to_bits()) >> (32 - bits) == 0;
    let found = NOT_PUBLIC_V4.iter().find(|(net, bits, _)| same(net, *bits));
    found.map(|(_, _, sort)| *sort)
}

fn in_v6(address: Ipv6Addr) -> Option<&'static str> {
    let same = |net: &Ipv6Addr, bits: u32| (address.to_bits() ^ net.to_bits()) >> (128 - bits) == 0;
    let found = NOT_PUBLIC_V6.iter().find(|(net, bits, _)| same(net, *bits));
    let global = address.segments()[0] & 0xe000 == 0x2000;
    found
        .map(|(_, _, sort)| *sort)
        .or((!global).then_some("reserved"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_delivered_to() {
        let rows = [
            ("8.8.8.8", None),
            ("1.1.1.1", None),
            ("9.255.255.255", None),
            ("11.0.0.0", None),
            ("100.63.255.255", None),
            ("100.128.0.0", None),
            ("172.15.255.255", None),
            ("172.32.0.0", None),
            ("223.255.255.255", None),
            ("2606:4700:4700::1111", None),
            ("2a00::1", None),
            ("2001:200::1", None),
            ("0.0.0.0", Some("unspecified")),
            ("0.1.2.3", Some("unspecified")),
            ("10.0.0.1", Some("private")),
            ("172.16.0.1", Some("private")),
            ("172.31.255.255", Some("private")),
            ("192.168.1.1", Some("private")),
            ("100.64.0.1", Some("behind a carrier's NAT")),
            ("100.127.255.255", Some("behind a carrier's NAT")),
            ("127.0.0.1", Some("loopback")),
            ("127.255.0.1", Some("loopback")),
            ("169.254.169.254", Some("link-local")),
            ("192.0.0.8", Some("reserved")),
            ("192.0.2.1", Some("for documentation")),
            ("198.51.100.1", Some("for documentation")),
            ("203.0.113.1", Some("for documentation")),
            ("198.19.255.255", Some("for benchmarks")),
            ("224.0.0.1", Some("multicast")),
            ("239.255.255.255", Some("multicast")),
            ("240.0.0.1", Some("reserved")),
            ("255.255.255.255", Some("reserved")),
            ("::", Some("unspecified")),
            ("::1", Some("loopback")),
            ("::127.0.0.1", Some("reserved")),
            ("::ffff:127.0.0.1", Some("an IPv4 address in disguise")),
            ("::ffff:8.8.8.8", Some("an IPv4 address in disguise")),
            ("64:ff9b::a00:1", Some("an IPv4 address behind NAT64")),
            ("64:ff9b:1::1", Some("an IPv4 address behind NAT64")),
            ("2002:7f00:1::", Some("an IPv4 address in disguise")),
            ("2001::1", Some("reserved")),
            ("2001:db8::1", Some("for documentation")),
            ("3fff::1", Some("for documentation")),
            ("fc00::1", Some("private")),
            ("fd12:3456::1", Some("private")),
            ("fec0::1", Some("private")),
            ("fe80::1", Some("link-local")),
            ("ff02::1", Some("multicast")),
            ("100::1", Some("reserved")),
            ("4000::1", Some("reserved")),
        ];
        for (address, sort) in rows {
            assert_eq!(refusal(address.parse().unwrap()), sort, "{address}");
        }
    }

    #[test]
    fn addresses_in_urls_are_seen_in_every_spelling() {
        let rows = [
            ("http://127.0.0.1/", false),
            ("http://127.1/", false),
            ("http://2130706433/", false),
            ("http://0x7f000001/", false),
            ("http://0177.0.0.1/", false),
            ("http://127.0.0.1./", false),
            ("http://%31%32%37.0.0.1/", false),
            ("http://１２７.0.0.1/", false),
            ("http://[::1]:80/", false),
            ("http://[::ffff:7f00:1]/", false),
            ("http://[fe80::1]/", false),
            ("http://8.8.8.8/", true),
            ("http://[2606:4700::1]/", true),
            ("http://example.com/", true),
        ];
        for (url, fits) in rows {
            let url = Url::parse(url).unwrap();
            assert_eq!(check_literal(&url).is_ok(), fits, "{url}");
        }
    }

    #[test]
    fn of_a_names_addresses_only_the_public_ones_are_used() {
        let of = |found: &[&str]| {
            let found: Vec<IpAddr> = found.iter().map(|at| at.parse().unwrap()).collect();
            let found = found.into_iter().map(|at| SocketAddr::new(at, 0));
            public("h", found).map(|at| at.iter().map(|at| at.ip().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(of(&["10.0.0.1", "8.8.8.8", "::1"]).unwrap(), ["8.8.8.8"]);
        assert!(of(&[]).unwrap().is_empty());
        let refused = of(&["169.254.169.254", "::1"]).unwrap_err();
        assert_eq!(refused.sort, "link-local");
        assert!(refused.to_string().contains("`allow_private`"));
    }
}
