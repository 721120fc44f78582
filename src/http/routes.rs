//! The one table of routes: dispatching, `OPTIONS`, 405 and metric labels all read it.

use http::Method;

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Page,
    Asset,
    Client,
    ClientTypes,
    ListScores,
    StreamScores,
    StreamTopic,
    StreamTopics,
    StreamFeed,
    StreamDefaultFeed,
    OpenSocket,
    ListViewers,
    UpdateScore,
    FindUpdate,
    CreateStreamToken,
    CreateUser,
    ListUsers,
    FindUser,
    ListJobs,
    CountJobs,
    FindJob,
    RetryJob,
    RetryJobs,
    DiscardJob,
    DiscardJobs,
    Rebuild,
    ListFeeds,
    FindFeed,
    FeedHistory,
    FetchFeed,
    ListRequests,
    FindFetch,
    DescribeProblem,
    Live,
    Ready,
    Metrics,
}

/// Whether requests of a route count against the address limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Yes,
    /// Against the limit on new streams: its handler sheds, since a browser gives up for ever on a stream that is refused.
    AsStream,
    /// Probes and scrapes must not be refused.
    No,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// Segments; at most one is `{…}`, which stands for any text. A path that is written out belongs to no other.
    pub(crate) pattern: &'static str,
    pub(crate) action: Action,
    pub(crate) counted: Counted,
}

const fn route(method: &'static str, pattern: &'static str, action: Action) -> Route {
    Route { method, pattern, action, counted: Counted::Yes }
}

const fn stream(pattern: &'static str, action: Action) -> Route {
    Route { method: "GET", pattern, action, counted: Counted::AsStream }
}

const fn probe(pattern: &'static str, action: Action) -> Route {
    Route { method: "GET", pattern, action, counted: Counted::No }
}

/// Every route. Tokens are checked by the handlers: what they permit depends on the body.
pub(crate) const ROUTES: [Route; 36] = [
    route("GET", "/scores", Action::ListScores),
    route("POST", "/scores/update", Action::UpdateScore),
    stream("/scores/stream", Action::StreamScores),
    route("GET", "/scores/updates/{id}", Action::FindUpdate),
    stream("/topics/stream", Action::StreamTopics),
    stream("/topics/{topic}/stream", Action::StreamTopic),
    stream("/feeds/{name}/stream", Action::StreamFeed),
    stream("/stream", Action::StreamDefaultFeed),
    stream("/ws", Action::OpenSocket),
    route("POST", "/stream-tokens", Action::CreateStreamToken),
    route("GET", "/feeds", Action::ListFeeds),
    route("GET", "/feeds/{name}", Action::FindFeed),
    route("GET", "/feeds/{name}/history", Action::FeedHistory),
    route("GET", "/feeds/{name}/requests", Action::ListRequests),
    route("POST", "/feeds/{name}/fetch", Action::FetchFeed),
    route("GET", "/fetches/{id}", Action::FindFetch),
    route("POST", "/users", Action::CreateUser),
    route("GET", "/users", Action::ListUsers),
    route("GET", "/users/{id}", Action::FindUser),
    route("GET", "/admin/jobs", Action::ListJobs),
    route("DELETE", "/admin/jobs", Action::DiscardJobs),
    route("POST", "/admin/jobs/retry", Action::RetryJobs),
    route("GET", "/admin/jobs/stats", Action::CountJobs),
    route("GET", "/admin/jobs/{id}", Action::FindJob),
    route("DELETE", "/admin/jobs/{id}", Action::DiscardJob),
    route("POST", "/admin/jobs/{id}/retry", Action::RetryJob),
    route("GET", "/admin/viewers", Action::ListViewers),
    route("POST", "/admin/rebuild", Action::Rebuild),
    route("GET", "/", Action::Page),
    route("GET", "/assets/{name}", Action::Asset),
    route("GET", "/scorewire.js", Action::Client),
    route("GET", "/scorewire.d.ts", Action::ClientTypes),
    route("GET", "/problems/{slug}", Action::DescribeProblem),
    probe("/healthz", Action::Live),
    probe("/readyz", Action::Ready),
    probe("/metrics", Action::Metrics),
];

/// What a method and path lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match<'a> {
    /// The route at this index, and the text in place of its `{…}`.
    Route(usize, &'a str),
    /// The path exists with other methods.
    OtherMethods,
    /// Nothing is there.
    Nothing,
}

