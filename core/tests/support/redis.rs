//! A private Redis server on a free port, in a directory of its own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything in a test may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Ended when dropped.
pub(crate) struct PrivateRedis {
    pub(crate) port: u16,
    child: Mutex<Child>,
    dir: TempDir,
    options: Vec<String>,
}

impl PrivateRedis {
    /// A server that writes every change to its disk at once.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with options that change or add to its own: `["--appendonly", "no"]`.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        // Tests of fleets begin here, and make HTTP clients next.
        scorewire_core::tls::install_provider();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let deadline = Instant::now() + DEADLINE;
        loop {
            let dir = TempDir::new().expect("a directory");
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port");
            let mut child = spawn(free.port(), &dir, &options);
            if answers(&mut child, free.port(), deadline) {
                return Self { port: free.port(), child: Mutex::new(child), dir, options };
            }
            // Another process took the port in between.
            end(&mut child);
            assert!(Instant::now() < deadline, "redis-server does not start");
        }
    }

    /// The server that tests share while any of them runs.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<PrivateRedis>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start());
            *shared = Arc::downgrade(&started);
            started
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends the server without a warning.
    pub(crate) fn kill(&self) {
        end(&mut self.child.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Starts it again, after [`kill`](Self::kill), on the same port with the data it had.
    pub(crate) fn restart(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        *child = spawn(self.port, &self.dir, &self.options);
        assert!(answers(&mut child, self.port, Instant::now() + DEADLINE), "redis-server does not start again");
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(port: u16, dir: &TempDir, options: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
        .arg("--port")
        .arg(port.to_string())
        .arg("--dir")
        .arg(dir.path())
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

fn answers(child: &mut Child, port: u16, deadline: Instant) -> bool {
    use std::io::{Read, Write};
    let ping = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        // While it loads its data it answers an error.
        Ok(&answer == b"+PONG")
    };
    while Instant::now() < deadline && child.try_wait().is_ok_and(|ended| ended.is_none()) {
        if ping().unwrap_or(false) {
            // Who answered must be our child, not a stranger on its port.
            return child.try_wait().is_ok_and(|ended| ended.is_none());
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    false
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}
