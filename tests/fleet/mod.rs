//! Many processes, one truth: API processes, workers, Redis and PostgreSQL are killed, stopped and emptied under load,
//! and what must hold is counted from outside. `make faults` runs the full counts.

mod across;
mod backlog;
mod chaos;
mod feeds;
mod live_loss;
mod lost_boards;
mod orphans;
mod outages;
mod support;
