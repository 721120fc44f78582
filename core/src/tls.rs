//! One TLS provider in the whole process: ring.

/// Makes ring the provider of whoever asks for the process's own; a second call changes nothing. Comes before the
/// first HTTP client, which otherwise finds none and panics.
pub fn install_provider() {
    // Refused only when there is one already, and nobody but this function installs one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
