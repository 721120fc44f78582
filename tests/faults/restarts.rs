//! What an embedded server keeps when it is restarted, and what its viewers are told.

use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_resets_its_viewers_and_keeps_its_scores() {
    let app = TestApp::start().await;
    app.add_user(1).await;
    app.decided(1, 41).await;
    let mut viewer = app.stream("", None).await;
    let before = viewer.expect("snapshot").await;
    drop(viewer);
    let storage = app.finish().await;
    let app = TestApp::on(storage, |_| {}).await;
    let mut viewer = app.stream("", Some(&before.id)).await;
    let reset = viewer.expect("reset").await;
    assert_eq!(reset.data["reason"], "epoch-changed");
    assert_eq!(viewer.expect("snapshot").await.id, reset.id);
    app.decided(1, 1).await;
    assert_eq!(viewer.expect("update").await.data["score"], 42);
    drop(viewer);
    app.finish().await;
}
