//! docs/BENCHMARKS.md, written whole.

use std::process::Command;
use std::time::SystemTime;

use crate::Plan;
use crate::figures::Section;

const READING: &str = "Compare ratios, not rates: each figure stands beside a floor that was run in the same minutes on \
the same machine with the generator beside it, so the ratio says what Scorewire adds, while the rates say mostly what \
the machine is. A median far from its range's ends was measured on a busy machine: run it again before believing it.";

/// The tables alone.
pub(crate) fn tables(sections: &[Section]) -> String {
    sections.iter().map(Section::markdown).collect::<Vec<_>>().join("\n")
}

/// The whole report.
pub(crate) fn whole(plan: &Plan, sections: &[Section]) -> anyhow::Result<String> {
    Ok(format!(
        "# Benchmarks\n\nWritten by `make bench` on {}; a run replaces this file.\n\n{READING}\n\n{}\n\n{}",
        humantime::format_rfc3339_seconds(SystemTime::now()),
        machine(plan)?,
        tables(sections),
    ))
}

fn machine(plan: &Plan) -> anyhow::Result<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or_else(|| "unknown".to_owned(), |value| value.trim_start_matches([' ', '\t', ':']).to_owned())
    };
    let cores = std::thread::available_parallelism()?;
    let memory_kb: u64 = field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    // What follows the number is the builder's business.
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    let rustc = Command::new("rustc").arg("--version").output().map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().trim_start_matches("rustc ").to_owned(),
    );
    Ok(format!(
        "| machine | |\n|---|---|\n| processor | {}, {cores} cores, shared with the generator |\n| memory | {:.1} GB |\n\
         | disk | {} |\n| kernel | Linux {kernel} |\n| rustc | {rustc} |",
        field(&read("/proc/cpuinfo"), "model name"),
        memory_kb as f64 * 1_024.0 / 1e9,
        disk(plan)?,
    ))
}

/// The kind of file system the data lies on: a benchmark of durability in memory would mean nothing.
fn disk(plan: &Plan) -> anyhow::Result<String> {
    let dir = plan.work_dir.clone().unwrap_or_else(std::env::temp_dir);
    Ok(match rustix::fs::statfs(&dir)?.f_type {
        0xef53 => "ext4".to_owned(),
        0x5846_5342 => "XFS".to_owned(),
        0x9123_683e => "Btrfs".to_owned(),
        0x794c_7630 => "overlay file system".to_owned(),
        0x0102_1994 => "**memory (tmpfs): flushes cost nothing, figures of writes mean nothing**".to_owned(),
        other => format!("file system {other:#x}"),
    })
}
