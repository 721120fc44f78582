//! Whose address a request counts for.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// The connection's peer, or, behind trusted proxies, the nearest address in `X-Forwarded-For` that is none of them.
pub(crate) fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_proxy = |address: &IpAddr| trusted.iter().any(|network| network.contains(&address.to_canonical()));
    let mut client = peer;
    if trusted.is_empty() || !is_proxy(&peer) {
        return client;
    }
    let hops = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = hops.flat_map(|value| value.split(',')).map(str::trim).collect();
    // Each proxy appends the address it saw, so only what trusted ones appended is true: read from the right.
    for hop in hops.into_iter().rev() {
        let Ok(address) = hop.parse::<IpAddr>() else { break };
        client = address;
        if !is_proxy(&address) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(peer: &str, forwarded: &str, trusted: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded.parse().expect("a header"));
        let trusted: Vec<IpNet> = trusted.split(',').filter_map(|net| net.parse().ok()).collect();
        client_ip(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(ip("9.9.9.9", "1.1.1.1", ""), "9.9.9.9");
        assert_eq!(ip("9.9.9.9", "1.1.1.1", "10.0.0.0/8"), "9.9.9.9");
        assert_eq!(ip("10.0.0.1", "1.1.1.1", "10.0.0.0/8"), "1.1.1.1");
        assert_eq!(ip("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "10.0.0.0/8"), "1.1.1.1", "a forged first hop");
        assert_eq!(ip("10.0.0.1", "garbage", "10.0.0.0/8"), "10.0.0.1");
    }
}