/// Finds the route for a request; HEAD finds GET's.
pub(crate) fn find<'a>(method: &Method, path: &'a str) -> Match<'a> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let mut known = false;
    for (index, route, parameter) in at(path) {
        if route.method == method {
            return Match::Route(index, parameter);
        }
        known = true;
    }
    if known { Match::OtherMethods } else { Match::Nothing }
}

/// The methods of a path, for `Allow`.
pub(crate) fn allowed(path: &str) -> String {
    let mut methods = Vec::new();
    for (_, route, _) in at(path) {
        methods.push(route.method);
        if route.method == "GET" {
            methods.push("HEAD");
        }
    }
    methods.push("OPTIONS");
    methods.join(", ")
}

/// The routes of a path: index, route, and the text in place of its `{…}`.
fn at(path: &str) -> impl Iterator<Item = (usize, &'static Route, &str)> {
    let written_out = ROUTES.iter().any(|route| route.pattern == path);
    ROUTES.iter().enumerate().filter_map(move |(index, route)| {
        let parameter =
            if written_out { (route.pattern == path).then_some("") } else { parameter(route.pattern, path) };
        Some((index, route, parameter?))
    })
}

/// The text in place of a pattern's `{…}`: a whole segment.
fn parameter<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let (before, rest) = pattern.split_once('{')?;
    let (_, after) = rest.split_once('}')?;
    let parameter = path.strip_prefix(before)?.strip_suffix(after)?;
    (!parameter.is_empty() && !parameter.contains('/')).then_some(parameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(method: Method, path: &str) -> Option<(Action, &str)> {
        match find(&method, path) {
            Match::Route(index, parameter) => Some((ROUTES[index].action, parameter)),
            _ => None,
        }
    }

    #[test]
    fn paths_lead_to_their_routes() {
        assert_eq!(action(Method::GET, "/scores"), Some((Action::ListScores, "")));
        assert_eq!(action(Method::HEAD, "/scores"), Some((Action::ListScores, "")));
        assert_eq!(action(Method::GET, "/scores/updates/01J.3"), Some((Action::FindUpdate, "01J.3")));
        assert_eq!(action(Method::GET, "/users/7"), Some((Action::FindUser, "7")));
        assert_eq!(action(Method::GET, "/admin/jobs/01J.3"), Some((Action::FindJob, "01J.3")));
        assert_eq!(action(Method::POST, "/admin/jobs/01J.3/retry"), Some((Action::RetryJob, "01J.3")));
        assert_eq!(find(&Method::GET, "/users/7/8"), Match::Nothing);
        assert_eq!(find(&Method::POST, "/admin/jobs//retry"), Match::Nothing);
        assert_eq!(find(&Method::POST, "/admin/jobs/a/b/retry"), Match::Nothing);
        assert_eq!(find(&Method::POST, "/admin/jobs/a/retry/"), Match::Nothing);
        assert_eq!(find(&Method::GET, "/admin/jobs/a/retry"), Match::OtherMethods);
        assert_eq!(find(&Method::GET, "/users/"), Match::Nothing);
        assert_eq!(find(&Method::GET, "/scores/update"), Match::OtherMethods);
        assert_eq!(find(&Method::DELETE, "/scores"), Match::OtherMethods);
        assert_eq!(find(&Method::GET, "/nowhere"), Match::Nothing);
    }

    #[test]
    fn allow_lists_every_method_of_a_path() {
        assert_eq!(allowed("/users"), "POST, GET, HEAD, OPTIONS");
        assert_eq!(allowed("/scores/update"), "POST, OPTIONS");
    }

    #[test]
    fn a_path_that_is_written_out_belongs_to_no_other_route() {
        assert_eq!(action(Method::GET, "/admin/jobs/stats"), Some((Action::CountJobs, "")));
        assert_eq!(action(Method::POST, "/admin/jobs/retry"), Some((Action::RetryJobs, "")));
        assert_eq!(find(&Method::DELETE, "/admin/jobs/stats"), Match::OtherMethods);
        assert_eq!(find(&Method::DELETE, "/admin/jobs/retry"), Match::OtherMethods);
        assert_eq!(allowed("/admin/jobs/stats"), "GET, HEAD, OPTIONS");
        assert_eq!(allowed("/admin/jobs/01J"), "GET, HEAD, DELETE, OPTIONS");
    }

    #[test]
    fn no_two_routes_are_the_same() {
        for (index, route) in ROUTES.iter().enumerate() {
            assert!(ROUTES[..index].iter().all(|r| (r.method, r.pattern) != (route.method, route.pattern)));
        }
    }
}
