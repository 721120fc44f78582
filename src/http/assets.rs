//! The pages: plain HTML, CSS and ES modules from `web/`, inside the binary.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};

use super::problem::{Kind, Problem};
use super::{Call, Response, conditional};

struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($name:literal, $media_type:literal) => {
        Asset { name: $name, media_type: $media_type, bytes: include_bytes!(concat!("../../web/assets/", $name)) }
    };
}

const PAGE: Asset =
    Asset { name: "index.html", media_type: "text/html; charset=utf-8", bytes: include_bytes!("../../web/index.html") };

const FEEDS_PAGE: Asset =
    Asset { name: "feeds.html", media_type: "text/html; charset=utf-8", bytes: include_bytes!("../../web/feeds.html") };

const ASSETS: [Asset; 20] = [
    asset!("announcer.js", "text/javascript; charset=utf-8"),
    asset!("app.js", "text/javascript; charset=utf-8"),
    asset!("board.css", "text/css; charset=utf-8"),
    asset!("chart-cursor.js", "text/javascript; charset=utf-8"),
    asset!("chart.js", "text/javascript; charset=utf-8"),
    asset!("connection.js", "text/javascript; charset=utf-8"),
    asset!("copying.js", "text/javascript; charset=utf-8"),
    asset!("feed-card.js", "text/javascript; charset=utf-8"),
    asset!("feeds.css", "text/css; charset=utf-8"),
    asset!("feeds.js", "text/javascript; charset=utf-8"),
    asset!("format.js", "text/javascript; charset=utf-8"),
    asset!("gaps.js", "text/javascript; charset=utf-8"),
    asset!("icon.svg", "image/svg+xml"),
    asset!("leaderboard.js", "text/javascript; charset=utf-8"),
    asset!("number-paths.js", "text/javascript; charset=utf-8"),
    asset!("page.css", "text/css; charset=utf-8"),
    asset!("rate.js", "text/javascript; charset=utf-8"),
    asset!("reasons.js", "text/javascript; charset=utf-8"),
    asset!("scales.js", "text/javascript; charset=utf-8"),
    asset!("series.js", "text/javascript; charset=utf-8"),
];

/// The client for pages of this and of other sites; its address is part of the interface.
const CLIENT: Asset = Asset {
    name: "scorewire.js",
    media_type: "text/javascript; charset=utf-8",
    bytes: include_bytes!("../../web/scorewire.js"),
};

const CLIENT_TYPES: Asset = Asset {
    name: "scorewire.d.ts",
    // Compilers fetch it as text; `.ts` is a video to a machine that guesses.
    media_type: "text/plain; charset=utf-8",
    bytes: include_bytes!("../../web/scorewire.d.ts"),
};

/// Nothing but what this server serves.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'");

/// `GET /`: the leaderboard page.
pub(super) fn page(call: &Call<'_>) -> Result<Response, Problem> {
    Ok(serve(&PAGE, call))
}

/// `GET /feeds` for who wants a page ([`wants_html`](super::accept::wants_html)): the feeds and their charts.
pub(super) fn feeds_page(call: &Call<'_>) -> Response {
    serve(&FEEDS_PAGE, call)
}

/// `GET /scorewire.js`: the client as an ES module.
pub(super) fn client(call: &Call<'_>) -> Result<Response, Problem> {
    Ok(serve(&CLIENT, call))
}

/// `GET /scorewire.d.ts`: the client's types.
pub(super) fn client_types(call: &Call<'_>) -> Result<Response, Problem> {
    Ok(serve(&CLIENT_TYPES, call))
}

/// `GET /assets/{name}`: what the pages load.
pub(super) fn asset(call: &Call<'_>) -> Result<Response, Problem> {
    let asset = ASSETS.iter().find(|asset| asset.name == call.parameter);
    asset.map(|asset| serve(asset, call)).ok_or_else(|| Problem::new(Kind::NotFound, "no asset has this name"))
}

fn serve(asset: &Asset, call: &Call<'_>) -> Response {
    let media_type = HeaderValue::from_static(asset.media_type);
    // A new version of the server brings new assets under the same names.
    let caching = HeaderValue::from_static("no-cache");
    let mut response = conditional::respond(call.headers, Bytes::from_static(asset.bytes), media_type, caching);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    response
}
