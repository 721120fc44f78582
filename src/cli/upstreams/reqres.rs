//! reqres.in: a user who never changes.

use serde_json::{Value, json};

/// The path of the one user there is.
pub(super) const PATH: &str = "/api/users/2";

/// What the service answers.
pub(super) fn user() -> Value {
    json!({
        "data": {
            "id": 2,
            "email": "janet.weaver@reqres.in",
            "first_name": "Janet",
            "last_name": "Weaver",
            "avatar": "https://reqres.in/img/faces/2-image.jpg"
        },
        "support": { "url": "https://reqres.in/", "text": "An imitation by scorewire upstreams." }
    })
}

/// The same user in other places.
pub(super) fn other_shape() -> Value {
    json!({ "users": [{ "id": 2, "mail": "janet.weaver@reqres.in", "name": "Janet Weaver" }] })
}

/// An error in the service's words.
pub(super) fn error(message: &str) -> Value {
    json!({ "error": message })
}
