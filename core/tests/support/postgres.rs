//! A PostgreSQL server of the tests' own, in a temporary directory and on a free port.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tempfile::TempDir;

/// How long the server may take for anything; generous, since CI machines are slow and shared.
const DEADLINE: Duration = Duration::from_secs(60);

/// Who the server runs as when the tests run as root, which it refuses: `nobody`.
const NOBODY: u32 = 65_534;

/// A running server; its end is the server's end.
pub(crate) struct PrivatePostgres {
    /// The superuser's URL, of the database `postgres`.
    pub(crate) url: String,
    programs: PathBuf,
    directory: TempDir,
    port: u16,
    /// Arguments of its program: `-c`, `fsync=off`.
    options: Vec<String>,
    running: Mutex<Option<Running>>,
    databases: AtomicU32,
}

/// The server's process, and a shell that ends it when this program ends in whatever way: the shell's input closes.
struct Running {
    server: Child,
    watchdog: Child,
}

impl PrivatePostgres {
    /// Creates an empty server and waits until it answers.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with options of its program: `["-c", "fsync=off"]`.
    pub(crate) async fn start_with(options: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("scorewire-pg-").tempdir().expect("a temporary directory");
        if runs_as_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let server = Self {
            url: format!("postgres://scorewire@127.0.0.1:{port}/postgres"),
            programs: programs(),
            directory,
            port,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            running: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        let initdb = ["-U", "scorewire", "-A", "trust", "-E", "UTF8", "--locale", "C", "--no-sync", "-D"];
        succeed(server.program("initdb").args(initdb).arg(server.data()));
        server.start_again().await;
        server
    }

    /// The server that tests share while at least one of them uses it.
    pub(crate) async fn shared() -> Arc<Self> {
        static SHARED: tokio::sync::Mutex<Weak<PrivatePostgres>> = tokio::sync::Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&server);
        server
    }

    /// Creates an empty database and returns its URL.
    pub(crate) async fn fresh_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url).await.expect("the server answers");
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("a database");
        connection.close().await.expect("the end of a connection");
        format!("postgres://scorewire@127.0.0.1:{}/{name}", self.port)
    }

    /// Kills it and all its processes (-9): it has to recover when it starts again.
    pub(crate) fn kill(&self) {
        let Some(mut running) = self.running() else { return };
        // First the shell, so that it never signals a process that took over the server's id.
        end(&mut running.watchdog);
        let server = running.server.id().to_string();
        // Stopped, it has no more children than are seen now.
        signal("STOP", &server);
        let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).expect("its children");
        end(&mut running.server);
        children.split_whitespace().for_each(|child| signal("KILL", child));
    }

    /// Starts it after a stop and waits until it answers.
    pub(crate) async fn start_again(&self) {
        let socket = self.directory.path().display().to_string();
        let log = fs::File::create(self.log()).expect("a log");
        let mut server = self
            .program("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-k", &socket])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the server's program runs");
        let watchdog = Command::new("sh")
            .args(["-c", "read -r _; kill -QUIT \"$1\"", "sh", &server.id().to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        let answer = tokio::time::timeout(DEADLINE, async {
            loop {
                beat.tick().await;
                if let Some(status) = server.try_wait().expect("its status") {
                    panic!("the server ended with {status}: {}", self.said());
                }
                if let Ok(connection) = PgConnection::connect(&self.url).await {
                    return connection;
                }
            }
        });
        match answer.await {
            Ok(connection) => connection.close().await.expect("the end of a connection"),
            Err(_) => panic!("the server did not start in time: {}", self.said()),
        }
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(Running { server, watchdog });
    }

    fn running(&self) -> Option<Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        // It may not be allowed to enter the directory the tests run in.
        command.current_dir("/");
        if runs_as_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if let Some(mut running) = self.running() {
            // Closing its input makes the shell end the server.
            drop(running.watchdog.stdin.take());
            // A failure here can not be helped, and must not hide the test's own.
            let _ = running.watchdog.wait();
            let _ = running.server.wait();
        }
    }
}

/// Signals a process; one that is gone already needs none.
fn signal(name: &str, process: &str) {
    Command::new("kill").args(["-s", name, process]).stderr(Stdio::null()).status().expect("the program runs");
}

/// Ends a process that has nothing to finish.
fn end(child: &mut Child) {
    child.kill().expect("it can be killed");
    child.wait().expect("its end");
}

fn runs_as_root() -> bool {
    fs::metadata("/proc/self").expect("its own process").uid() == 0
}

/// Where the server's programs are: `PG_BIN`, else the newest version that the system's packages installed.
fn programs() -> PathBuf {
    if let Some(directory) = std::env::var_os("PG_BIN") {
        return directory.into();
    }
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .max_by_key(version)
        .expect("PostgreSQL is installed (Debian: postgresql), or PG_BIN names the directory of its programs")
        .join("bin")
}

fn succeed(command: &mut Command) {
    let Output { status, stdout, stderr } = command.output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(status.success(), "{command:?}: {}{}", text(&stdout), text(&stderr));
}
