//! `scorewire token`: scopes as they are written, and what is said of words that are none.

use super::scorewire;

#[tokio::test(flavor = "multi_thread")]
async fn scopes_may_name_topics() {
    let dir = tempfile::tempdir().expect("a directory");
    let scopes = "users:write,stream:scores,stream:match:*";
    let said = scorewire(dir.path(), &["token", "--user", "ann", "--scope", scopes]).await;
    assert!(said.success, "{said:?}");
    let token = said.out.trim();
    let claims = jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(token).expect("a token").claims;
    assert_eq!(claims["scope"], "users:write stream:scores stream:match:*");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_is_no_scope_is_told_which_there_are() {
    let dir = tempfile::tempdir().expect("a directory");
    for (scope, advice) in [
        ("boss", "choose from: scores:write, scores:write:any, users:write, feeds:write, admin, stream:<topic"),
        ("stream:", "a topic pattern is"),
        ("stream:a b", "like scores or match:*"),
    ] {
        let said = scorewire(dir.path(), &["token", "--user", "ann", "--scope", scope]).await;
        assert!(!said.success && said.err.contains(advice), "{scope}: {said:?}");
    }
}
